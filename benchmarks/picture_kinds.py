"""Pictures of digits that a program writes and photographs, in the kinds that benchmarks/pictures.py scores."""

import io
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from string import ascii_letters

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from strokes import Points, ink, write

Random = np.random.Generator
Floats = NDArray[np.float64]
Pen = ImageDraw.ImageDraw
# Draws what a form has around the places for digits, float64 (N, 2, 2), each from its upper left to its lower right
# corner, with lines of this width, all in pixels.
Rule = Callable[[Pen, Floats, int, Random], None]
# Digits to be written on a form: the height and width of the picture, the places for them, and for each its strokes and
# the width of its pen.
Written = tuple[tuple[int, int], Floats, list[tuple[list[Points], float]]]
WHITE = (255.0, 255.0, 255.0)
LINES = [(40, 40, 45), (50, 60, 140), (110, 110, 110), (190, 60, 60), (60, 130, 90)]  # colours of the lines of forms


def place(
    digit: int, random: Random, shape: tuple[int, int], height: tuple[float, float], pen: tuple[float, float]
) -> tuple[list[Points], float]:
    """The strokes of a digit in pixels, somewhere around the middle, and the width of the pen.

    Args:
        height: of the digit, from and to, as a share of the smaller side.
        pen: its width, from and to, as a share of the digit's height.
    """
    size = random.uniform(*height) * min(shape)
    width = random.uniform(*pen) * size
    strokes = [size * stroke for stroke in write(digit, random)]
    extent = np.concatenate(strokes).max(axis=0)
    room = np.array(shape[::-1]) - extent - width
    corner = width / 2 + room * random.uniform(0.35, 0.65, 2)
    return [stroke + corner for stroke in strokes], width


def drawn(cover: Floats, strokes: tuple[float, ...] = (0, 0, 0), paper: tuple[float, ...] | Floats = WHITE) -> Floats:
    """Colours of ink that covers paper, 0 to 255, float64 (H, W, 3)."""
    share = cover[..., None]
    return np.asarray(share * np.array(strokes) + (1 - share) * np.array(paper))


def picture(colors: Floats) -> Image.Image:
    return Image.fromarray(colors.round().clip(0, 255).astype(np.uint8))


def small(digit: int, random: Random, pen: tuple[float, float] = (0.1, 0.2), gaps: int = 0) -> Floats:
    """The cover of a drawing of 28 x 28 pixels, with soft edges or hard ones."""
    strokes, width = place(digit, random, (28, 28), (0.55, 0.8), pen)
    points = np.concatenate(strokes)
    cover = ink(strokes, (28, 28), width, points[random.integers(2, len(points) - 2, gaps)])
    return cover if random.random() < 0.5 else np.where(cover > 0.4, 1.0, 0.0)


def page(digit: int, random: Random, height: tuple[float, float] = (0.5, 0.75)) -> tuple[Floats, Floats]:
    """The cover and the shape of a larger picture, in landscape or portrait format, and its colours of light paper."""
    shape = (300, int(random.uniform(220, 420)))
    strokes, width = place(digit, random, shape, height, (0.05, 0.13))
    return ink(strokes, shape, width), np.ones((*shape, 3)) * random.uniform(200, 255) * random.uniform(0.95, 1, 3)


def any_size(digit: int, random: Random, share: float = 0.5) -> Floats:
    """The cover of a picture, of which this share has 28 x 28 pixels."""
    return small(digit, random) if random.random() < share else page(digit, random)[0]


def transparent(digit: int, random: Random) -> Image.Image:
    cover = any_size(digit, random)
    strokes = np.full((*cover.shape, 4), random.choice([0, 0, 255]), np.uint8)
    strokes[..., 3] = (255 * cover).round()
    return Image.fromarray(strokes)


def light_on_dark(digit: int, random: Random) -> Image.Image:
    dark, light = random.uniform(0, 70), random.uniform(180, 255)
    cover = any_size(digit, random)
    return picture(drawn(cover, (light,) * 3, (dark,) * 3))


def bordered(digit: int, random: Random) -> Image.Image:
    """With a dark line along some of its sides."""
    cover = any_size(digit, random, 0.7)
    colors = drawn(cover)
    width = max(1, round(random.uniform(0.005, 0.05) * len(colors)))
    for turn in np.flatnonzero(random.random(4) < (0.5 if random.random() < 0.7 else 1)).tolist():
        np.rot90(colors, turn)[:width] = random.uniform(0, 150)
    return picture(colors)


