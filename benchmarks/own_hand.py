"""Teach models a hand that MNIST does not know, and see how many drawings that takes.

A program draws it from a few straight strokes per digit, which strokes.py holds: the 1 has a foot, the
7 and the 0 are crossed, the 4 is open. The points vary, and so do slant, size and the width of the pen.
Command: python benchmarks/own_hand.py, in the root of a repository whose stage download has run
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw

from bench import ROOT
from digits.data.picture_folder import is_held_out, list_files, read_pictures
from digits.known_datasets import PUBLISHED
from handwriting.recognizer import Recognizer
from strokes import HAND

COUNTS = [0, 1, 3, 10, 30]  # drawings per digit that are taught
TIMES = 10
UNSEEN = 50  # per digit
RECIPES = "linear", "cnn-fast"


def draw(digit: int, random: np.random.Generator) -> Image.Image:
    """A drawing, 200 x 200 pixels, dark on light."""
    side = 800  # four times as large, for smooth edges
    image = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(image)
    size = random.uniform(0.5, 0.75, 2) * side * np.array([0.7, 1])
    width = int(random.uniform(0.05, 0.1) * side)
    slant, shift = random.normal(0, 0.15), random.uniform(0.12, 0.2, 2) * side
    for stroke in HAND[digit]:
        points = (np.array(stroke) + random.normal(0, 0.035, (len(stroke), 2))) * size
        points[:, 0] += slant * (size[1] - points[:, 1])
        line = [(x, y) for x, y in (points + shift).tolist()]
        pen.line(line, 0, width, joint="curve")
        for x, y in line:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), 0)
    return image.resize((side // 4, side // 4), Image.Resampling.BOX)


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
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        shutil.copytree(ROOT / "data/raw", clone / "data/raw")
        save(Path(name) / "unseen", UNSEEN, 1, taught=False)
        folder = Path(name) / "unseen"
        unseen = read_pictures(folder, list_files(folder), PUBLISHED["mnist"].about)[0]
        print(f"{len(unseen)} of {10 * UNSEEN} unseen drawings are recognised as a single digit")
        print("| recipe | drawings per digit | unseen drawings, % | test images, % |\n|---|---:|---:|---:|")
        for recipe in RECIPES:
            for count in COUNTS:
                params = yaml.safe_load((clone / "params.yaml").read_text())
                params["train"] |= yaml.safe_load((clone / f"recipes/{recipe}.yaml").read_text())["train"]
                params["preprocess"]["drawings"] = TIMES if count else 0
                (clone / "params.yaml").write_text(yaml.safe_dump(params))
                save(clone / "data/drawings", count, 0, taught=True)
                for stage in ("preprocess", "train", "evaluate", "export"):
                    subprocess.run(
                        [sys.executable, f"stages/{stage}.py"], cwd=clone, check=True, stdout=subprocess.DEVNULL
                    )
                model = Recognizer(clone / "models/model.onnx")
                right = (model.probabilities(unseen.images).argmax(axis=1) == unseen.labels).sum() / (10 * UNSEEN)
                print(
                    f"| {recipe} | {count} | {right:.1%} | {model.metrics.accuracy:.2%} |".replace("%", ""), flush=True
                )


if __name__ == "__main__":
    main()
