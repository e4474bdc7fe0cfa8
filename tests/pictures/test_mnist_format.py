"""Pictures of a digit are converted to the MNIST format whatever they look like; others are refused."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from bad_input import little
from digits.pictures.ink import NoDigitError, SeveralDigitsError
from digits.pictures.mnist_format import find_digits, to_mnist_format
from picture_kinds import KINDS, drawn, one, page, photograph, picture
from samples import some_digits
from strokes import ink as covered

Bytes = NDArray[np.uint8]
MODES = ["L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "I;16B", "F"]


def drawing(*strokes: list[tuple[int, int]], width: int = 24) -> Image.Image:
    """Strokes on white paper, with soft edges."""
    cover = covered([np.array(stroke) for stroke in strokes], (280, 280), width)
    return Image.fromarray(255 - (255 * cover).astype(np.uint8))


FOUR = drawing([(100, 40), (80, 150), (200, 150)], [(170, 60), (165, 240)])
SEVEN = drawing([(80, 50), (200, 50), (130, 230)])
RING = [(140, 50), (90, 80), (80, 140), (90, 200), (140, 230), (190, 200), (200, 140), (190, 80), (140, 50)]


def ink(image: Image.Image) -> NDArray[np.float64]:
    """Of a picture with black on white: 0 to 1."""
    return 1 - np.asarray(image, np.float64) / 255


def similarity(first: Bytes, second: Bytes) -> float:
    """The correlation of two images, moved by at most a pixel, since a centre of mass may lie between two."""
    moved = [np.roll(second, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(float(np.corrcoef(first.ravel(), each.ravel())[0, 1]) for each in moved)


def specked(image: Image.Image) -> Image.Image:
    """A fifth as wide as its page, with a speck in a corner."""
    page = Image.new("L", (1400, 1400), 255)
    page.paste(image, (1000, 900))
    page.paste(0, (50, 50, 60, 60))
    return page


def transparent(image: Image.Image, value: int) -> Image.Image:
    """The strokes alone, in this gray."""
    return Image.merge("LA", [Image.new("L", image.size, value), ImageOps.invert(image)])


def in_boxes(image: Image.Image, boxes: list[tuple[int, int, int, int]], width: int) -> Image.Image:
    """On a form, slightly turned; the digit is between 128 and 272 across and 88 and 312 down."""
    form = Image.new("L", (400, 400), 255)
    for box in boxes:
        ImageDraw.Draw(form).rectangle(box, None, 40, width)
    form = form.rotate(1, Image.Resampling.BICUBIC, fillcolor=255)
    return Image.fromarray(np.minimum(np.asarray(form), np.pad(np.asarray(image), 60, constant_values=255)))


PICTURES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "light on dark": ImageOps.invert,
    "faint": lambda image: Image.eval(image, lambda value: 180 + value // 5),
    "colour on colour of the same brightness": lambda image: Image.merge(
        "RGB", [image, Image.eval(image, lambda value: 128 - value // 2), Image.new("L", image.size, 90)]
    ),
    "cut out": lambda image: image.crop(ImageOps.invert(image).getbbox()),
    "half as large": lambda image: image.resize((140, 140), Image.Resampling.BOX),
    "five times as large": lambda image: image.resize((1400, 1400)),
    "on a long page": lambda image: ImageOps.expand(image, (10, 20, 10, 700), 255),
    "black, transparent": partial(transparent, value=0),
    "white, transparent": partial(transparent, value=255),
    "chalk": lambda image: photograph(drawn(ink(image), (220, 220, 210), (50,) * 3), np.random.default_rng(0)),
    "small, with a speck far away": specked,
    "with a line along a side": lambda image: ImageOps.expand(image, (0, 6, 0, 0), 40),
    "in a box that it touches": partial(in_boxes, boxes=[(90, 60, 271, 340)], width=5),
    "in two thick boxes": partial(in_boxes, boxes=[(60, 30, 340, 370), (90, 60, 310, 340)], width=12),
}


@pytest.mark.parametrize("name", PICTURES)
def test_other_pictures_of_a_digit_give_the_same_image(name: str) -> None:
    for image in (FOUR, SEVEN):
        assert similarity(to_mnist_format(image), to_mnist_format(PICTURES[name](image))) > 0.93


# But for the one that begins with other random numbers than the rest.
AROUND = [kind for kind in KINDS if kind.startswith(("photograph", "form")) and "small" not in kind]


@pytest.mark.parametrize("kind", AROUND)
def test_what_a_photograph_or_a_form_has_around_a_digit_does_not_matter(kind: str) -> None:
    # With the same random numbers, these write the same digit as the kind.
    nothing = one(lambda *_: None) if kind.startswith("form") else lambda *each: picture(drawn(page(*each)[0]))
    for digit in (2, 7):
        image, alone = (make(digit, np.random.default_rng(digit)) for make in (KINDS[kind], nothing))
        assert similarity(to_mnist_format(image), to_mnist_format(alone)) > 0.93


def test_the_mode_of_a_picture_does_not_matter() -> None:
    for mode in MODES:
        image = (FOUR.convert("RGB") if mode == "RGBa" else FOUR).convert(mode)
        assert np.abs(to_mnist_format(image).astype(int) - to_mnist_format(FOUR)).max() <= 1, mode
    assert similarity(to_mnist_format(FOUR.convert("1")), to_mnist_format(FOUR)) > 0.97


def test_numbers_that_are_none_are_paper() -> None:
    values = ink(FOUR)
    values[:5] = np.nan
    values[5:9] = -np.inf
    for numbers in (values, ink(FOUR) / 50):
        converted = to_mnist_format(Image.fromarray(numbers.astype(np.float32)))
        assert similarity(converted, to_mnist_format(FOUR)) > 0.93


@pytest.mark.parametrize("image", [FOUR, SEVEN], ids=["4", "7"])
def test_the_format_is_mnists(image: Image.Image) -> None:
    converted = to_mnist_format(image)
    assert (str(converted.dtype), converted.shape, converted.max()) == ("uint8", (28, 28), 255)
    rows, columns = np.nonzero(converted)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    for axis in (0, 1):
        assert abs(np.average(np.arange(28), weights=converted.sum(axis=1 - axis)) - 14) <= 0.5
    height, width = (int(np.ptp(indices)) + 1 for indices in np.nonzero(ink(image) > 0))
    assert (np.ptp(columns) + 1) / (np.ptp(rows) + 1) == pytest.approx(width / height, abs=0.06)
    # What is in this format stays as it is.
    repeated = to_mnist_format(Image.fromarray(converted)).astype(int)
    assert np.abs(repeated - np.where(converted > 0.05 * 255, converted, 0)).max() <= 1


def test_whatever_there_is_on_a_picture_it_is_a_digit_or_a_refusal() -> None:
    for image in some_digits(0, 100).images:
        to_mnist_format(Image.fromarray(image))
    digits = 0
    for seed in range(80):
        generator = np.random.default_rng(seed)
        height, width = generator.integers(1, 60, size=2)
        pattern = generator.random((height, width)) < generator.choice([0.01, 0.1, 0.5, 0.9])
        pattern = np.kron(pattern, np.ones((generator.integers(1, 5), generator.integers(1, 5))))
        noise = generator.normal(0, generator.choice([0, 0, 20]), pattern.shape)
        with suppress(NoDigitError):
            picture = Image.fromarray((40 + 160 * pattern + noise).clip(0, 255).astype(np.uint8))
            assert to_mnist_format(picture).max() == 255
            digits += 1
    assert 0 < digits < 80


def test_very_thin_and_very_thick_strokes_come_to_widths_that_mnist_has() -> None:
    points = [(80, 50), (200, 50), (130, 230)]
    thin, least, most, thick = (int(to_mnist_format(drawing(points, width=width)).sum()) for width in (3, 12, 36, 60))
    assert thin > 0.7 * least  # of a quarter of the width
    assert thick < 1.45 * most  # of nearly twice the width


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("L", (100, 100), 255), "nothing"),
        (Image.eval(FOUR, lambda value: 240 + value // 17), "too faint"),
        (Image.new("RGBA", (100, 100)), "nothing"),
        (Image.new("I;16", (100, 100), 40_000), "nothing"),
        (Image.new("L", (1, 1)), "nothing"),
        (Image.new("L", (1, 300), 7), "nothing"),
        (Image.effect_noise((200, 200), 20), "nothing"),
        (Image.linear_gradient("L"), "nothing"),
        (drawing([(60, 60), (60, 220)], [(220, 60), (220, 220)]), "2 shapes"),
        (drawing([(60, 40), (120, 40), (120, 110)], [(60, 160), (120, 160), (120, 240)]), "2 shapes"),
        (drawing(*[[(x, y), (x, y + 40)] for x in (40, 120, 200) for y in (40, 140, 220)]), "9 shapes, some above"),
        (drawing(*[[(x, y), (x, y)] for x in range(20, 270, 40) for y in range(20, 270, 40)], width=8), "49 shapes"),
        (drawing([(120, 40), (120, 240)], [(158, 45), (158, 235)]), "2 shapes"),
        (
            drawing(*[[(x, y), (x + 20, y)] for x in (100, 150) for y in range(x // 2 + 10, 181, 60)], width=14),
            "5 shapes, some above",
        ),
        (drawing([(20, 140), (260, 140)]), "wider than a digit"),
        (drawing([(80, 60), (200, 60), (200, 220), (80, 220), (80, 60)], [(140, 120), (140, 130)], width=12), "inside"),
        (drawing(RING, [(140, 72), (140, 208)], width=12), "inside"),  # a barred 0, not a 1 in a frame
        (in_boxes(Image.new("L", (280, 280), 255), [(140, 120, 260, 280)], 6), "a box that is empty, or"),
        (drawing([(140, 140), (140, 140)]), "blob"),
        (drawing([(140, 140), (140, 140)], width=120), "blob"),
    ],
)
def test_what_is_no_single_digit_is_refused(image: Image.Image, message: str) -> None:
    with pytest.raises(NoDigitError, match=message):
        to_mnist_format(image)


def test_a_digit_that_the_pen_left_in_parts_is_one() -> None:
    body, loose_bar = [(90, 60), (80, 130), (150, 130), (170, 190), (90, 230)], [(140, 45), (200, 40)]
    digit = to_mnist_format(drawing(body, loose_bar))
    assert not np.array_equal(digit, to_mnist_format(drawing(body)))  # the bar is part of it


@pytest.mark.parametrize("turn", range(4))
def test_a_line_along_the_border_of_a_small_picture_is_no_ink(turn: int) -> None:
    small = np.asarray(SEVEN.resize((28, 28), Image.Resampling.BOX))
    lined = small.copy()
    np.rot90(lined, turn)[0] = 60
    assert np.array_equal(to_mnist_format(Image.fromarray(lined)), to_mnist_format(Image.fromarray(small)))


@pytest.mark.parametrize("image", [FOUR, SEVEN], ids=["4", "7"])
@pytest.mark.parametrize("side", [280, 28])
def test_gaps_do_not_break_a_digit(image: Image.Image, side: int) -> None:
    broken = image.copy()
    for y in (120, 190):
        broken.paste(255, (0, y, 280, y + 8))
    broken = broken.resize((side, side), Image.Resampling.BOX)
    assert similarity(to_mnist_format(broken), to_mnist_format(image)) > 0.8


def test_a_zero_with_specks_is_no_frame() -> None:
    specked = drawing(RING, [(140, 120), (141, 121)], width=16)
    assert similarity(to_mnist_format(specked), to_mnist_format(drawing(RING, width=16))) > 0.9


@pytest.mark.parametrize("gap", [0, 20], ids=["joined", "apart"])
def test_numbers_in_boxes_some_of_which_are_empty(gap: int) -> None:
    page = Image.new("L", (1100, 320), 255)
    for number, image in enumerate((SEVEN, FOUR, SEVEN)):
        page.paste(image.crop((60, 0, 240, 280)), (30 + 200 * number, 20))
    for left in range(20, 1001, 200):
        ImageDraw.Draw(page).rectangle((left, 20, left + 200 - gap, 300), None, 60, 5)
    digits = find_digits(page.rotate(0.7, Image.Resampling.BICUBIC, fillcolor=255))
    for digit, image in zip(digits, (SEVEN, FOUR, SEVEN), strict=True):
        assert similarity(digit.image, to_mnist_format(image)) > 0.9


def test_digits_are_found_from_left_to_right() -> None:
    page = Image.new("L", (700, 280), 255)
    for number, image in enumerate((SEVEN, FOUR, SEVEN)):
        page.paste(image.crop((60, 0, 240, 280)), (20 + 220 * number, 0))
    page.paste(0, (205, 130, 235, 140))  # a hyphen is no digit
    digits = find_digits(page)
    for digit, image in zip(digits, (SEVEN, FOUR, SEVEN), strict=True):
        assert similarity(digit.image, to_mnist_format(image)) > 0.93
    lefts = [digit.box[0] for digit in digits]
    assert lefts == sorted(lefts)
    left, top, right, bottom = digits[0].box
    assert (left, top, right, bottom) == pytest.approx((28 / 700, 38 / 280, 172 / 700, 242 / 280), abs=0.03)
    with pytest.raises(SeveralDigitsError, match="3 shapes"):
        to_mnist_format(page)


@pytest.mark.parametrize("distance", [3, 8])
def test_dotted_paper_is_refused_at_little_cost(distance: int) -> None:
    dots = np.full((320, 320), 255, np.uint8)
    for row, column in np.ndindex(2, 2):
        dots[4 + row :: distance, 4 + column :: distance] = 0
    with little(seconds=3, megabytes=100), pytest.raises(NoDigitError):
        to_mnist_format(Image.fromarray(dots))