def cut_out(digit: int, random: Random) -> Image.Image:
    """Cut out along the strokes, on one side or on all."""
    cover = any_size(digit, random)
    rows, columns = (np.flatnonzero(cover.max(axis=axis) > 0.3) for axis in (1, 0))
    top, left = rows[0], columns[0]
    bottom, right = (rows[-1] + 1, columns[-1] + 1) if random.random() < 0.5 else cover.shape
    return picture(drawn(cover[top:bottom, left:right]))


def photograph(colors: Floats, random: Random, fall: float = 0.4, noise: float = 4) -> Image.Image:
    """In light that falls off, with the camera's noise, as a JPEG file has it."""
    y, x = np.mgrid[-1 : 1 : 1j * colors.shape[0], -1 : 1 : 1j * colors.shape[1]]
    angle = random.uniform(0, 2 * np.pi)
    light = 1 - fall * random.random() * (1 + np.cos(angle) * x + np.sin(angle) * y) / 2 - 0.1 * (x * x + y * y)
    lit = colors * light[..., None] + random.normal(0, noise, colors.shape)
    file = io.BytesIO()
    picture(lit).save(file, "JPEG", quality=int(random.integers(50, 95)))
    return Image.open(file)


def pen_color(random: Random) -> tuple[float, ...]:
    """Black, blue, red, green, or a pencil's gray."""
    colors = [(40, 40, 45), (40, 50, 150), (190, 40, 50), (30, 120, 70), (110, 110, 110)]
    return tuple(random.choice(colors) + random.uniform(-20, 20, 3))


def ruled(digit: int, random: Random, both: bool = False) -> Image.Image:
    """Lines, in one direction or both, in colours from faint to as dark as the ink, slightly turned."""
    cover, paper = page(digit, random)
    height, width = cover.shape
    step, thick, slope = random.uniform(0.08, 0.25) * height, random.uniform(1, 3), random.uniform(-0.04, 0.04)
    y, x = np.mgrid[:height, :width]
    lines = np.abs((y + slope * x + random.uniform(0, step)) % step - step / 2) < thick / 2
    if both:
        lines |= np.abs((x - slope * y + random.uniform(0, step)) % step - step / 2) < thick / 2
    color = np.array([random.uniform(60, 190)] * 2 + [random.uniform(150, 220)]) if random.random() < 0.7 else 90
    paper[lines] = np.minimum(color, 0.95 * paper[lines])
    return photograph(drawn(cover, pen_color(random), paper), random, 0.2)


def shadowed(digit: int, random: Random) -> Image.Image:
    """In the shadow of a hand or a phone, sharp or soft."""
    cover, paper = page(digit, random)
    height, width = cover.shape
    y, x = np.mgrid[:height, :width]
    angle = random.uniform(0, 2 * np.pi)
    edge_x, edge_y = random.uniform(0.2, 0.8, 2) * (width, height)
    away = np.cos(angle) * (x - edge_x) + np.sin(angle) * (y - edge_y)
    shadow = 1 / (1 + np.exp(-away / random.uniform(1, 30)).clip(0, 1e9))
    colors = drawn(cover, pen_color(random), paper) * (1 - random.uniform(0.2, 0.55) * shadow)[..., None]
    return photograph(colors, random)


def coloured(digit: int, random: Random) -> Image.Image:
    """Coloured pens on coloured paper."""
    cover, paper = page(digit, random)
    paper *= random.choice([(1, 1, 1), (1, 0.95, 0.6), (0.75, 0.9, 1), (1, 0.8, 0.85)])
    color = tuple(random.permutation([220, 60, 40]) + random.uniform(-30, 30, 3))
    return photograph(drawn(cover, color, paper), random, 0.2)


def tilted(digit: int, random: Random) -> Image.Image:
    """Seen from the side, on paper with a photograph's light."""
    cover, paper = page(digit, random, (0.45, 0.6))
    image = picture(drawn(cover, pen_color(random), paper))
    width, height = image.size
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)])
    corners = corners + (np.array([width, height]) / 2 - corners) * random.uniform(0.0, 0.25, (4, 1))
    image = image.transform(image.size, Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BICUBIC)
    return photograph(np.asarray(image, np.float64), random)


def framed(digit: int, random: Random) -> Image.Image:
    """On a sheet that lies on something darker, which shows on all sides, or in a drawn frame."""
    cover, paper = page(digit, random, (0.4, 0.6))
    colors = drawn(cover, pen_color(random), paper)
    edge = round(random.uniform(0.02, 0.07) * len(colors))
    width = edge if random.random() < 0.5 else min(edge, int(random.integers(2, 6)))
    depth = np.minimum.outer(*(np.minimum(np.arange(side), np.arange(side)[::-1]) for side in cover.shape))
    colors[(edge - width <= depth) & (depth < edge)] = random.uniform(30, 120, 3)
    return photograph(colors, random, 0.2)


