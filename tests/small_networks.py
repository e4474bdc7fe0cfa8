"""A small network of every architecture, and learning rates for them."""

import json
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper
from torch import nn

from digits.known_datasets import PUBLISHED
from digits.models.classifier import Classifier, build_layers
from digits.models.model_file import Model, ModelInfo
from digits.models.networks import layers_of

MNIST = PUBLISHED["mnist"].about
NETWORKS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "mlp": {"width": 64, "depth": 2, "dropout": 0.2},
    "lenet5": {},
    "small_cnn": {"width": 4, "dropout": 0.2},
    "cnn": {"width": 4, "depth": 2, "dropout": 0.2},
}

# Learning rates, by optimizer, with which each of them learns something in one epoch, whatever the augmentation.
LRS = {"sgd": 0.03, "adam": 0.003, "adamw": 0.003, "lbfgs": 1.0}


def build(network: str, seed: int = 0) -> Classifier:
    return Classifier(build_layers(network, NETWORKS[network], len(MNIST.classes), seed), 0.13, 0.31)


def info_of(network: str, options: dict[str, Any]) -> ModelInfo:
    """What the file of a model says that was trained on MNIST."""
    return ModelInfo(architecture=network, options=options, dataset=MNIST)


def with_metadata(exported: Path, changed: Path, **metadata: Any) -> None:
    """Write an exported model with other metadata, in JSON unless it is a text; of the metrics, some may change."""
    model = onnx.load(exported)
    about = {entry.key: entry.value for entry in model.metadata_props}
    if "metrics" in metadata:
        metadata["metrics"] = json.loads(about["metrics"]) | metadata["metrics"]
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    helper.set_model_props(model, about | texts)
    changed.write_bytes(model.SerializeToString())


def random_model(network: str, factor: float = 1.0) -> Model:
    """A network of random weights, its batch normalisation with statistics as a training leaves them behind.

    Args:
        factor: of the weights of its last layer.
    """
    torch.manual_seed(0)
    classifier = build(network)
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                layer.state_dict()[name].uniform_(0.5, 2)
    *_, weight, _ = classifier.parameters()
    weight.data *= factor
    options = NETWORKS[network]
    return Model(info_of(network, options), layers_of(network, options, len(MNIST.classes)), classifier.arrays())
