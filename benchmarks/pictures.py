"""How well are pictures of many kinds prepared for a model, beside what tutorials do?

A program writes digits onto paper and takes pictures of it. Tutorials convert a
picture to gray, invert it if its mean is above 127, and resize it to 28 x 28.
Command: python benchmarks/pictures.py MODEL.onnx ...
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "stages"), str(ROOT / "tools")]

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digits.pictures.ink import NoDigitError
from digits.pictures.mnist_format import to_mnist_format
from handwriting.recognizer import Recognizer
from picture_kinds import KINDS

Floats = NDArray[np.float64]
COUNT = 80  # pictures of each kind, half of them to develop with


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="ONNX files")
    parser.add_argument("--develop", action="store_true", help="the other half of the pictures, to develop with")
    arguments = parser.parse_args()
    models = {path.stem: Recognizer(path) for path in arguments.models}
    heads = [f"{name}: {way}" for name in models for way in ("ours", "tutorials")]
    print(f"| right, % | {' | '.join(heads)} | refused |\n|---|{'---:|' * (len(heads) + 1)}")
    total = np.zeros(len(heads) + 1)
    for kind in KINDS:
        found = np.array([scores(image, digit, models) for image, digit in pictures(kind, arguments.develop)])
        print(line(kind, found.mean(axis=0)), flush=True)
        total += found.mean(axis=0) / len(KINDS)
    print(line(f"all {len(KINDS) * COUNT // 2}", total))


def line(name: str, shares: Floats) -> str:
    return f"| {name} | {' | '.join(f'{share:.1f}' for share in (100 * shares).tolist())} |"


def scores(image: Image.Image, digit: int, models: dict[str, Recognizer]) -> list[bool]:
    """Whether each model is right about our 28 x 28 pixels, and the tutorials', and whether we refuse the picture."""
    try:
        ours = to_mnist_format(image)
    except NoDigitError:
        ours = None
    found = []
    for model in models.values():
        for pixels in (ours, as_tutorials(image)):
            found.append(pixels is not None and int(model.probabilities(pixels[None]).argmax()) == digit)
    return [*found, ours is None]


def as_tutorials(image: Image.Image) -> NDArray[np.uint8]:
    gray = np.asarray(image.convert("L").resize((28, 28)))
    return 255 - gray if gray.mean() > 127 else gray


def pictures(kind: str, develop: bool) -> Iterator[tuple[Image.Image, int]]:
    """The pictures of a kind with their digits: those of even seeds to develop with, those of odd ones to report."""
    for seed in range(not develop, COUNT, 2):
        random = np.random.default_rng([seed, *kind.encode()])
        yield KINDS[kind](seed // 2 % 10, random), seed // 2 % 10


if __name__ == "__main__":
    main()
