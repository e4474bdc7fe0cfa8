"""How well are pictures of many kinds prepared for a model, beside what tutorials do?

A program writes digits onto paper and takes pictures of it. Tutorials convert a
picture to gray, invert it if its mean is above 127, and resize it to 28 x 28. A
second table says how many numbers of five digits are read without an error, a
third how many letters and drawings that are no digits are refused.
Command: python benchmarks/pictures.py MODEL.onnx ...
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from command import Parser
from digits.pictures.ink import NoDigitError
from digits.pictures.mnist_format import find_digits
from handwriting.recognizer import Recognizer
from off_data_set import converted_or_none
from picture_kinds import KINDS, NUMBERS, no_digits

COUNT = 80  # pictures of each kind, half of them to develop with


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="ONNX files")
    parser.add_argument("--develop", action="store_true", help="the other half of the pictures, to develop with")
    arguments = parser.parse_args()
    models = {path.stem: Recognizer(path) for path in arguments.models}
    heads = [f"{name}: {way}" for name in models for way in ("ours", "tutorials")]
    found = {
        kind: np.mean([scores(image, digit, models) for image, digit in pictures(kind, arguments.develop)], axis=0)
        for kind in KINDS
    }
    table = 100 * pd.DataFrame(found, [*heads, "refused"]).T
    table.loc[f"all {len(KINDS) * COUNT // 2}"] = table.mean()
    print(table.rename_axis("right, %").to_markdown(floatfmt=".1f"))
    found = {
        kind: np.mean([number_scores(*each, models) for each in numbers(kind, arguments.develop)], axis=0)
        for kind in NUMBERS
    }
    table = 100 * pd.DataFrame(found, [*models, "refused"]).T
    print(f"\n{table.rename_axis('numbers without an error, %').to_markdown(floatfmt='.1f')}")
    found = {
        kind: np.mean([refusals(image, models) for image in others], axis=0) for kind, others in no_digits().items()
    }
    table = 100 * pd.DataFrame(found, [*models]).T
    print(f"\n{table.rename_axis('refused, %').to_markdown(floatfmt='.1f')}")


def scores(image: Image.Image, digit: int, models: dict[str, Recognizer]) -> list[bool]:
    """Whether each model is right about our 28 x 28 pixels, and the tutorials', and whether we refuse the picture."""
    ours = converted_or_none(image)
    found = []
    for model in models.values():
        found.append(ours is not None and read(model, ours[None]) == [digit])
        found.append(int(model.probabilities(as_tutorials(image)[None]).argmax()) == digit)
    return [*found, ours is None]


def number_scores(image: Image.Image, number: list[int], models: dict[str, Recognizer]) -> list[bool]:
    """Whether each model reads the number without an error, and whether we refuse the picture."""
    try:
        digits = np.stack([digit.image for digit in find_digits(image)])
    except NoDigitError:
        return [*[False] * len(models), True]
    return [*(read(model, digits) == number for model in models.values()), False]


def read(model: Recognizer, digits: NDArray[np.uint8]) -> list[int] | None:
    """The digits on images from a conversion, uint8 (N, 28, 28); None if the model refuses one of them."""
    return model.probabilities(digits).argmax(axis=1).tolist() if model.knows(digits).all() else None


def refusals(image: Image.Image, models: dict[str, Recognizer]) -> list[bool]:
    """Whether each model refuses the picture."""
    ours = converted_or_none(image)
    return [ours is None or read(model, ours[None]) is None for model in models.values()]


def as_tutorials(image: Image.Image) -> NDArray[np.uint8]:
    gray = np.asarray(image.convert("L").resize((28, 28)))
    return 255 - gray if gray.mean() > 127 else gray


def pictures(kind: str, develop: bool) -> Iterator[tuple[Image.Image, int]]:
    """The pictures of a kind with their digits: those of even seeds to develop with, those of odd ones to report."""
    for seed in range(not develop, COUNT, 2):
        random = np.random.default_rng([seed, *kind.encode()])
        yield KINDS[kind](seed // 2 % 10, random), seed // 2 % 10


def numbers(kind: str, develop: bool) -> Iterator[tuple[Image.Image, list[int]]]:
    """The pictures of numbers of a kind, half of them to develop with, with their five digits."""
    for seed in range(not develop, COUNT, 2):
        random = np.random.default_rng([seed, *kind.encode()])
        digits = random.integers(0, 10, 5).tolist()
        yield NUMBERS[kind](digits, random), digits


if __name__ == "__main__":
    main()
