"""Tensors in safetensors files, which hold numbers and text only, nothing that could run as code."""

from collections.abc import Mapping
from pathlib import Path

from digits.foundation.files import damaged_file, missing_file, replacing

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous tensors to a safetensors file, the same bytes every time.

    Args:
        metadata: at most one key: safetensors writes several in an order that changes from run to run.

    Raises:
        OSError: it cannot be written; safetensors' own `save_file` would raise another error.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(save(dict(tensors), metadata))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the tensors and the metadata of a file that `write_tensors` wrote.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.is_file():
        raise missing_file(path)
    try:
        with safe_open(path, framework="np") as file:
            return file.get_tensors(), file.metadata() or {}
    # AttributeError: a type that NumPy does not have.
    except (OSError, SafetensorError, AttributeError) as error:
        raise damaged_file(path, str(error).partition("\n")[0])


def describe(tensors: Mapping[str, np.ndarray]) -> str:
    """Names, types and shapes of tensors."""
    return ", ".join(f"{name} {tensor.dtype} {tensor.shape}" for name, tensor in tensors.items()) or "nothing"
