"""The file of a trained model: its weights, its normalisation, and what it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from digits.dataset import Description
from digits.foundation.files import damaged_file
from digits.foundation.params import Section, first_problem
from digits.foundation.tensors import describe, read_tensors, write_tensors
from digits.models.layers import Layer
from digits.models.networks import NETWORKS, layers_of

MAX_INFO_CHARACTERS = 50_000  # longer metadata is cut off, which makes it invalid JSON


class ModelInfo(Section):
    """What a model file says about its model."""

    architecture: Annotated[str, Field(pattern=f"^({'|'.join(NETWORKS)})$")]  # for `layers_of`, like `options`
    options: dict[str, Any]
    dataset: Description  # what it was trained on
    others: bool = False  # whether it was taught shapes that belong to no class, too


@dataclass(frozen=True)
class Model:
    """A trained model."""

    info: ModelInfo
    layers: list[Layer]  # in order
    # Float32: `mean` and `std`, which standardise the pixels, and what the layers consist of, by the names that PyTorch
    # gives them: `layers.0.weight` is the weight of the first layer.
    tensors: dict[str, np.ndarray]


def save_model(path: Path, tensors: Mapping[str, np.ndarray], info: ModelInfo) -> None:
    """Write the tensors of a model, as in `Model`, with `info`, to a safetensors file."""
    write_tensors(path, tensors, metadata={"model": json.dumps(info.model_dump(exclude_defaults=True))})


def load_model(path: Path | str) -> Model:
    """Read a file that `save_model` wrote; a `UserError` if it is missing, damaged, something else, or not finite."""
    tensors, metadata = read_tensors(path)
    try:
        info = ModelInfo.model_validate_json(metadata.get("model", "")[:MAX_INFO_CHARACTERS])
        layers = layers_of(info.architecture, info.options, len(info.dataset.classes))
    except ValidationError as error:
        raise damaged_file(path, f"not a model: {first_problem(error)}")
    _check_tensors(path, tensors, layers)
    # Copies, which NumPy aligns in memory: the last bits of sums may depend on it, and those of the file may not be.
    return Model(info, layers, {name: tensor.copy() for name, tensor in tensors.items()})


def _check_tensors(path: Path | str, tensors: dict[str, np.ndarray], layers: list[Layer]) -> None:
    """Reject tensors whose names, types or shapes are not those of the layers, and values that training cannot give."""
    expected = {"mean": (), "std": ()} | {
        f"layers.{index}.{name}": shape for index, layer in enumerate(layers) for name, shape in layer.tensors.items()
    }
    for name in sorted({*tensors, *expected}):
        got = describe({name: tensors[name]} if name in tensors else {})
        kind = "int64" if name.endswith("num_batches_tracked") else "float32"
        needed = f"{name} {kind} {expected[name]}" if name in expected else "nothing"
        if got != needed:
            raise damaged_file(path, f"expected {needed}, got {got}")
        invalid = tensors[name][~np.isfinite(tensors[name])]
        if len(invalid) > 0:
            raise damaged_file(path, f"{name} must be finite, got {invalid[0]}")
    if tensors["std"] <= 0:
        raise damaged_file(path, f"std must be positive, got {tensors['std']}")
