"""Tell what forms have around digits: frames, underlines, combs and printed words."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from digits.pictures.lines import STEEPEST, Mask

Integers = NDArray[np.int32]
# Shares of the height of a cell, the inside of a loop of ink.
FILLED = 0.25  # a cell with higher ink in it is that of a frame; lower ink may be a speck in a 0
FILLED_AT_EDGE = 0.45  # the same for ink that touches the loop, and may be the end of the stroke that closes a 9
FULL = 0.8  # higher ink in a round cell is the bar of a 0, perhaps
ROUND = 0.84  # of the area of its box, that of a round cell at most
OF_FRAME = 0.2  # of the height of the whole frame; in squared paper there is no ink as high between the lines
EMPTY = 0.8  # of the height of the lowest filled cell: that of an empty one
NARROW = 0.6  # of the mean width of filled cells: a narrower one beside them is a part of a cell that a digit divides
DASHES = 6  # more pieces than that may be a dashed frame
GAPS = 0.012, 0.03  # of the longer side, between two dashes
EDGE = 0.12  # of each side; a long piece with nothing farther inside is one of a frame
# Shares of the height of the highest piece, or of the digit.
LOW = 0.45  # what is lower is not a digit, but may be a part of the one beside it
SHORTEST = 0.5  # an underline
BEYOND = 0.08  # how far an underline or words go beyond a digit on both sides
PRINT = 0.3  # the height of letters
LETTER_GAP = 0.15
WIDEST = 2.2  # width divided by height of a digit; two of MNIST's 60,000 training images are wider, and so are words
THICKEST = 0.1  # of an underline's length


class Cell(NamedTuple):
    """The inside of a loop of ink."""

    loop: int  # the label of the piece that it is
    place: tuple[slice, slice]  # rows and columns of the cell's box
    inside: Mask  # where the cell is in that box, without the soft edge of the loop, bool (H, W)
    content: float  # the height of the highest other ink in it, as a share of the cell's
    filled: bool  # whether its ink makes the loop a frame


def labelled(ink: Mask) -> tuple[Integers, Integers]:
    """The number of the piece in each pixel, 0 for none, int32 (H, W), and OpenCV's statistics, int32 (N, 5)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8))
    return np.asarray(labels, np.int32), np.asarray(stats[1:], np.int32)


def frames(ink: Mask) -> Mask:
    """Where there are frames, with ink of some size inside: boxes, also joined or dashed, and circles; bool (H, W).

    Empty frames of the same height belong to them, and ink inside that touches its frame does not.
    """
    labels, stats = labelled(ink)
    found = _frames_among(labels, ink)
    for gap in GAPS if len(stats) > DASHES else ():
        if not found.any():
            side = 2 * round(gap * max(ink.shape) / 2) + 1
            closed = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
            found = ink & _frames_among(labelled(closed > 0)[0], ink)
    return found


def _frames_among(labels: Integers, ink: Mask) -> Mask:
    """Where there are frames among labelled pieces, bool (H, W)."""
    found = cells(labels, ink)
    filled = [cell for cell in found if cell.filled]
    if not filled:
        return np.zeros_like(ink)
    height, width = min(cell.inside.shape[0] for cell in filled), np.mean([cell.inside.shape[1] for cell in filled])
    loops, content, attached = {cell.loop for cell in filled}, np.zeros_like(ink), np.zeros_like(ink)
    for cell in filled:
        content[cell.place] |= cell.inside
        attached[cell.place] |= cell.inside & (labels[cell.place] == cell.loop)
    for cell in found:
        if cell.inside.shape[0] > EMPTY * height and not content[cell.place].any():
            change = loops.discard if cell.inside.shape[1] < NARROW * width else loops.add
            change(cell.loop)
    return np.isin(labels, list(loops)) & ~attached


