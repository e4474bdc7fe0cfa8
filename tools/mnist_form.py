"""Bring the picture of a digit to MNIST's form, on which it depends whether a model does well.

That form, as its authors describe it: the digit is scaled, with its aspect ratio and anti-aliased, to a box of 20 x 20
pixels, which is then moved in an image of 28 x 28 so that the centre of mass is in the middle.
Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

import sys

try:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image, ImageFilter, ImageOps
except ImportError as error:
    sys.exit(f"error: python: {error.name} is not installed; `source .venv/bin/activate` first")

Floats = NDArray[np.float32]
SIDE, BOX = 28, 20
WORKING_SIDE = 320  # pixels; larger pictures are scaled down
FINE = 10  # pixels in place of each of the box's, where the width of strokes is corrected
# Widths of strokes, in pixels of the box: outside of what 96 % of MNIST's training images have, they are corrected.
THINNEST, THICKEST = 1.5, 4.0
WIDEST = 2.2  # width by height; it is larger in one of 10,000 of MNIST's training images
SPECK = 0.03  # share of the ink; smaller shapes are left out
MOST_PARTS = 4  # of a digit that the pen has left unconnected
FAINTEST = 24  # of 255; less contrast is no ink
NOTHING = "there is nothing on it"


class NoDigitError(ValueError):
    """The picture does not show one digit; the message says what it shows."""


def mnist_form(image: Image.Image) -> NDArray[np.uint8]:
    """The digit on a picture of any size and mode, dark on light or light on dark, as an image of MNIST's.

    Returns:
        uint8 (28, 28), 0 (paper) to 255 (ink).

    Raises:
        NoDigitError: there is nothing on it, or more than a digit.
    """
    return _centered(_scaled(_one_digit(_ink(_contrast(_colors(image))))))


def _colors(image: Image.Image) -> Floats:
    """Red, green and blue, 0 to 255, float32 (H, W, 3), of a picture without transparency and not too large."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # Pillow would clip what has more than 8 bits
        values = np.asarray(image, np.float64)
        image = Image.fromarray((255 * (values - values.min()) / max(np.ptp(values), 1)).astype(np.uint8))
    image = image.convert("RGBA")
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    # Behind what is transparent belongs paper on which the strokes can be seen.
    grey, alpha = (np.asarray(part, np.float32) for part in (image.convert("L"), image.getchannel("A")))
    paper = "white" if (grey * alpha).sum() < 128 * alpha.sum() else "black"
    image = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
    return np.asarray(image.convert("RGB"), np.float32)


