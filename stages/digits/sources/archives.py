"""The four archives of MNIST and of data sets in its format: gzipped IDX files of bytes.

Source: the description of the format on the MNIST page of LeCun, Cortes and Burges.
"""

import gzip
import struct
from collections.abc import Mapping

import numpy as np

from digits.dataset import Dataset

# The labels and the images of each split. The first archive is the smallest: it shows soonest whether a mirror works.
ARCHIVES = {
    "test": ("t10k-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"),
    "train": ("train-labels-idx1-ubyte.gz", "train-images-idx3-ubyte.gz"),
}
ARCHIVE_NAMES = [name for names in ARCHIVES.values() for name in names]


def read_archives(archives: Mapping[str, bytes], split: str) -> Dataset:
    """The images of a split, "train" or "test", in archives whose SHA-256 has been checked, by name."""
    labels, images = (_read_idx(archives[name]) for name in ARCHIVES[split])
    return Dataset(images, labels.astype(np.int64))


def _read_idx(packed: bytes) -> np.ndarray:
    """The values of a gzipped IDX file, uint8; its fourth byte is the number of dimensions, whose sizes follow."""
    content = gzip.decompress(packed)
    dimensions = content[3]
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
