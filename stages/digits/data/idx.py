"""The IDX format of the MNIST archives: a big-endian header followed by bytes, gzipped.

Source: the description on the MNIST page of LeCun, Cortes and Burges.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from digits.foundation.files import missing_file
from digits.foundation.stage import UserError

UNSIGNED_BYTE = 8  # the format's code for the data type
MAX_ITEMS = 10**6  # bounds what a header can claim; MNIST has 60,000, the largest EMNIST set 814,255


def read_idx(path: Path, item_shape: tuple[int, ...]) -> np.ndarray:
    """Read a gzipped IDX file of bytes.

    Args:
        path: the archive.
        item_shape: shape of one item: (28, 28) for images, () for labels.

    Returns:
        uint8 (N, *item_shape).

    Raises:
        UserError: the file is missing or damaged, or holds items of another type or shape.
    """
    try:
        with gzip.open(path) as file:
            header = file.read(8 + 4 * len(item_shape))
            size = _count_items(path, header, item_shape) * math.prod(item_shape)
            values = file.read(size + 1)  # past the end, so that gzip checks its checksum
    except FileNotFoundError:
        raise missing_file(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, f"it cannot be unpacked: {error}")
    if len(values) != size:
        raise _damaged(path, f"its header claims {size} bytes, got {'more' if len(values) > size else len(values)}")
    return np.frombuffer(values, dtype=np.uint8).reshape(-1, *item_shape)


def _count_items(path: Path, header: bytes, item_shape: tuple[int, ...]) -> int:
    """The number of items that the header claims, after checking the rest of it."""
    ndim = 1 + len(item_shape)
    magic = struct.pack(">HBB", 0, UNSIGNED_BYTE, ndim)
    if header[:4] != magic:
        raise _damaged(path, f"its magic number must be {magic.hex()}, got {header[:4].hex() or 'nothing'}")
    if len(header) < 4 + 4 * ndim:
        raise _damaged(path, "it ends inside its header")
    count, *shape = struct.unpack(f">{ndim}I", header[4:])
    if tuple(shape) != item_shape:
        raise _damaged(path, f"its items must be of shape {item_shape}, got {tuple(shape)}")
    if not 1 <= count <= MAX_ITEMS:
        raise _damaged(path, f"it must hold 1 to {MAX_ITEMS:,} items, got {count:,}")
    return int(count)


def _damaged(path: Path, problem: str) -> UserError:
    return UserError(f"{path}: {problem}; delete {path.parent} and run `dvc repro`")
