"""Convert a whole picture, whatever it shows, to an image of the form in which MNIST has its digits."""

from digits.pictures.ink import eight_bits

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIDE = 28


def to_gray_square(image: Image.Image) -> NDArray[np.uint8]:
    """A picture of any size and mode in gray, scaled to fit 28 x 28 pixels, on a dark background.

    What is missing to a square is filled with the background, the median of the picture's border. A picture with a
    light background is inverted: as on MNIST's images, the background comes near 0.

    Returns:
        uint8 (28, 28).
    """
    image = eight_bits(image).convert("RGBA")
    gray = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L")
    values = np.asarray(gray)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    background = int(np.median(border))
    square = ImageOps.pad(gray, (SIDE, SIDE), Image.Resampling.LANCZOS, color=background)
    return np.asarray(ImageOps.invert(square) if background > 127 else square)
