"""The classifier and its file."""

import json
from pathlib import Path
from typing import Annotated, Any

from digits.data.dataset import DatasetName
from digits.foundation.files import damaged_file
from digits.foundation.params import first_problem
from digits.foundation.tensors import describe, read_tensors, write_tensors
from digits.models.networks import NETWORKS, build_layers

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import nn

MAX_INFO_CHARACTERS = 10_000  # longer metadata is cut off, which makes it invalid JSON


class Classifier(nn.Module):
    """Layers with their own normalisation in front, so that no caller can forget it or apply it twice.

    Args:
        layers: from standardised pixels, float32 (N, 1, 28, 28), to logits, float32 (N, 10).
        mean: subtracted from the pixels.
        std: the difference is divided by it.
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
        standardized = torch.addcmul(-self.mean / self.std, pixels, 1 / self.std)  # in one pass over the pixels
        logits: torch.Tensor = self.layers(standardized)
        return logits


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class ModelInfo:
    """What a model file says about its model.

    Attributes:
        architecture, options: arguments of `build_layers`.
        dataset: name of the data set that it was trained on.
    """

    architecture: Annotated[str, Field(pattern=f"^({'|'.join(NETWORKS)})$")]
    options: dict[str, Any]
    dataset: DatasetName


def save_model(path: Path, model: Classifier, info: ModelInfo) -> None:
    """Write the weights and the normalisation of `model`, with `info`, to a safetensors file."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_tensors(path, tensors, metadata={"model": json.dumps(vars(info))})


def load_model(path: Path) -> tuple[Classifier, ModelInfo]:
    """Read a file that `save_model` wrote, onto the CPU.

    Raises:
        UserError: it is missing or damaged, holds something else, or has numbers that are not finite.
    """
    tensors, metadata = read_tensors(path)
    try:
        info = TypeAdapter(ModelInfo).validate_json(metadata.get("model", "")[:MAX_INFO_CHARACTERS])
        with torch.device("meta"):  # allocates no memory, whatever the options
            model = Classifier(build_layers(info.architecture, info.options, seed=0))
    except ValidationError as error:
        raise damaged_file(path, f"not a model: {first_problem(error)}")
    _check_tensors(path, tensors, model.state_dict())
    # PyTorch aligns the copies in memory, which the last bits of sums may depend on.
    model.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    return model, info


def _check_tensors(path: Path, tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Reject tensors whose names, types or shapes differ from `expected`, and values that training cannot give."""
    for name in sorted({*tensors, *expected}):
        got, needed = (describe({name: both[name]} if name in both else {}) for both in (tensors, expected))
        if got != needed:
            raise damaged_file(path, f"expected {needed}, got {got}")
        invalid = tensors[name][~tensors[name].isfinite()]
        if len(invalid) > 0:
            raise damaged_file(path, f"{name} has to be finite, got {invalid[0]}")
    if tensors["std"] <= 0:
        raise damaged_file(path, f"std has to be positive, got {tensors['std']}")
