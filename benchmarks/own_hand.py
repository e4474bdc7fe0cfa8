"""Teach models a hand that MNIST does not know, and see how many drawings that takes.

A program draws it from the strokes that strokes.py holds: the 1 has a foot, the 7 and the 0 are crossed,
the 4 is open. Their points vary, and so do slant, size and the width of the pen.
Example: python benchmarks/own_hand.py
"""

import hashlib
import shutil
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from bench import cloned, run_recipe
from command import Parser
from digits.data.picture_folder import is_held_out, list_files, read_pictures
from digits.known_datasets import PUBLISHED
from handwriting.recognizer import Recognizer
from picture_kinds import drawn, picture
from strokes import HAND, ink, write

COUNTS = [0, 1, 3, 10, 30]  # drawings per digit that are taught
TIMES = 10
UNSEEN = 50  # per digit
RECIPES = "linear", "cnn-fast"
SIDE = 200  # pixels of a drawing


def draw(digit: int, random: np.random.Generator) -> Image.Image:
    """A drawing, `SIDE` x `SIDE` pixels, dark on light."""
    size, corner = random.uniform(0.5, 0.75) * SIDE, random.uniform(0.12, 0.2, 2) * SIDE
    strokes = [size * stroke + corner for stroke in write(digit, random, HAND)]
    return picture(drawn(ink(strokes, (SIDE, SIDE), size * random.uniform(0.08, 0.16))))


def save(folder: Path, count: int, seed: int, taught: bool) -> None:
    """Save so many drawings of each digit; if they are to be taught, only those that the pipeline does not hold out."""
    random = np.random.default_rng(seed)
    shutil.rmtree(folder, ignore_errors=True)
    for digit in range(10):
        place = folder / str(digit)
        place.mkdir(parents=True)
        while len(list(place.iterdir())) < count:
            path = place / f"{random.integers(10**12)}.png"
            draw(digit, random).save(path)
            if taught and is_held_out(hashlib.sha256(path.read_bytes()).digest()):
                path.unlink()


def main() -> None:
    Parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name, cloned() as clone:
        others = Path(name)
        save(others, UNSEEN, 1, taught=False)
        unseen = read_pictures(others, list_files(others), PUBLISHED["mnist"].about)[0]
        print(f"{len(unseen)} of {10 * UNSEEN} unseen drawings are recognised as a single digit")
        print("| recipe | drawings per digit | unseen drawings, % | test images, % |\n|---|---:|---:|---:|")
        for recipe, count in product(RECIPES, COUNTS):
            save(clone / "data/drawings", count, 0, taught=True)
            run_recipe(clone, recipe, f"taught-{recipe}-{count}", f"preprocess.drawings={TIMES if count else 0}")
            model = Recognizer(clone / "models/model.onnx")
            correct = (model.probabilities(unseen.images).argmax(axis=1) == unseen.labels).sum() / (10 * UNSEEN)
            print(f"| {recipe} | {count} | {100 * correct:.1f} | {100 * model.metrics.accuracy:.2f} |", flush=True)


if __name__ == "__main__":
    main()