def noisy(digit: int, random: Random) -> Image.Image:
    cover, paper = page(digit, random)
    return photograph(drawn(cover, pen_color(random), paper), random, noise=random.uniform(10, 25))


def small_on_page(digit: int, random: Random) -> Image.Image:
    """A twelfth to a fifth as high as the picture of a phone."""
    shape = (1200, 1600)
    strokes, width = place(digit, random, shape, (0.08, 0.2), (0.06, 0.13))
    away = random.uniform(-400, 400, 2) * (1, 0.7)
    strokes = [stroke + away for stroke in strokes]
    paper = np.ones((*shape, 3)) * random.uniform(200, 255)
    return photograph(drawn(ink(strokes, shape, width), pen_color(random), paper), random)


def like_mnist(digit: int, random: Random) -> Image.Image:
    """Light on dark, 20 pixels high, its centre of mass in the middle of 28 x 28 pixels."""
    strokes, width = place(digit, random, (28, 28), (0.6, 0.65), (0.1, 0.2))
    cover = ink(strokes, (28, 28), width)
    middle = [(np.indices(cover.shape)[axis] * cover).sum() / cover.sum() for axis in (1, 0)]
    return picture(drawn(ink([stroke + 14 - middle for stroke in strokes], (28, 28), width), WHITE, (0, 0, 0)))


def single(digit: int, random: Random, below: tuple[float, float]) -> Written:
    """A digit, and a place around it, which ends so far below the digit, from and to, as a share of its height."""
    shape = (int(random.uniform(260, 520)), int(random.uniform(260, 520)))
    strokes, width = place(digit, random, shape, (0.35, 0.5), (0.06, 0.12))
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    size = high[1] - low[1]
    beside = width / 2 + size * (random.uniform(0.1, 0.35, 2) + max(0, 0.2 - (high - low)[0] / size / 2))
    above, under = (width / 2 + size * random.uniform(*share) for share in ((0.1, 0.3), below))
    places = np.array([[low, high]]) + np.array([[(-beside[0], -above), (beside[1], under)]])
    return shape, places, [(strokes, width)]


def row(digits: list[int], random: Random) -> Written:
    """Digits, each somewhere near the middle of its place in a row."""
    shape = (int(random.uniform(180, 300)), int(random.uniform(700, 1000)))
    pitch = random.uniform(0.85, 1) * shape[1] / (len(digits) + 1)
    tall = random.uniform(1, 1.25) * pitch
    height, pen = random.uniform(0.6, 0.75) * pitch, random.uniform(0.06, 0.12)
    left, top = (shape[1] - len(digits) * pitch) * random.uniform(0.3, 0.7), (shape[0] - tall) * random.random()
    corners = left + pitch * np.arange(len(digits))
    places = np.array([[(corner, top), (corner + pitch, top + tall)] for corner in corners])
    written = []
    for digit, middle in zip(digits, places.mean(axis=1), strict=True):
        strokes = [height * random.uniform(0.9, 1.1) * stroke for stroke in write(digit, random)]
        points = np.concatenate(strokes)
        shift = middle - (points.min(axis=0) + points.max(axis=0)) / 2 + random.uniform(-0.05, 0.05, 2) * pitch
        written.append(([stroke + shift for stroke in strokes], pen * height))
    return shape, places, written


def form(written: Written, random: Random, rule: Rule) -> Image.Image:
    """Digits on a form, whose lines are slightly turned, scanned or photographed."""
    shape, places, digits = written
    fine = 3  # the factor by which lines are drawn larger, for smooth edges
    lines = Image.new("L", (fine * shape[1], fine * shape[0]))
    rule(ImageDraw.Draw(lines), fine * places, round(fine * random.uniform(1.5, 5)), random)
    middle_x, middle_y = (fine * places.mean(axis=(0, 1))).tolist()
    lines = lines.rotate(random.uniform(-3, 3) / len(digits), Image.Resampling.BICUBIC, center=(middle_x, middle_y))
    cover = np.asarray(lines.resize(shape[::-1], Image.Resampling.BOX), np.float64) / 255
    paper = np.ones((*shape, 3)) * random.uniform(210, 255) * random.uniform(0.93, 1, 3)
    colors = drawn(cover, LINES[random.integers(len(LINES))], paper)
    color = pen_color(random)
    for strokes, width in digits:
        colors = drawn(ink(strokes, shape, width), color, colors)
    return picture(colors) if random.random() < 0.5 else photograph(colors, random, 0.2)