def cells(labels: Integers, ink: Mask) -> list[Cell]:
    """The insides of the loops among labelled pieces, apart from small ones."""
    contours, hierarchy = cv2.findContours((labels > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour, (*_, outer) in zip(contours, hierarchy[0] if contours else [], strict=True):
        left, top, width, height = cv2.boundingRect(contour)
        if outer < 0 or height < 0.05 * max(ink.shape):
            continue
        place = slice(top, top + height), slice(left, left + width)
        loop = int(labels[contour[0, 0, 1], contour[0, 0, 0]])
        # Cells are convex: whatever is in the hull of one is in the cell, even if it touches the frame.
        hull = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(contour) - (left, top), 1)
        inside = cv2.erode(hull, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
        content, at_edge = (
            labelled(ink[place] & inside & part)[1][:, cv2.CC_STAT_HEIGHT].max(initial=0) / height
            for part in (labels[place] != loop, labels[place] == loop)
        )
        x, y, across, high = cv2.boundingRect(contours[outer])
        least = OF_FRAME * high / height
        squared = min(x, y, ink.shape[1] - x - across, ink.shape[0] - y - high) == 0  # paper, perhaps
        barred = content > FULL and hull.mean() < ROUND
        filled = (content > max(FILLED, least) and not barred) or (at_edge > max(FILLED_AT_EDGE, least) and not squared)
        found.append(Cell(loop, place, inside, float(content), bool(filled)))
    return found


def lines_and_words(ink: Mask) -> Mask:
    """Where there are underlines, combs and printed words, which go beyond digits, or pieces of frames, bool (H, W).

    A digit may touch its underline. The ends of a comb, which go up beside the digits, belong to it.
    """
    labels, stats = labelled(ink)
    heights = stats[:, cv2.CC_STAT_HEIGHT]
    tallest = int(heights.max(initial=0))
    found = np.zeros_like(ink)
    for label, box in enumerate(stats, start=1):
        left, top, width, height = box[:4].tolist()
        if width < max(SHORTEST * tallest, 0.05 * max(ink.shape)):
            continue
        place = np.s_[top : top + height, left : left + width]
        line = np.zeros_like(ink)
        line[place] = _base_line(labels[place] == label)
        rest, others = labelled(ink & ~line)
        low = others[:, cv2.CC_STAT_HEIGHT] < LOW * tallest
        if line.any() and _goes_beyond(box, others[~low]):
            ends = np.intersect1d(1 + np.flatnonzero(low), rest[labels == label])
            found |= line | np.isin(rest, ends)
    small = np.isin(labels, 1 + np.flatnonzero(heights < PRINT * tallest)) & ~found
    gap = np.ones((1, 1 + 2 * round(LETTER_GAP * tallest / 2)), np.uint8)
    rows, boxes = labelled(cv2.morphologyEx(small.astype(np.uint8), cv2.MORPH_CLOSE, gap) > 0)
    wide = boxes[:, cv2.CC_STAT_WIDTH] > WIDEST * boxes[:, cv2.CC_STAT_HEIGHT]
    digits = stats[heights > LOW * tallest]
    words = [row for row in 1 + np.flatnonzero(wide) if _goes_beyond(boxes[row - 1], digits, most=0.5)]
    edge, (high, across) = round(EDGE * min(ink.shape)), ink.shape
    long = (stats[:, cv2.CC_STAT_WIDTH] > 0.3 * across) | (heights > 0.3 * high)
    outer = np.setdiff1d(1 + np.flatnonzero(long), labels[edge : high - edge, edge : across - edge])
    found |= small & np.isin(rows, words)
    return found | np.isin(labels, outer) if len(outer) < len(stats) else found


def _base_line(piece: Mask) -> Mask:
    """The straight line along the lower side of a piece that fills its box, bool (H, W); all False if there is none."""
    height, width = piece.shape
    rows = np.arange(height)[:, None]
    above_bottom = piece[::-1].argmax(axis=0)
    lowest, end = height - 1 - above_bottom, max(1, width // 12)
    left, right = np.median(lowest[:end]), np.median(lowest[-end:])
    below = rows - np.linspace(left, right, width)  # pixels
    runs = (piece[::-1] | (rows < above_bottom)).argmin(axis=0) - above_bottom
    thickness = np.quantile(np.where(runs > 0, runs, height), 0.3)
    line = piece & (np.abs(below + thickness / 2) <= thickness / 2 + 1)
    straight = line.any(axis=0).mean() > 0.9 and abs(right - left) < STEEPEST * width
    return np.asarray(line & (straight and below[height // 2].mean() <= 0 and thickness < THICKEST * width))


def _goes_beyond(box: Integers, digits: Integers, most: float = 1) -> bool:
    """Whether a box goes beyond the digits above or below it on both sides, or more than this share of it does."""
    left, right = box[0], box[0] + box[2]
    start, end, margin = digits[:, 0], digits[:, 0] + digits[:, 2], BEYOND * digits[:, 3]
    near = (end > left) & (start < right)
    outside = (start - left).clip(0) + (right - end).clip(0) > most * (right - left)
    return bool(near.any() and (((start - margin > left) & (end + margin < right)) | outside)[near].all())
