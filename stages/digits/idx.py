"""The IDX format of the MNIST archives: a big-endian header, then bytes, gzipped.

Source: the description on the MNIST page of LeCun, Cortes and Burges.
"""

import gzip
import math
import struct
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from digits.files import replacing
from digits.stage import UserError

import numpy as np

if TYPE_CHECKING:
    import torch

UNSIGNED_BYTE = 8  # the format's code for the type of the values
MAX_BYTES = 2**31  # 2.7 million images; stops an archive that unpacks without end


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write `array`, uint8 of any shape, as a gzipped IDX file, the same bytes every time."""
    header = struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape)
    # The time would make each archive another one.
    packed = gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)
    with replacing(path) as temporary:
        temporary.write_bytes(packed)


def read_idx(path: Path, item_shape: tuple[int, ...]) -> "torch.Tensor":
    """Read a gzipped IDX file of bytes.

    Args:
        path: the archive.
        item_shape: shape of one item: (28, 28) for images, () for labels.

    Returns:
        uint8 (N, *item_shape).

    Raises:
        UserError: the file is missing or damaged, or holds items of another type or shape.
    """
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    data = _unpack(path)
    ndim = 1 + len(item_shape)
    header_size = 4 + 4 * ndim
    magic = struct.pack(">HBB", 0, UNSIGNED_BYTE, ndim)
    if data[:4] != magic:
        raise _damaged(path, f"its magic number has to be {magic.hex()}, got {data[:4].hex() or 'nothing'}")
    if len(data) < header_size:
        raise _damaged(path, "it ends inside its header")
    shape = struct.unpack(f">{ndim}I", data[4:header_size])
    if shape[1:] != item_shape:
        raise _damaged(path, f"its items have to be of shape {item_shape}, got {shape[1:]}")
    if shape[0] == 0:
        raise _damaged(path, "it holds no items")
    if len(data) - header_size != math.prod(shape):
        raise _damaged(path, f"its header promises {math.prod(shape)} bytes, got {len(data) - header_size}")
    with tempfile.TemporaryDirectory() as folder:
        # The reader takes a path to an unpacked file.
        unpacked = Path(folder, "idx")
        unpacked.write_bytes(data)
        array: torch.Tensor = read_sn3_pascalvincent_tensor(str(unpacked))
    return array


def _unpack(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `dvc repro` fetches it")
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"it cannot be unpacked: {error}")
    if len(data) > MAX_BYTES:
        raise _damaged(path, f"it unpacks to more than {MAX_BYTES} bytes")
    return data


def _damaged(path: Path, problem: str) -> UserError:
    return UserError(f"{path}: {problem}; delete {path.parent} and run `dvc repro`")
