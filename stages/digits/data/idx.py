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

from digits.foundation.files import replacing
from digits.foundation.stage import UserError

import numpy as np

if TYPE_CHECKING:
    import torch

UNSIGNED_BYTE = 8  # the format's code for the type of the values
MAX_ITEMS = 10**6  # MNIST has 60,000, the largest set of its family 814,255; bounds what a header can claim


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

    try:
        with gzip.open(path) as file:
            header = file.read(8 + 4 * len(item_shape))
            size = _count_items(path, header, item_shape) * math.prod(item_shape)
            values = file.read(size + 1)  # to its end: the checksum stands there
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `dvc repro` fetches it")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, f"it cannot be unpacked: {error}")
    if len(values) != size:
        raise _damaged(path, f"its header promises {size} bytes, got {'more' if len(values) > size else len(values)}")
    with tempfile.TemporaryDirectory() as folder:
        # The reader takes a path to an unpacked file.
        unpacked = Path(folder, "idx")
        unpacked.write_bytes(header + values)
        array: torch.Tensor = read_sn3_pascalvincent_tensor(str(unpacked))
    return array


def _count_items(path: Path, header: bytes, item_shape: tuple[int, ...]) -> int:
    """How many items of `item_shape` the header promises."""
    ndim = 1 + len(item_shape)
    magic = struct.pack(">HBB", 0, UNSIGNED_BYTE, ndim)
    if header[:4] != magic:
        raise _damaged(path, f"its magic number has to be {magic.hex()}, got {header[:4].hex() or 'nothing'}")
    if len(header) < 4 + 4 * ndim:
        raise _damaged(path, "it ends inside its header")
    count, *shape = struct.unpack(f">{ndim}I", header[4:])
    if tuple(shape) != item_shape:
        raise _damaged(path, f"its items have to be of shape {item_shape}, got {tuple(shape)}")
    if not 1 <= count <= MAX_ITEMS:
        raise _damaged(path, f"it has to hold 1 to {MAX_ITEMS:,} items, got {count:,}")
    return int(count)


def _damaged(path: Path, problem: str) -> UserError:
    return UserError(f"{path}: {problem}; delete {path.parent} and run `dvc repro`")
