"""Shapes that are not digits, which teach a model to say so: printed letters.

Everything is computed from whole numbers, so that it is the same on every computer.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from string import ascii_letters

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits.dataset import Dataset
from digits.pictures.mnist_format import BOX, SIDE

DIGITS = list("0123456789")  # a copy, or preprocess would depend on known_datasets.py
FONTS = "DejaVuSans", "DejaVuSansMono", "DejaVuSerif"  # with their bold and slanted forms, of those in Matplotlib
LIKE_DIGITS = frozenset("BIOSZgiloqsz")  # letters that a digit resembles


def other_shapes(classes: Sequence[str]) -> Dataset:
    """The letters that do not resemble a digit, as large as MNIST's digits, in every form of `FONTS`.

    They are labelled like a class after the last one. If the classes are not the digits, there are none.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    files = [path for path in sorted(folder.glob("*.ttf")) if path.stem.partition("-")[0] in FONTS]
    letters = [letter for letter in ascii_letters if letter not in LIKE_DIGITS] if list(classes) == DIGITS else []
    images = [printed(ImageFont.truetype(path, 4 * BOX), letter) for path, letter in product(files, letters)]
    return Dataset(np.array(images, np.uint8).reshape(-1, SIDE, SIDE), np.full(len(images), len(classes)))


def printed(font: ImageFont.FreeTypeFont, letter: str) -> np.ndarray:
    """A letter whose longer side has `BOX` pixels, in the middle, light on dark, uint8 (28, 28)."""
    page = Image.new("L", (8 * BOX, 8 * BOX))
    ImageDraw.Draw(page).text((4 * BOX, 4 * BOX), letter, 255, font, anchor="mm")
    ink = page.crop(page.getbbox())
    width, height = (max(1, BOX * side // max(ink.size)) for side in ink.size)
    image = Image.new("L", (SIDE, SIDE))
    image.paste(ink.resize((width, height), Image.Resampling.BOX), ((SIDE - width) // 2, (SIDE - height) // 2))
    return np.asarray(image)
