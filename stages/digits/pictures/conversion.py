"""How pictures become images like those of a data set: as handwriting in MNIST's format, or whole."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from digits.pictures.ink import eight_bits
from digits.pictures.lines import Gray
from digits.pictures.mnist_format import SIDE, to_mnist_format


def to_gray_square(image: Image.Image) -> Gray:
    """A picture of any size and mode in gray, scaled to fit 28 x 28 pixels, on a dark background, uint8 (28, 28).

    What is missing to a square is filled with the background, the median of the picture's border. A picture with a
    light background is inverted: as on MNIST's images, the background comes near 0.
    """
    image = eight_bits(image).convert("RGBA")
    gray = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L")
    values = np.asarray(gray)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    background = int(np.median(border))
    square = ImageOps.pad(gray, (SIDE, SIDE), Image.Resampling.LANCZOS, color=background)
    return np.asarray(ImageOps.invert(square) if background > 127 else square)


# By what a data set says of its pictures: strokes on paper, found and brought to MNIST's form, or the whole picture.
CONVERSIONS: dict[str, Callable[[Image.Image], Gray]] = {"strokes": to_mnist_format, "whole": to_gray_square}
