"""Convert the picture of a digit to the MNIST format, the only one in which a model trained on MNIST does well.

As its authors describe it, the digit is scaled to a box of 20 x 20 pixels, keeping its aspect ratio and anti-aliased,
and the box is placed in an image of 28 x 28 pixels so that the centre of mass is in the middle.
Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

from digits.pictures.ink import Floats, NoDigitError, find_ink

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

SIDE, BOX = 28, 20
FINE = 10  # the factor by which the box is enlarged to correct the width of strokes
# Widths of strokes in pixels of the box, those of 96 % of MNIST's training images; others are corrected.
THINNEST, THICKEST = 1.5, 4.0
BLOB = 7.0  # pixels; anything wider is not a stroke; the widest of MNIST's training images has 6.8
WIDEST = 2.2  # width divided by height; two of MNIST's 60,000 training images are wider
SPECK = 0.03  # share of the ink; smaller shapes are ignored
MOST_PARTS = 4  # unconnected parts that a digit may have


def to_mnist_format(image: Image.Image) -> NDArray[np.uint8]:
    """The digit on a picture of any size and mode, dark on light or light on dark, as an image in MNIST format.

    Returns:
        uint8 (28, 28), 0 (paper) to 255 (ink).

    Raises:
        NoDigitError: there is nothing on it, or something other than one digit.
    """
    return _centered(_scaled(_isolated(find_ink(image))))


def _isolated(ink: Floats) -> Floats:
    """The picture cropped to its digit, without specks.

    Raises:
        NoDigitError: there is more than one.
    """
    for cells in (80, 24):  # twice, since specks far from a small digit make the first grid too coarse for it
        labels = _label(ink, cells)
        masses = np.bincount(labels.ravel(), ink.ravel())
        kept = np.flatnonzero(masses > min(SPECK * masses.sum(), masses.max() / 2))
        labels[~np.isin(labels, kept)] = 0
        ink = np.where(labels > 0, ink, np.float32(0))
        here = _extent(ink > 0)
        ink, labels = ink[here], labels[here]
    groups = _count_groups(labels, 1, 0.5), _count_groups(_label(ink, 48), 1, 0.7), _count_groups(labels, 0, 0.35)
    if max(groups) > 1 or len(kept) > MOST_PARTS:
        raise NoDigitError(f"it shows {max(*groups, len(kept))} shapes; one digit at a time")
    if ink.shape[1] > WIDEST * ink.shape[0]:
        raise NoDigitError("it is wider than a digit; one digit at a time")
    return ink


def _label(ink: Floats, cells: int) -> NDArray[np.int64]:
    """The connected shapes: for each pixel with ink the number of its shape, from 1, else 0, int64 (H, W).

    They are connected on a grid with `cells` along the longer side, so gaps of less than a cell do not break a shape.
    """
    size = -(-max(ink.shape) // cells)
    height, width = (-(-side // size) for side in ink.shape)
    padded = np.zeros((height * size, width * size), bool)
    padded[: ink.shape[0], : ink.shape[1]] = ink > 0
    grid = padded.reshape(height, size, width, size).any(axis=(1, 3))
    labels, number, waiting = np.zeros(grid.shape, int), 0, {(y, x) for y, x in np.argwhere(grid).tolist()}
    while waiting:
        number, edge = number + 1, [waiting.pop()]
        while edge:
            y, x = edge.pop()
            labels[y, x] = number
            near = waiting.intersection((y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
            waiting -= near
            edge += near
    spread = np.kron(labels, np.ones((size, size), int))[: ink.shape[0], : ink.shape[1]]
    return np.where(ink > 0, spread, 0)


def _extent(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The smallest box of rows and columns that contains all of the mask."""
    rows, columns = np.nonzero(mask)
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def _count_groups(labels: NDArray[np.int64], axis: int, share: float) -> int:
    """The number of groups of shapes that do not overlap along an axis, of shapes above this share of the height."""
    extents = [_extent(labels == label) for label in np.unique(labels[labels > 0])]
    spans = [extent[axis] for extent in extents if extent[0].stop - extent[0].start > share * len(labels)]
    count, end = 0, 0
    for span in sorted(spans, key=lambda span: span.start):
        count += count == 0 or span.start >= end
        end = max(end, span.stop)
    return count


def _scaled(ink: Floats) -> Floats:
    """The digit in MNIST's box, with strokes as wide as in MNIST, 0 to 255, float32, 20 pixels on the longer side.

    Raises:
        NoDigitError: it has no strokes.
    """
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


def _centered(box: Floats) -> NDArray[np.uint8]:
    """The image with the box, its centre of mass as near the middle as whole pixels and the margins allow."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    place = []
    for axis, side in enumerate(box.shape):
        center = np.average(np.arange(side), weights=box.sum(axis=1 - axis))
        start = min(max(round(SIDE / 2 - center), 0), SIDE - side)
        place.append(slice(start, start + side))
    image[tuple(place)] = box.round()
    return image
