"""Tensors in safetensors files, which hold numbers and text only, nothing that could run as code."""

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from digits.foundation.files import damaged_file, missing_file, replacing

TYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype(np.uint8), "I64": np.dtype(np.int64), "F32": np.dtype(np.float32)}


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous tensors, uint8, int64 or float32, to a safetensors file, the same bytes every time.

    The metadata have at most one key: safetensors writes several in an order that changes from run to run. Raises an
    `OSError` if the file cannot be written; safetensors' own `save_file` would raise another error.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(save(dict(tensors), metadata))


def read_tensors(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the tensors and the metadata of a file that `write_tensors` wrote.

    The tensors are read-only and mapped from the file: what is used is read, several processes share it, and the system
    drops it again where memory is scarce. safetensors itself would copy them. Raises a `UserError` if it is missing or
    damaged, and an `OSError` if it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise missing_file(path)
    tensors: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as opened, safe_open(path, framework="np") as file:
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
            start = 8 + int.from_bytes(content[:8], "little")  # after the header and its size
            for name in file.offset_keys():  # they fill the file without a gap: safe_open has checked that
                part = file.get_slice(name)
                kind, shape = part.get_dtype(), part.get_shape()
                if kind not in TYPES:
                    raise damaged_file(path, f"expected the types {', '.join(TYPES)}, got {name} {kind}")
                tensors[name] = np.frombuffer(content, TYPES[kind], math.prod(shape), start).reshape(shape)
                start += tensors[name].nbytes
            metadata = file.metadata() or {}
    except (OSError, SafetensorError, ValueError) as error:  # ValueError: no element, but a side longer than any
        if isinstance(error, OSError) and error.errno:  # no damage, but a lack of permission or memory
            error.filename = str(path)
            raise
        raise damaged_file(path, str(error).partition("\n")[0])
    return tensors, metadata


def describe(tensors: Mapping[str, np.ndarray]) -> str:
    """Names, types and shapes of tensors."""
    return ", ".join(f"{name} {tensor.dtype} {tensor.shape}" for name, tensor in tensors.items()) or "nothing"
