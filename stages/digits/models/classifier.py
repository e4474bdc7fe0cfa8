"""The classifier in PyTorch, which train trains and evaluate scores."""

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from digits.models.model_file import Model
from digits.models.networks import layers_of


class Classifier(nn.Module):
    """Layers with their own normalisation in front, so that no caller can forget it or apply it twice."""

    mean: torch.Tensor  # subtracted from the pixels
    std: torch.Tensor  # the difference is divided by it
    layers: nn.Sequential  # from standardised pixels, float32 (N, 1, 28, 28), to logits, float32 (N, classes)

    def __init__(self, layers: nn.Sequential, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.layers = layers

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return cast(nn.Linear, self.layers[-1]).out_features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits, float32 (N, classes), of pixels, float32 (N, 1, 28, 28) in [0, 1]."""
        standardized = torch.addcmul(-self.mean / self.std, pixels, 1 / self.std)  # in one pass over the pixels
        logits: torch.Tensor = self.layers(standardized)
        return logits

    def arrays(self) -> dict[str, np.ndarray]:
        """The tensors of a `Model`, as they are now."""
        return {name: tensor.cpu().contiguous().numpy() for name, tensor in self.state_dict().items()}


def build_layers(architecture: str, options: Mapping[str, Any], classes: int, seed: int) -> nn.Sequential:
    """The layers that `layers_of` lists, with PyTorch's initial weights for `seed`, on the CPU; raises what it does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [getattr(nn, layer.module)(**layer.arguments) for layer in layers_of(architecture, options, classes)]
        if architecture == "logistic":
            torch.manual_seed(seed)
            draw_exactly(layers[-1])
        return nn.Sequential(*layers)


@torch.no_grad()
def draw_exactly(linear: nn.Linear) -> None:
    """Draw the parameters from PyTorch's default distribution, which it scales in one step, fused or not, in two."""
    bound = 1 / math.sqrt(linear.in_features)
    for parameter in (linear.weight, linear.bias):
        parameter.copy_(torch.rand(parameter.shape, device=parameter.device)).mul_(2 * bound).sub_(bound)


def restore(model: Model) -> Classifier:
    """The classifier that was saved as `model`, on the CPU, in evaluation mode."""
    info = model.info
    with torch.device("meta"):  # initialises nothing
        classifier = Classifier(build_layers(info.architecture, info.options, len(info.dataset.classes), seed=0))
    # PyTorch aligns the copies in memory, which the last bits of sums may depend on.
    tensors = {name: torch.from_numpy(array).clone() for name, array in model.tensors.items()}
    classifier.load_state_dict(tensors, assign=True)
    return classifier.eval()


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Images, uint8 or float32 (N, 28, 28), as pixels, float32 (N, 1, 28, 28) in [0, 1], like ToTensor."""
    return images.unsqueeze(1).to(torch.float32, copy=True).div_(255)


@torch.inference_mode()
def predict(classifier: Classifier, images: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Logits, float32 (N, classes), of images, uint8 (N, 28, 28), `batch_size` at a time, in evaluation mode."""
    was_training = classifier.training
    classifier.eval()
    logits = torch.cat([classifier(to_pixels(batch)) for batch in images.split(batch_size)])
    classifier.train(was_training)
    return logits
