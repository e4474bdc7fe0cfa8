"""Remove the lines of ruled and squared paper."""

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Curve = NDArray[np.float64]
SMALLEST = 50  # pixels; on smaller pictures a stroke may be as thin as a line
STEEPEST = 0.1  # pixels up or down per pixel to the right
COVERED = 0.9  # share of a line's length on which there is ink
THICKEST = 0.02  # of the longer side


def without_lines(contrast: Floats, ink: Mask) -> Floats:
    """The contrast without thin lines across a picture of at least `SMALLEST` pixels, float32 (H, W).

    The `ink` is that of strokes and of lines, bool (H, W).
    """
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    if not border.any():
        return contrast
    level = _without_level_lines(contrast, ink)
    return np.ascontiguousarray(_without_level_lines(np.ascontiguousarray(level.T), ink.T).T)


def _without_level_lines(contrast: Floats, ink: Mask) -> Floats:
    """The contrast without lines from side to side, float32 (H, W).

    A stroke that crosses a line stays, since it goes on above and below, and so does one that is darker.
    """
    cleared = contrast.copy()
    rows = np.arange(len(ink))[:, None]
    for guess in _find_level_lines(ink):
        middle, profile = _fitted(guess, np.where(ink, contrast, np.float32(0)))
        if not profile.any():
            continue
        thickness = int((profile > 0.3 * profile.max()).sum())
        strokes = cv2.morphologyEx(contrast, cv2.MORPH_OPEN, np.ones((thickness + 3, 1), np.uint8))
        line = np.abs(rows - middle) <= thickness / 2 + 1
        cleared[line] = np.minimum(cleared, np.maximum(strokes, contrast - 1.5 * profile.max()))[line]
    return cleared


def _fitted(middle: Curve, strength: Floats) -> tuple[Curve, Floats]:
    """The parabola along a line, float64 (W,), and the ink's strength across it, float32 (N,), all 0 if too thick.

    The `middle` says about where it is, float64 (W,); `strength` is that of the ink, float32 (H, W).
    """
    reach = round(THICKEST * max(strength.shape) / 2) + 1
    columns, steps = np.arange(strength.shape[1]), np.arange(-reach, reach + 1)[:, None]
    for _ in range(2):
        across = strength[(middle.round().astype(int) + steps).clip(0, len(strength) - 1), columns]
        total = across.sum(axis=0)
        alone = (across[0] == 0) & (across[-1] == 0) & (total > 0)  # where no stroke crosses
        if alone.mean() < 0.3:
            return middle, np.zeros(len(steps), np.float32)
        center = middle[alone] + (steps * across).sum(axis=0)[alone] / total[alone]
        middle = np.asarray(np.polyval(np.polyfit(columns[alone], center, 2), columns), np.float64)
    return middle, np.median(across[:, alone], axis=1)


def _find_level_lines(ink: Mask) -> list[Curve]:
    """For each line from side to side the row of its middle in every column, to a pixel or two, float64 (W,)."""
    height, width = ink.shape
    near = cv2.dilate(ink.astype(np.uint8), np.ones((3, 1), np.uint8)) > 0
    across = np.linspace(-0.5, 0.5, width)
    columns = np.arange(0, width, max(1, width // 80))
    highest = round(STEEPEST * width)
    falls = np.arange(-highest, highest + 1, 2)[:, None]
    middles = np.arange(-highest // 2, height + highest // 2)
    shares = np.stack([_share(near, middles[:, None] + (fall * across[columns]).round(), columns) for fall in falls])
    lines = []
    while shares.max() > COVERED:
        best = np.argwhere(shares == shares.max())
        fall, row = best[len(best) // 2]  # of equally good ones, one in the middle
        lines.append(middles[row] + falls[fall] * across)
        # Those that are close to it on the left and on the right are the same line.
        apart = [np.abs(middles - middles[row] + end * (falls - falls[fall])) for end in (-0.5, 0.5)]
        shares[np.maximum(*apart) <= 4] = 0
    return lines


def _share(near: Mask, rows: Curve, columns: NDArray[np.int_]) -> Curve:
    """The share of ink along what of each line is on the picture; 0 if that is too short to tell; float64 (N,).

    The `rows` are those of each line in each of the columns, float64 (N, C).
    """
    inside = (rows >= 0) & (rows < len(near))
    covered = near[rows.clip(0, len(near) - 1).astype(int), columns] * inside
    return np.where(inside.mean(axis=1) > 0.3, covered.sum(axis=1) / np.maximum(inside.sum(axis=1), 1), 0)
