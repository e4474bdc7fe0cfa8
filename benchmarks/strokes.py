"""Digits as strokes, which a program draws: no image of a data set is among them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Forms = dict[int, list[list[tuple[float, float]]]]
# Points of the strokes of each digit, in a square with the origin at the upper left.
TURN = [
    (0.5 + 0.5 * x, 0.5 + 0.5 * y) for x, y in ((0, -1), (-0.8, -0.5), (-0.9, 0.3), (-0.4, 1), (0.4, 1), (0.9, 0.3))
]
ROUND = [*TURN, (0.9, 0.3), TURN[0]]
# A hand that is rare in MNIST: the 1 has a foot, the 7 and the 0 are crossed, the 4 is open.
HAND: Forms = {
    0: [ROUND, [(0.8, 0.1), (0.2, 0.9)]],
    1: [[(0.25, 0.35), (0.5, 0), (0.5, 1)], [(0.2, 1), (0.8, 1)]],
    2: [[(0.15, 0.25), (0.4, 0), (0.8, 0.15), (0.7, 0.5), (0.15, 1), (0.9, 1)]],
    3: [[(0.2, 0), (0.8, 0), (0.45, 0.4), (0.8, 0.6), (0.7, 0.95), (0.15, 0.9)]],
    4: [[(0.3, 0), (0.1, 0.6), (0.9, 0.6)], [(0.7, 0.25), (0.7, 1)]],
    5: [[(0.3, 0), (0.25, 0.45), (0.7, 0.45), (0.8, 0.8), (0.5, 1), (0.15, 0.9)], [(0.3, 0), (0.85, 0)]],
    6: [[(0.7, 0), (0.3, 0.4), (0.2, 0.8), (0.5, 1), (0.8, 0.8), (0.6, 0.55), (0.25, 0.7)]],
    7: [[(0.1, 0), (0.85, 0), (0.4, 1)], [(0.25, 0.5), (0.8, 0.5)]],
    8: [[(x, 0.45 * y) for x, y in ROUND], [(x, 0.45 + 0.55 * y) for x, y in ROUND]],
    9: [[(x, 0.5 * y) for x, y in ROUND], [(0.95, 0.1), (0.95, 1)]],
}
# Forms that MNIST has, too.
PLAIN: Forms = HAND | {
    0: [[*ROUND, TURN[1]]],
    1: [[(0.5, 0), (0.5, 0.5), (0.5, 1)]],
    4: [[(0.1, 0), (0.05, 0.5), (0.85, 0.5)], [(0.75, 0), (0.75, 1)]],
    6: [[(0.6, 0), (0.25, 0.4), (0.15, 0.8), (0.5, 1), (0.8, 0.8), (0.55, 0.55), (0.2, 0.75)]],
    7: [[(0.1, 0), (0.85, 0), (0.4, 1)]],
    9: [[(0.8, 0.15), (0.4, 0), (0.15, 0.25), (0.4, 0.5), (0.8, 0.35), (0.8, 0.15), (0.75, 0.6), (0.6, 1)]],
}


def write(digit: int, random: np.random.Generator, forms: Forms | None = None) -> list[Points]:
    """The strokes of a digit as somebody may write it, each float64 (N, 2), x and y, in a box of height 1.

    Their forms are those of `PLAIN` or `HAND`, by chance, if none are given.
    """
    forms = forms or (PLAIN if random.random() < 0.7 else HAND)
    wide, slant = random.uniform(0.5, 0.75), random.normal(0, 0.12)
    strokes = []
    for stroke in forms[digit]:
        points = np.array(stroke) + random.normal(0, 0.025, (len(stroke), 2))
        points = rounded(points) * (wide, 1)
        points[:, 0] += slant * (1 - points[:, 1])
        strokes.append(points)
    low, high = (extreme(np.concatenate(strokes), axis=0) for extreme in (np.min, np.max))
    return [(points - low) / (high - low)[1] for points in strokes]


def rounded(points: Points) -> Points:
    """The stroke with its corners cut, twice.

    Source: G. Chaikin, An algorithm for high-speed curve generation, Computer Graphics and Image Processing 3 (1974).
    """
    for _ in range(2):
        start, end = points[:-1], points[1:]
        cut = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut, points[-1:]])
    return points


def ink(strokes: list[Points], shape: tuple[int, int], pen: float, gaps: Points | None = None) -> NDArray[np.float64]:
    """The share of each pixel that a pen of this width covers, float64 (height, width).

    Args:
        strokes: in pixels.
        gaps: float64 (N, 2), points around which there is no ink.
    """
    fine = 4  # the factor by which it is drawn larger, for smooth edges
    image = Image.new("L", (fine * shape[1], fine * shape[0]))
    brush, radius = ImageDraw.Draw(image), fine * pen / 2
    for stroke in strokes:
        line = [(x, y) for x, y in (fine * stroke).tolist()]
        brush.line(line, 255, round(2 * radius), joint="curve")
        for point in line:
            brush.circle(point, radius, 255)
    for x, y in [] if gaps is None else (fine * gaps).tolist():
        brush.circle((x, y), 1.4 * radius, 0)
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BOX), np.float64) / 255
