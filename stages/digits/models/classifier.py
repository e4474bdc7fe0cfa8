"""The classifier and the file that holds it."""

import json
from pathlib import Path
from typing import Annotated, Any

from digits.data.dataset import Name
from digits.foundation.params import first_problem
from digits.foundation.tensors import damaged, described, read_tensors, write_tensors
from digits.models.networks import NETWORKS, build_layers

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import nn

LONGEST = 10_000  # characters that a model says of itself; cut off there, what says more is no JSON


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


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class ModelInfo:
    """What a model file says of itself.

    Attributes:
        architecture, options: as `build_layers` takes them.
        dataset: name of the data set whose training images it has seen.
    """

    architecture: Annotated[str, Field(pattern=f"^({'|'.join(NETWORKS)})$")]
    options: dict[str, Any]
    dataset: Name


def save_model(path: Path, model: Classifier, info: ModelInfo) -> None:
    """Write the weights and the normalisation of `model`, with `info`, to a safetensors file."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_tensors(path, tensors, metadata={"model": json.dumps(vars(info))})


def load_model(path: Path) -> tuple[Classifier, ModelInfo]:
    """Read a file that `save_model` wrote, onto the CPU.

    Raises:
        UserError: it is missing, damaged, or holds something else, or its numbers are not finite.
    """
    tensors, metadata = read_tensors(path)
    try:
        info = TypeAdapter(ModelInfo).validate_json(metadata.get("model", "")[:LONGEST])
        with torch.device("meta"):  # takes no memory, whatever the options
            model = Classifier(build_layers(info.architecture, info.options, seed=0))
    except ValidationError as error:
        raise damaged(path, f"it is no model: {first_problem(error)}")
    _check(path, tensors, model.state_dict())
    # Copies, because PyTorch aligns them, and the last bits of sums may depend on that.
    model.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    return model, info


def _check(path: Path, tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Refuse tensors of other names, types or shapes than `expected`, and numbers that no training leaves behind."""
    for name in sorted({*tensors, *expected}):
        got, needed = (described({name: both[name]} if name in both else {}) for both in (tensors, expected))
        if got != needed:
            raise damaged(path, f"{needed} is needed, got {got}")
        odd = tensors[name][~tensors[name].isfinite()]
        if len(odd) > 0:
            raise damaged(path, f"{name} has to be finite, got {odd[0]}")
    if tensors["std"] <= 0:
        raise damaged(path, f"std has to be positive, got {tensors['std']}")