def boxes(
    pen: Pen, places: Floats, line: int, random: Random, width: tuple[float, float] = (1, 1), gap: float = 0
) -> None:
    """With lines so many times as wide, from and to, and so far inside of their places, as a share of the width."""
    for (left, top), (right, bottom) in places.tolist():
        inset = gap * (right - left)
        pen.rectangle((left + inset, top, right - inset, bottom), None, 255, round(line * random.uniform(*width)))


def rounded_box(pen: Pen, places: Floats, line: int, random: Random) -> None:
    radius = random.uniform(0.1, 0.35) * np.ptp(places[0], axis=0).min()
    pen.rounded_rectangle(places[0].ravel().tolist(), radius, None, 255, line)


def circle(pen: Pen, places: Floats, line: int, random: Random) -> None:
    """Round or oval."""
    middle, half = places[0].mean(axis=0), np.ptp(places[0], axis=0) / 2 * random.uniform(1.15, 1.3)
    half = np.maximum(half, half.max() * random.uniform(0.75, 1))
    pen.ellipse([*(middle - half).tolist(), *(middle + half).tolist()], None, 255, line)


def combs(pen: Pen, places: Floats, line: int, random: Random) -> None:
    """Brackets below the digits, whose ends go up beside them."""
    share = random.uniform(0.1, 0.3)
    for (left, top), (right, bottom) in places.tolist():
        tip, inset = bottom - share * (bottom - top), 0.03 * (right - left)
        corners = [(left + inset, tip), (left + inset, bottom), (right - inset, bottom), (right - inset, tip)]
        pen.line(corners, 255, line)


def underscores(pen: Pen, places: Floats, line: int, random: Random) -> None:
    for (left, _), (right, bottom) in places.tolist():
        inset = 0.1 * (right - left) if len(places) > 1 else 0
        pen.line((left + inset, bottom, right - inset, bottom), 255, line)


def table_lines(pen: Pen, places: Floats, line: int, random: Random) -> None:
    """Along the sides of the place, from border to border of the picture."""
    for x, y in places[0].tolist():
        pen.line((x, -9999, x, 9999), 255, line)
        pen.line((-9999, y, 9999, y), 255, line)


def dashed_box(pen: Pen, places: Floats, line: int, random: Random) -> None:
    step, share = random.uniform(25, 45), random.uniform(0.5, 0.7)
    (left, top), (right, bottom) = places[0].tolist()
    corners = np.array([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)])
    for start, end in pairwise(corners):
        length = np.linalg.norm(end - start)
        for way in np.arange(0, length, step):
            dash = [start + part * (end - start) / length for part in (way, way + share * step)]
            pen.line([(x, y) for x, y in dash], 255, line)


def words(pen: Pen, places: Floats, line: int, random: Random) -> None:
    """Printed above and below."""
    (left, top), (_, bottom) = places[0].tolist()
    font = ImageFont.load_default(random.uniform(0.08, 0.15) * (bottom - top))
    texts = random.permutation(["Answer:", "Field no. 12", "Write one digit", "3 points", "Week", "(please print)"])
    for text, y, anchor in zip(texts.tolist(), (top, bottom), ("ld", "la"), strict=False):
        pen.text((random.uniform(0.5, 1) * left, y), text, 255, font, anchor)


def tick_boxes(pen: Pen, places: Floats, line: int, random: Random) -> None:
    """Two, in a corner of the picture."""
    corner, side = 0.2 * places[0, 0] * random.uniform(0.5, 2, 2), random.uniform(0.1, 0.18) * np.ptp(places[0, :, 1])
    for left in (corner[0], corner[0] + 1.6 * side):
        pen.rectangle((left, corner[1], left + side, corner[1] + side), None, 255, line)


def one(rule: Rule, below: tuple[float, float] = (0.1, 0.3)) -> Callable[[int, Random], Image.Image]:
    """What makes a form with one digit; `below` is that of `single`."""
    return lambda digit, random: form(single(digit, random, below), random, rule)


def several(rule: Rule) -> Callable[[list[int], Random], Image.Image]:
    """What makes a form with a number."""
    return lambda digits, random: form(row(digits, random), random, rule)


