"""A small network of every architecture."""

from typing import Any

from digits.models.classifier import Classifier
from digits.models.networks import build_layers

NETWORKS: dict[str, dict[str, Any]] = {
    "logistic": {},
    "mlp": {"width": 64, "depth": 2, "dropout": 0.2},
    "lenet5": {},
    "cnn": {"width": 4, "depth": 2, "dropout": 0.2},
}


def build(network: str, seed: int = 0) -> Classifier:
    return Classifier(build_layers(network, NETWORKS[network], seed), 0.13, 0.31)
