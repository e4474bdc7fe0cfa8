"""Images of digits that others wrote: USPS, optdigits and pendigits, as the files of two packages hold them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.io import loadmat

from strokes import ink

SIDE, MARGIN, PEN = 70, 10, 5  # pixels of a drawing of pen strokes, in a box as large as MNIST's


class Condition(NamedTuple):
    """Images of one kind: what they are, the images, uint8 (N, H, W), light on dark, and their labels, int64 (N,)."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_usps(path: Path) -> Condition:
    """USPS as papers use it, 16 x 16 pixels, its 7,291 training and 2,007 test images in an order of their own."""
    parts = loadmat(path)  # pixels from -1 to 1, row by row, (256, N); 1 at the digit, -1 elsewhere, (10, N)
    pixels = np.hstack([parts["train_patterns"], parts["test_patterns"]])
    labels = np.hstack([parts["train_labels"], parts["test_labels"]]).argmax(axis=0)
    images = (127.5 * (pixels.T + 1)).round().clip(0, 255).astype(np.uint8)
    return Condition("USPS", images.reshape(-1, 16, 16), labels)


def read_usps_all(path: Path) -> Condition:
    """1,100 images of each digit from the same source, 16 x 16 pixels, which the digit fills in both directions."""
    pixels = loadmat(path)["data"]  # column by column, uint8 (256, 1100, 10), the digits 1 to 9 and then 0
    images = pixels.T.reshape(-1, 16, 16).transpose(0, 2, 1)
    return Condition("USPS, stretched", images, np.repeat(np.roll(np.arange(10), -1), pixels.shape[1]))


def read_optdigits(path: Path) -> Condition:
    """optdigits, 8 x 8 pixels; the last 1,797 images are those that scikit-learn carries."""
    rows = pd.read_csv(path, header=None).to_numpy()  # 64 pixels, 0 to 16, and the digit
    images = (rows[:, :-1] * (255 / 16)).round().astype(np.uint8)
    return Condition("optdigits", images.reshape(-1, 8, 8), rows[:, -1])


def read_pendigits(path: Path) -> Condition:
    """pendigits: the path of a pen as eight points, drawn as one line, also where the pen was lifted."""
    rows = pd.read_csv(path, header=None, skipinitialspace=True).to_numpy()  # x and y, 0 to 100, upwards; the digit
    paths = rows[:, :-1].reshape(-1, 8, 2) * (1, -1) + (0, 100)
    scale = (SIDE - 2 * MARGIN) / 100
    drawn = [(255 * ink([scale * path + MARGIN], (SIDE, SIDE), PEN)).round().astype(np.uint8) for path in paths]
    return Condition("pendigits", np.stack(drawn), rows[:, -1])


READERS: dict[str, Callable[[Path], Condition]] = {
    "usps_resampled.mat": read_usps,
    "usps_all.mat": read_usps_all,
    "optdigits.dat": read_optdigits,
    "penbased.dat": read_pendigits,
}
