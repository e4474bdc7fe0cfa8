"""The user's own digits, in folders named 0 to 9."""

import hashlib
from pathlib import Path

from digits.data.dataset import Dataset
from digits.pictures.files import NoPictureError, find_pictures, read_picture
from digits.pictures.ink import NoDigitError
from digits.pictures.mnist_format import to_mnist_format

import numpy as np

HELD_OUT = 77  # of 256, so 30 %


def read_drawings(folder: Path) -> tuple[Dataset, list[str]]:
    """The pictures in the folders 0 to 9 below `folder`, drawings or photographs, in MNIST format.

    Returns:
        The images with their labels, in the order of the digits and the files' names, and a line about each picture
        that shows no digit, which is left out.
    """
    images, labels, problems = [], [], []
    for digit in range(10):
        for path in find_pictures([folder / str(digit)] if (folder / str(digit)).is_dir() else []):
            try:
                images.append(to_mnist_format(read_picture(path)))
                labels.append(digit)
            except (NoPictureError, NoDigitError) as error:
                problems.append(f"{path}: is left out: {error}")
    return Dataset(np.array(images, np.uint8).reshape(-1, 28, 28), np.array(labels, np.int64)), problems


def held_out(images: np.ndarray) -> np.ndarray:
    """Which images, uint8 (N, 28, 28), are never trained on, bool (N,).

    An image's own hash decides, so that none ever changes sides, and neither does a copy of it.
    """
    return np.array([hashlib.sha256(image.tobytes()).digest()[0] < HELD_OUT for image in images], bool)
