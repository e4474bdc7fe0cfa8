"""Convert the picture of a digit to the MNIST format, the only one in which a model trained on MNIST does well.

As its authors describe it, the digit is scaled to a box of 20 x 20 pixels, keeping its aspect ratio and anti-aliased,
and the box is placed in an image of 28 x 28 pixels so that the centre of mass is in the middle.
Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from digits.pictures.forms import WIDEST, cells, labelled
from digits.pictures.ink import NoDigitError, SeveralDigitsError, find_ink
from digits.pictures.lines import SMALLEST, Floats, Gray, Mask
from digits.pictures.shapes import find_shapes

SIDE, BOX = 28, 20
FINE = 10  # the factor by which the box is enlarged to correct the width of strokes
# Widths of strokes in pixels of the box, those of 96 % of MNIST's training images; others are corrected.
THINNEST, THICKEST = 1.5, 4.0
BLOB = 7.0  # pixels; anything wider is not a stroke; the widest of MNIST's training images has 6.8
SPECK = 0.15  # of the height of a loop: what is higher inside is no speck
CORNERS = 0.96  # of the smallest rectangle around it: a box fills more, a 0 does not
MOST_PARTS = 4  # unconnected parts that a digit may have


class Digit(NamedTuple):
    """A digit on a picture."""

    image: Gray  # in MNIST format, uint8 (28, 28), 0 (paper) to 255 (ink)
    box: tuple[float, float, float, float]  # left, top, right, bottom, as fractions of the picture's width and height


def find_digits(image: Image.Image) -> list[Digit]:
    """The digits on a picture of any size and mode, dark on light or light on dark, from left to right.

    Raises a `NoDigitError` if there is nothing on it, or something other than digits in one row.
    """
    digits = []
    for shape in find_shapes(find_ink(image)):
        (height, width), (left, top, right, bottom) = shape.ink.shape, shape.box
        ink = shape.ink[top:bottom, left:right]
        _refuse_other_shapes(ink, shape.parts)
        box = left / width, top / height, right / width, bottom / height
        digits.append(Digit(_centered(_scaled(ink)), box))
    return digits


def to_mnist_format(image: Image.Image) -> Gray:
    """The digit on a picture, as `find_digits` finds it, in MNIST format, uint8 (28, 28), 0 (paper) to 255 (ink).

    Raises a `SeveralDigitsError` if there are several, and a `NoDigitError` as `find_digits` does.
    """
    digits = find_digits(image)
    if len(digits) > 1:
        raise SeveralDigitsError(f"it shows {len(digits)} shapes; one at a time")
    return digits[0].image


def _refuse_other_shapes(ink: Floats, parts: int) -> None:
    """Raise a NoDigitError if ink, cropped to its box and in so many unconnected parts, cannot be a digit."""
    height, width = ink.shape
    if height >= SMALLEST:
        _refuse_frames(ink > 0)
    if parts > MOST_PARTS:
        raise NoDigitError(f"it shows {parts} shapes; one at a time")
    if width > WIDEST * height:
        raise NoDigitError("it is wider than a digit; one at a time")


def _refuse_frames(ink: Mask) -> None:
    """Raise a NoDigitError if ink, cropped to its box, is something with another thing inside, or a box."""
    mask = ink.astype(np.uint8)
    loops = cells(labelled(ink)[0], ink)
    if any(loop.content > SPECK for loop in loops):
        raise NoDigitError("it shows 2 shapes, one inside the other; one at a time")
    outline = max(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0], key=cv2.contourArea)
    if loops and cv2.contourArea(outline) > CORNERS * np.prod(cv2.minAreaRect(outline)[1]):
        raise NoDigitError("it shows a box that is empty, or that the digit touches; write inside it")


def _scaled(ink: Floats) -> Floats:
    """The digit in MNIST's box, with strokes as wide as in MNIST, 0 to 255, float32, 20 pixels on the longer side."""
    image = Image.fromarray(ink.round().astype(np.uint8))
    width = _stroke_width(_resized(image, BOX * FINE, Image.Resampling.BICUBIC)) / FINE
    if width > BLOB:
        raise NoDigitError("it shows a blob rather than strokes")
    missing = round(FINE * (min(max(width, THINNEST), THICKEST) - width) / 2)  # pixels on each side
    fine = _resized(image, BOX * FINE, Image.Resampling.BOX)
    if missing > 0:
        fine = ImageOps.expand(fine, missing).filter(ImageFilter.MaxFilter(1 + 2 * missing))
    elif missing < 0:
        fine = fine.filter(ImageFilter.MinFilter(1 - 2 * missing))
    box: Floats = np.asarray(_resized(fine.crop(fine.getbbox()), BOX, Image.Resampling.BOX), np.float32)
    box *= 255 / box.max()
    return box


def _resized(image: Image.Image, longest: int, resampling: Image.Resampling) -> Image.Image:
    """The image with `longest` pixels on its longer side."""
    width, height = (max(1, round(side * longest / max(image.size))) for side in image.size)
    return image.resize((width, height), resampling)


def _stroke_width(image: Image.Image) -> float:
    """The width of strokes in pixels: twice their area by the length of their edges, as for a long thin rectangle."""
    ink = np.pad(np.asarray(image, np.float32), 1)
    return float(2 * ink.sum() / np.hypot(*np.gradient(ink)).sum())


def _centered(box: Floats) -> Gray:
    """The image with the box, its centre of mass as near the middle as whole pixels and the margins allow."""
    margins = []
    for axis, side in enumerate(box.shape):
        center = np.average(np.arange(side), weights=box.sum(axis=1 - axis))
        before = min(max(round(SIDE / 2 - center), 0), SIDE - side)
        margins.append((before, SIDE - side - before))
    return np.pad(box.round().astype(np.uint8), margins)
