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

UNSIGNED_BYTES = 0x800  # the magic number, to which the number of dimensions is added
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
    layout = struct.Struct(f">{2 + len(item_shape)}I")
    expected = [UNSIGNED_BYTES + 1 + len(item_shape), *item_shape]
    try:
        with gzip.open(path) as file:
            header = file.read(layout.size)
            magic, count, *shape = layout.unpack(header.ljust(layout.size, b"\0"))
            if [magic, *shape] != expected or not 1 <= count <= MAX_ITEMS:
                limits = f"1 to {MAX_ITEMS:,} items of bytes, each of shape {item_shape}"
                raise _damaged(path, f"its header must announce {limits}, got {header.hex() or 'nothing'}")
            size = count * math.prod(item_shape)
            values = file.read(size + 1)  # past the end, so that gzip checks its checksum
    except FileNotFoundError:
        raise missing_file(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, f"it cannot be unpacked: {error}")
    if len(values) != size:
        raise _damaged(path, f"its header claims {size} bytes, got {'more' if len(values) > size else len(values)}")
    return np.frombuffer(values, dtype=np.uint8).reshape(-1, *item_shape)


def _damaged(path: Path, problem: str) -> UserError:
    return UserError(f"{path}: {problem}; delete {path.parent} and run `dvc repro`")
