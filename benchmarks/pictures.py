"""How well are pictures of many kinds prepared for a model, beside what tutorials do?

A program writes digits onto paper and takes pictures of it. Tutorials convert a
picture to gray, invert it if its mean is above 127, and resize it to 28 x 28. A
second table says how many numbers of five digits are read without an error, a
third how many letters and drawings that are not digits are refused.
Command: python benchmarks/pictures.py MODEL.onnx ...
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from bench import ROOT
from command import Parser
from digits.pictures.ink import NoDigitError
from digits.pictures.mnist_format import find_digits
from handwriting.recognizer import Recognizer
from off_data_set import converted_or_none
from picture_kinds import KINDS, NUMBERS, no_digits

COUNT = 80  # pictures of each kind: those of even seeds are to develop with, those of odd ones to report


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "models", nargs="*", type=Path, metavar="MODEL", help="ONNX files", default=[ROOT / "models/model.onnx"]
    )
    parser.add_argument("--develop", action="store_true", help="the other half of the pictures, to develop with")
    arguments = parser.parse_args()
    models = {path.stem: Recognizer(path) for path in arguments.models}
    seeds = range(not arguments.develop, COUNT, 2)
    heads = [f"{name}: {way}" for name in models for way in ("ours", "tutorials")]
    table = shares({kind: [scores(kind, seed, models) for seed in seeds] for kind in KINDS}, [*heads, "refused"])
    table.loc[f"all {len(KINDS) * len(seeds)}"] = table.mean()
    show(table, "correct, %")
    numbers = {kind: [number_scores(kind, seed, models) for seed in seeds] for kind in NUMBERS}
    print()
    show(shares(numbers, [*models, "refused"]), "numbers without an error, %")
    others = {kind: [refusals(image, models) for image in images] for kind, images in no_digits().items()}
    print()
    show(shares(others, [*models]), "refused, %")


def shares(found: dict[str, list[list[bool]]], columns: list[str]) -> pd.DataFrame:
    """How many of a kind's pictures have each property, in percent."""
    return 100 * pd.DataFrame({kind: np.mean(rows, axis=0) for kind, rows in found.items()}, columns).T


def show(table: pd.DataFrame, title: str) -> None:
    print(table.rename_axis(title).to_markdown(floatfmt=".1f"))


def scores(kind: str, seed: int, models: dict[str, Recognizer]) -> list[bool]:
    """Whether each model reads our 28 x 28 pixels, and the tutorials', correctly, and whether we refuse the picture."""
    digit = seed // 2 % 10
    image = KINDS[kind](digit, np.random.default_rng([seed, *kind.encode()]))
    ours = converted_or_none(image)
    found = []
    for model in models.values():
        found.append(ours is not None and read(model, ours[None]) == [digit])
        found.append(int(model.probabilities(as_tutorials(image)[None]).argmax()) == digit)
    return [*found, ours is None]


def number_scores(kind: str, seed: int, models: dict[str, Recognizer]) -> list[bool]:
    """Whether each model reads a number of five digits without an error, and whether we refuse its picture."""
    random = np.random.default_rng([seed, *kind.encode()])
    number = random.integers(0, 10, 5).tolist()
    try:
        digits = np.stack([digit.image for digit in find_digits(NUMBERS[kind](number, random))])
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


if __name__ == "__main__":
    main()
