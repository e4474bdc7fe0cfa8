"""Tensors in safetensors files, which hold numbers and text, and nothing that could run."""

from collections.abc import Mapping
from pathlib import Path

from digits.foundation.files import replacing
from digits.foundation.params import printable
from digits.foundation.stage import UserError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous tensors to a safetensors file, the same bytes every time.

    Args:
        metadata: of one key at most: safetensors writes several in an order that changes from run to run.

    Raises:
        OSError: it cannot be written; safetensors' own `save_file` would not say so with an OSError.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(save(dict(tensors), metadata))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a file that `write_tensors` wrote, onto the CPU.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: is missing; `dvc repro` makes it")
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensors(), file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `dvc repro` makes it")
    # A header can promise shapes of which PyTorch says with a TypeError or RuntimeError that it has no such tensors.
    except (OSError, SafetensorError, TypeError, RuntimeError) as error:
        raise damaged(path, str(error).partition("\n")[0])


def damaged(path: Path, problem: str) -> UserError:
    """A file that has to be made again, with the reason."""
    return UserError(f"{path}: is damaged: {printable(problem)}; delete it and run `dvc repro`")


def described(tensors: Mapping[str, torch.Tensor]) -> str:
    """Names, types and shapes of tensors."""
    return ", ".join(f"{name} {tensor.dtype} {tuple(tensor.shape)}" for name, tensor in tensors.items()) or "nothing"
