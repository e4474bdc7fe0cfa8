"""The IDX format of the MNIST archives: a big-endian header followed by bytes, gzipped.

Source: the description on the MNIST page of LeCun, Cortes and Burges.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

from digits.foundation.files import missing_file, replacing
from digits.foundation.stage import UserError

import numpy as np

UNSIGNED_BYTE = 8  # the format's code for the data type
MAX_BLOCK = 2**16 - 1  # bytes of a stored block
MAX_ITEMS = 10**6  # bounds what a header can claim; MNIST has 60,000, the largest EMNIST set 814,255


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write `array`, uint8 of any shape, as a gzipped IDX file, the same bytes every time."""
    header = struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape)
    with replacing(path) as temporary:
        temporary.write_bytes(_stored(header + array.astype(np.uint8).tobytes()))


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


def _stored(content: bytes) -> bytes:
    """`content` as a gzip file without compression, which would depend on the versions of Python and zlib.

    Source: RFC 1952, section 2.3, for the file, and RFC 1951, section 3.2.4, for the blocks in it.
    """
    file_header = b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # deflate; no flags, no time, system unknown
    blocks = [content[start : start + MAX_BLOCK] for start in range(0, len(content), MAX_BLOCK)]
    last = len(blocks) - 1
    stored = [
        struct.pack("<BHH", index == last, len(block), len(block) ^ 0xFFFF) + block
        for index, block in enumerate(blocks)
    ]
    return file_header + b"".join(stored) + struct.pack("<II", zlib.crc32(content), len(content))


def _count_items(path: Path, header: bytes, item_shape: tuple[int, ...]) -> int:
    """The number of items that the header claims, after checking the rest of it."""
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