KINDS: dict[str, Callable[[int, Random], Image.Image]] = {
    "like MNIST's": like_mnist,
    "28 x 28 pixels, dark on light": lambda digit, random: picture(drawn(small(digit, random))),
    "28 x 28 pixels, thin strokes": lambda digit, random: picture(drawn(small(digit, random, (0.05, 0.08)))),
    "28 x 28 pixels, strokes with gaps": lambda digit, random: picture(drawn(small(digit, random, (0.06, 0.1), 2))),
    "transparent": transparent,
    "light on dark": light_on_dark,
    "a line along the border": bordered,
    "cut out along the strokes": cut_out,
    "photograph: ruled paper": ruled,
    "photograph: squared paper": partial(ruled, both=True),
    "photograph: a shadow": shadowed,
    "photograph: coloured pen and paper": coloured,
    "photograph: from the side": tilted,
    "photograph: a frame, or a table around": framed,
    "photograph: noise": noisy,
    "photograph: a small digit": small_on_page,
    "form: a box": one(boxes),
    "form: a rounded box": one(rounded_box),
    "form: a thick box": one(partial(boxes, width=(2, 3.5))),
    "form: a circle": one(circle),
    "form: a dashed box": one(dashed_box),
    "form: a comb": one(combs, (0.02, 0.15)),
    "form: an underline, near or touching": one(underscores, (-0.04, 0.12)),
    "form: lines of a table": one(table_lines),
    "form: printed words": one(words),
    "form: tick boxes": one(tick_boxes),
}
# Lines that do not look like a digit, in a square with the origin at the upper left.
DOODLES: dict[str, list[tuple[float, float]]] = {
    "triangle": [(0.5, 0), (1, 1), (0, 1), (0.5, 0)],
    "square": [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)],
    "star": [(0.2, 1), (0.5, 0), (0.8, 1), (0, 0.4), (1, 0.4), (0.2, 1)],
    "arrow": [(0, 0.5), (1, 0.5), (0.7, 0.2), (1, 0.5), (0.7, 0.8)],
    "cross": [(0, 0), (1, 1), (0.5, 0.5), (1, 0), (0, 1)],
    "plus": [(0.5, 0), (0.5, 1), (0.5, 0.5), (0, 0.5), (1, 0.5)],
    "house": [(0, 1), (0, 0.4), (0.5, 0), (1, 0.4), (1, 1), (0, 1), (0, 0.4), (1, 0.4)],
    "zigzag": [(0, 0), (0.2, 1), (0.4, 0), (0.6, 1), (0.8, 0), (1, 1)],
    "heart": [(0.5, 1), (0, 0.4), (0.1, 0), (0.4, 0), (0.5, 0.3), (0.6, 0), (0.9, 0), (1, 0.4), (0.5, 1)],
    "spiral": [(0.5 + t / 26 * np.cos(t), 0.5 + t / 26 * np.sin(t)) for t in np.arange(0, 13, 0.5)],
}
LOOKALIKES = set("OISZBlq")  # letters that resemble a digit
FONT_FILES = "STIXGeneral*.ttf", "cm[bmrt]*10.ttf", "cmss10.ttf"


def no_digits() -> dict[str, list[Image.Image]]:
    """By kind: letters in fonts that no model was taught, and forty drawings of each of `DOODLES`."""
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    fonts = [ImageFont.truetype(path, 100) for pattern in FONT_FILES for path in sorted(folder.glob(pattern))]
    plain = [letter for letter in ascii_letters if letter not in LOOKALIKES]
    random = np.random.default_rng(0)
    return {
        "printed letters": [printed(letter, font) for font in fonts for letter in plain],
        "printed O, I, S, Z, B, l, q": [printed(letter, font) for font in fonts for letter in sorted(LOOKALIKES)],
        **{f"drawn: {name}": [doodle(points, random) for _ in range(40)] for name, points in DOODLES.items()},
    }


def printed(letter: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).text((100, 100), letter, 0, font, anchor="mm")
    return page


def doodle(points: list[tuple[float, float]], random: Random) -> Image.Image:
    wobbly = np.array(points) + random.normal(0, 0.03, (len(points), 2))
    angle, (width, height) = random.normal(0, 0.1), random.uniform(60, 110, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return picture(drawn(ink([((wobbly - 0.5) * (width, height)) @ turn + 100], (200, 200), random.uniform(6, 12))))


# Of numbers of five digits.
NUMBERS: dict[str, Callable[[list[int], Random], Image.Image]] = {
    "boxes apart": several(partial(boxes, gap=0.06)),
    "boxes joined": several(boxes),
    "combs": several(combs),
    "underscores": several(underscores),
}