def _contrast(colors: Floats) -> Floats:
    """How far each pixel's colour is from the paper's there, 0 to 255, float32 (H, W).

    The paper, in whatever light, is a quadratic surface through the margins and all that agrees with them.
    """
    height, width, _ = colors.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).reshape(6, -1)
    values = np.ascontiguousarray(colors.reshape(-1, 3).T)
    sample = slice(None, None, 1 + height * width // 5000)
    known, where = values[:, sample], terms[:, sample]
    paper = np.abs(where[1:3]).max(axis=0) > 0.9
    surface = np.median(known[:, paper], axis=1, keepdims=True)
    for _ in range(5):
        distance = np.abs(known - surface).max(axis=0)
        paper = distance <= 8 + 4 * np.median(distance[paper])
        there = where[:, paper]
        fit = np.linalg.solve(there @ there.T + 1e-6 * np.eye(6), there @ known[:, paper].T).T
        surface = fit @ where
    distance = np.abs(values - fit @ terms).max(axis=0).clip(0, 255)
    return np.asarray(distance.round().reshape(height, width), np.float32)


def _ink(contrast: Floats) -> Floats:
    """Contrast where it is more than noise, else 0, float32 (H, W).

    Raises:
        NoDigitError: there is nothing but noise.
    """
    threshold = _otsu(contrast)
    if (contrast <= threshold).all():
        raise NoDigitError(NOTHING)
    strokes = float(np.median(contrast[contrast > threshold]))
    # Four fifths of the rest lie below this: not zero as soon as the paper is noisy, zero where only edges are soft.
    noise = float(np.quantile(contrast[contrast <= threshold], 0.8))
    if strokes < max(FAINTEST, 4 * noise):
        raise NoDigitError(NOTHING)
    return np.where(contrast > min(3.5 * noise, 0.6 * strokes), contrast, np.float32(0))


def _otsu(values: Floats) -> int:
    """The threshold that parts whole numbers from 0 to 255 into two classes with the least variance within them.

    Source: N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    counts = np.bincount(values.astype(int).ravel(), minlength=256)
    below, total = np.cumsum(counts), np.cumsum(counts * np.arange(len(counts)))
    above = below[-1] - below
    between = (total[-1] * below / below[-1] - total) ** 2 / np.maximum(below * above, 1)
    return int(between.argmax())


def _one_digit(ink: Floats) -> Floats:
    """The part of the picture that the digit fills, without specks.

    Raises:
        NoDigitError: there is more than one.
    """
    for cells in (80, 24):  # once to find it among specks, and once more closely
        labels = _label(ink, cells)
        masses = np.bincount(labels.ravel(), ink.ravel())
        kept = np.flatnonzero(masses > SPECK * masses.sum())
        ink = np.where(np.isin(labels, kept), ink, np.float32(0))
        here = _extent(ink > 0)
        ink, labels = ink[here], labels[here]
    height, width = ink.shape
    extents = [_extent(labels == label) for label in kept]
    beside = _disjoint([columns for rows, columns in extents if rows.stop - rows.start > 0.5 * height])
    below = _disjoint([rows for rows, _ in extents if rows.stop - rows.start > 0.35 * height])
    if max(beside, below) > 1 or len(kept) > MOST_PARTS:
        raise NoDigitError(f"it shows {len(kept)} shapes; one digit at a time")
    if width > WIDEST * height:
        raise NoDigitError("it is wider than a digit; one digit at a time")
    return ink


def _label(ink: Floats, cells: int) -> NDArray[np.int64]:
    """Numbers, from 1 on, of the shapes to which pixels with ink belong, int64 (H, W), 0 where there is none.

    Seen on a grid of `cells` on the longer side, so that what is broken by less than a cell is still one shape.
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
    """The rows and the columns from the first to the last with something in them."""
    rows, columns = np.nonzero(mask)
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def _disjoint(spans: list[slice]) -> int:
    """How many stretches, one after the other, the spans cover."""
    count, end = 0, 0
    for span in sorted(spans, key=lambda span: span.start):
        count += count == 0 or span.start >= end
        end = max(end, span.stop)
    return count


def _scaled(ink: Floats) -> Floats:
    """The digit in MNIST's box, with strokes of a width that occurs there, 0 to 255, float32, 20 pixels long."""
    image = Image.fromarray(ink.round().astype(np.uint8))
    width = _stroke_width(_resized(image, BOX * FINE, Image.Resampling.BICUBIC)) / FINE
    missing = round(FINE * (min(max(width, THINNEST), THICKEST) - width) / 2)  # on either side
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
    """In pixels: a stroke that is much longer than wide has an area of its length times this, and two edges."""
    ink = np.pad(np.asarray(image, np.float32), 1)
    return float(2 * ink.sum() / np.hypot(*np.gradient(ink)).sum())


def _centered(box: Floats) -> NDArray[np.uint8]:
    """The box in an image, moved by whole pixels so that its centre of mass is in the middle, as far as it fits."""
    form = np.zeros((SIDE, SIDE), np.uint8)
    place = []
    for axis, side in enumerate(box.shape):
        center = np.average(np.arange(side), weights=box.sum(axis=1 - axis))
        start = min(max(round(SIDE / 2 - center), 0), SIDE - side)
        place.append(slice(start, start + side))
    form[tuple(place)] = box.round()
    return form
