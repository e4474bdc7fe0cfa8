"""Tell the shapes on a picture apart, and remove what cannot be a digit."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from digits.pictures.forms import LOW, lines_and_words
from digits.pictures.ink import NoDigitError, SeveralDigitsError
from digits.pictures.lines import SMALLEST, Floats

SPECK = 0.02  # share of the ink of the largest piece; smaller ones are ignored
MOST_PIECES = 60  # bounds the time; twelve digits of five pieces
# Shares of the height.
NEAR = 0.25  # how far from a digit what is low and beside it may be a part of it
ABOVE = 0.08  # how far above or below it, as a share of their height together, or three pixels
HALVES = 0.7  # how wide two parts may be that stand side by side


@dataclass(frozen=True, eq=False)
class Shape:
    """Ink that belongs together, perhaps a digit."""

    ink: Floats  # its strength, 0 elsewhere, float32 (H, W) of the whole picture
    parts: int = 1  # the number of pieces that are not connected

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, the last two exclusive."""
        left, top, width, height = cv2.boundingRect((self.ink > 0).astype(np.uint8))
        return left, top, left + width, top + height

    @property
    def height(self) -> int:
        _, top, _, bottom = self.box
        return bottom - top


def find_shapes(ink: Floats) -> list[Shape]:
    """The shapes on a picture from left to right, without frames, specks and what is too low for a digit.

    Raises a `NoDigitError` if some are above others, which a row of digits is not; a `SeveralDigitsError` if there are
    far too many.
    """
    shapes: list[Shape] = []
    rest = np.where(lines_and_words(ink > 0), np.float32(0), ink)
    for piece in sorted(_pieces(rest if rest.any() else ink), key=lambda piece: piece.height, reverse=True):
        distances = [_distance(shape, piece) for shape in shapes]
        if min(distances, default=np.inf) < np.inf:
            nearest = int(np.argmin(distances))
            shapes[nearest] = Shape(np.maximum(shapes[nearest].ink, piece.ink), shapes[nearest].parts + 1)
        else:
            shapes.append(piece)
    height = max(shape.height for shape in shapes)
    shapes = sorted((shape for shape in shapes if shape.height > LOW * height), key=lambda shape: shape.box[0])
    for (left, top, right, bottom), (start, above, end, below) in pairwise(shape.box for shape in shapes):
        if max(top, above) >= min(bottom, below) and min(right, end) - start > 0.5 * min(right - left, end - start):
            raise NoDigitError(f"it shows {len(shapes)} shapes, some above others; one at a time")
    return shapes


def _pieces(ink: Floats) -> list[Shape]:
    """The pieces that are not specks, at least one. On a small picture, a gap of two pixels does not break a piece."""
    gap = 2 if max(ink.shape) < SMALLEST else 0
    near = cv2.dilate((ink > 0).astype(np.uint8), np.ones((1 + gap, 1 + gap), np.uint8))
    labels = np.where(ink > 0, cv2.connectedComponents(near)[1], 0)
    masses = np.bincount(labels.ravel(), ink.ravel())
    kept = np.flatnonzero(masses > SPECK * masses.max())
    if len(kept) > MOST_PIECES:
        raise SeveralDigitsError(f"it shows {len(kept)} shapes; one at a time")
    return [Shape(np.where(labels == label, ink, np.float32(0))) for label in kept]


def _distance(shape: Shape, piece: Shape) -> float:
    """How far a piece is beside a shape at least as high, below 0 above or below it; infinite if no part of it."""
    (left, top, right, bottom), (start, above, end, below) = shape.box, piece.box
    distance = max(left, start) - min(right, end)
    if max(top, above) - min(bottom, below) > max(3, ABOVE * (max(bottom, below) - min(top, above))):
        return np.inf
    if -distance > 0.5 * min(right - left, end - start):
        return distance
    if piece.height < LOW * shape.height or min(bottom, below) <= max(top, above):
        return distance if distance < NEAR * shape.height else np.inf
    together = max(right, end) - min(left, start) < HALVES * shape.height and _meet_at_ends(shape, piece)
    return distance if together else np.inf


def _meet_at_ends(one: Shape, other: Shape) -> bool:
    """Whether two shapes come close in a few rows only, as the halves of a broken 0 or an open 4 do."""
    left, right = sorted((one, other), key=lambda shape: shape.box[0])
    rows = (left.ink > 0).any(axis=1) & (right.ink > 0).any(axis=1)
    width = left.ink.shape[1]
    gaps = (right.ink[rows] > 0).argmax(axis=1) - (width - (left.ink[rows, ::-1] > 0).argmax(axis=1))
    return bool(rows.any() and gaps.min() < 0.1 * one.height and np.median(gaps) > 3 * max(gaps.min(), 1))
