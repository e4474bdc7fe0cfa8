"""Find the ink on a picture: a drawing or a photograph, dark on light or light on dark."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
WORKING_SIDE = 320  # pixels; larger pictures are scaled down
FAINTEST = 24  # of 255; anything fainter is not ink
NOTHING = "there is nothing on it, or it is too faint"


class NoDigitError(ValueError):
    """The picture does not show one digit; the message says what it shows."""


def find_ink(image: Image.Image) -> Floats:
    """The strength of the ink in each pixel, 0 (paper) to 255, float32 (H, W), both sides at most WORKING_SIDE.

    Raises:
        NoDigitError: there is none.
    """
    return _without_noise(_contrast(_colors(image)))


def _colors(image: Image.Image) -> Floats:
    """Red, green and blue, 0 to 255, float32 (H, W, 3), scaled down and without transparency."""
    if image.mode.startswith(("I", "F")):  # Pillow would clip values of more than 8 bits
        values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        values -= values.min()
        image = Image.fromarray((values * (255 / (values.max() or 1))).astype(np.uint8))
    image = image.convert("RGBA")
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    # Transparent areas become paper that contrasts with the strokes.
    grey, alpha = (np.asarray(part, np.float32) for part in (image.convert("L"), image.getchannel("A")))
    paper = "white" if (grey * alpha).sum() < 128 * alpha.sum() else "black"
    image = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
    return np.asarray(image.convert("RGB"), np.float32)


def _contrast(colors: Floats) -> Floats:
    """How far the colour of each pixel is from that of the paper behind it, 0 to 255, float32 (H, W).

    The paper, under uneven light, is a quadratic surface fitted to the margins and all pixels that agree with them.
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


def _without_noise(contrast: Floats) -> Floats:
    """The contrast where it exceeds the noise, 0 elsewhere, float32 (H, W).

    Raises:
        NoDigitError: there is nothing but noise.
    """
    threshold = _otsu(contrast)
    if (contrast <= threshold).all():
        raise NoDigitError(NOTHING)
    strokes = float(np.median(contrast[contrast > threshold]))
    # A quantile that soft edges alone leave at 0, and noisy paper does not.
    noise = float(np.quantile(contrast[contrast <= threshold], 0.8))
    if strokes < max(FAINTEST, 4 * noise):
        raise NoDigitError(NOTHING)
    return np.where(contrast > max(0.05 * strokes, min(3.5 * noise, 0.6 * strokes)), contrast, np.float32(0))


def _otsu(values: Floats) -> int:
    """The threshold that splits integers from 0 to 255 into two classes with the least variance within them.

    Source: N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    counts = np.bincount(values.astype(int).ravel(), minlength=256)
    below, total = np.cumsum(counts), np.cumsum(counts * np.arange(len(counts)))
    above = below[-1] - below
    between = (total[-1] * below / below[-1] - total) ** 2 / np.maximum(below * above, 1)
    return int(between.argmax())
