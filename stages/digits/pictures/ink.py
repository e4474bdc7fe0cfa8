"""Find the ink on a picture: a drawing or a photograph, dark on light or light on dark."""

import cv2
import numpy as np
from PIL import Image

from digits.pictures.forms import frames
from digits.pictures.lines import SMALLEST, Floats, without_lines

WORKING_SIDE = 320  # pixels; larger pictures are scaled down
FAINTEST = 24  # of 255; anything fainter is not ink
CLEAR = 0.3, 0.5  # of the median ink; anything fainter is the edge of a stroke, where a frame and a digit may meet
PAPER = 0.75  # of the longer side: the side of a square that ink does not fill, and paper does
ONE_SIDED = 0.7  # of a quantile, for noise that is cut off at the end of the range; chosen on noisy validation images
SKEWED = 0.5  # less: ink and paper cover about as much


class NoDigitError(ValueError):
    """The picture does not show one digit; the message says what it shows."""


class SeveralDigitsError(NoDigitError):
    """The picture shows several digits."""


def find_ink(image: Image.Image) -> Floats:
    """The strength of the ink in each pixel, 0 (paper) to 255, float32 (H, W), both sides at most WORKING_SIDE.

    Raises a `NoDigitError` if there is none.
    """
    strength, skewness = _strength(_colors(image))
    ink = _above_paper(strength)
    if skewness < SKEWED:
        other = _above_paper(-strength)
        # Taken for ink, the paper in and beside a thick digit spreads less than the digit.
        if _spread(other) > 1.15 * _spread(ink):
            ink = other
    if not ink.any():
        raise NoDigitError("there is nothing on it, or it is too faint")
    return ink


def eight_bits(image: Image.Image) -> Image.Image:
    """The picture, with values of more than 8 bits scaled to the range from 0 to 255, where Pillow would clip them.

    The largest value tells how many bits there are, as 12 in a file for 16; fractions are stretched.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0).clip(0)
    largest = float(values.max())
    limit = (largest or 1.0) if largest <= 1 else 2.0 ** max(8, int(largest).bit_length()) - 1
    return Image.fromarray((values * (255 / limit)).astype(np.uint8))


def _spread(ink: Floats) -> int:
    """The number of pixels in the box around the ink."""
    _, _, width, height = cv2.boundingRect((ink > 0).astype(np.uint8))
    return width * height


def _above_paper(strength: Floats) -> Floats:
    """The ink alone, without lines and frames, 0 elsewhere, float32 (H, W)."""
    contrast = _without_paper(strength)
    ink = _without_noise(contrast)
    if min(ink.shape) < SMALLEST or not ink.any():
        return ink
    clear = [frames(ink > share * np.median(ink[ink > 0])) for share in CLEAR]
    around = cv2.dilate(np.logical_or(*clear).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(around, np.float32(0), _without_noise(without_lines(contrast, (ink > 0) & ~around)))


def _colors(image: Image.Image) -> Floats:
    """Red, green and blue, 0 to 255, float32 (H, W, 3), scaled down and without transparency."""
    image = eight_bits(image).convert("RGBA")
    image.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    # Transparent areas become paper that contrasts with the strokes.
    gray, alpha = (np.asarray(part, np.float32) for part in (image.convert("L"), image.getchannel("A")))
    paper = "white" if (gray * alpha).sum() < 128 * alpha.sum() else "black"
    image = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
    return np.asarray(image.convert("RGB"), np.float32)


def _strength(colors: Floats) -> tuple[Floats, float]:
    """The colours along the axis from that of the paper to that of the ink, which is larger, float32 (H, W).

    Ink covers less than half of its surroundings, so the third power of the distance from their mean shows its side.
    The other result is the skewness, which is near 0 if either side may be the ink.
    """
    detail = colors - cv2.blur(colors, (max(colors.shape) // 2 | 1,) * 2)
    axis = (detail * (detail**2).sum(axis=2, keepdims=True)).sum(axis=(0, 1), dtype=np.float64)
    axis /= max(np.abs(axis).sum(), 1e-9)
    along = detail @ axis
    return np.asarray(colors @ axis, np.float32), float((along**3).mean() / max((along**2).mean() ** 1.5, 1e-9))


def _without_paper(strength: Floats) -> Floats:
    """The strength above that of the paper, whose light may vary, float32 (H, W).

    A line along the border, or the table that the paper lies on, goes on beyond the border and so counts as paper.
    """
    reach = round(PAPER * max(strength.shape)) | 1
    around = cv2.copyMakeBorder(strength, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    paper = cv2.morphologyEx(around, cv2.MORPH_OPEN, np.ones((reach, reach), np.uint8))
    return np.asarray(strength - paper[reach:-reach, reach:-reach])


def _without_noise(contrast: Floats) -> Floats:
    """The contrast where it exceeds the noise, 0 elsewhere, float32 (H, W)."""
    # Two quantiles of the paper, which covers a third at least; noise around its mean is as far apart, about.
    low, high = np.quantile(contrast, [0.05, 0.25]).tolist()
    noise = high - low
    if noise == 0:  # of paper at the end of the range, noise goes to one side only
        ink, _ = cv2.threshold(contrast.clip(0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        noise = ONE_SIDED * float(np.quantile(contrast[contrast <= ink], 0.8))
    contrast = contrast - (high + 0.7 * noise)
    strokes = contrast[contrast > max(FAINTEST, 5 * noise)]
    if not strokes.size:
        return np.zeros_like(contrast)
    level = float(np.median(strokes))
    certain = contrast > max(0.3 * level, 4 * noise)
    near = cv2.dilate(certain.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    soft = near & (contrast > max(0.05 * level, 2 * noise))  # the edges of strokes
    return np.where(certain | soft, contrast, np.float32(0)).clip(0, 255)
