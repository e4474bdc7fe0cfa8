"""How pictures become images like those of a data set."""

from collections.abc import Callable

from digits.pictures.mnist_format import to_mnist_format
from digits.pictures.whole import to_gray_square

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# By what a data set says of its pictures: strokes on paper, found and brought to MNIST's form, or the whole picture.
CONVERSIONS: dict[str, Callable[[Image.Image], NDArray[np.uint8]]] = {
    "strokes": to_mnist_format,
    "whole": to_gray_square,
}
