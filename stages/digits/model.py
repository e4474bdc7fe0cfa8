"""The classifier and the file that holds it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digits.files import replacing
from digits.networks import build_layers
from digits.stage import UserError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn


class Classifier(nn.Module):
    """Layers behind their own normalisation, so that no caller can forget it or do it twice.

    Args:
        layers: from standardised pixels, float32 (N, 1, 28, 28), to logits, float32 (N, 10).
        mean: subtracted from the pixels.
        std: what is left is divided by it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, layers: nn.Sequential, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.layers = layers

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits, float32 (N, 10), of pixels, float32 (N, 1, 28, 28) in [0, 1]."""
        standardized = torch.addcmul(-self.mean / self.std, pixels, 1 / self.std)  # one pass over the pixels
        logits: torch.Tensor = self.layers(standardized)
        return logits


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Attributes:
        architecture, options: as `build_layers` takes them.
        dataset: name of the data set whose training images it has seen.
    """

    architecture: str
    options: dict[str, Any]
    dataset: str


def save_model(path: Path, model: Classifier, info: ModelInfo) -> None:
    """Write the weights and the normalisation of `model`, with `info`, to a safetensors file."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        # A single metadata key: safetensors writes several in an order that changes from run to run.
        save_file(tensors, temporary, metadata={"model": json.dumps(vars(info))})


def load_model(path: Path) -> tuple[Classifier, ModelInfo]:
    """Read a file that `save_model` wrote, onto the CPU.

    Raises:
        UserError: it is missing, damaged, or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            info = ModelInfo(**json.loads(file.metadata()["model"]))
            state = file.get_tensors()
        model = Classifier(build_layers(info.architecture, info.options, seed=0))
        model.load_state_dict(state)
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `dvc repro` trains it")
    except (OSError, SafetensorError, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: is damaged or no model: {error}; delete it and run `dvc repro`")
    return model, info
