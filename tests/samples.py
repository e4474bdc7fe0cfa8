"""Images to test with: the bundled digits, drawings of them, and shapes."""

import gzip
import struct
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from digits.dataset import Dataset
from digits.known_datasets import PUBLISHED
from digits.sources.optdigits import load_optdigits

torch.set_num_threads(1)
IMAGES, LABELS = load_optdigits().images, load_optdigits().labels
MNIST = PUBLISHED["mnist"].about
CLASSES = len(MNIST.classes)
# What a classifier might say of the first 500, most of it right, and how sure it might be.
RANDOM = np.random.default_rng(0)
ACTUAL = RANDOM.integers(0, CLASSES, 500)
PREDICTED = np.where(RANDOM.random(500) < 0.8, ACTUAL, RANDOM.integers(0, CLASSES, 500))
CONFIDENCE = RANDOM.uniform(0.1, 1, 500)


def some_digits(start: int, stop: int) -> Dataset:
    """Some of the bundled digits."""
    return Dataset(IMAGES[start:stop], LABELS[start:stop])


def packed_idx(array: np.ndarray) -> bytes:
    """An archive in MNIST's format of bytes, uint8 of any shape."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def draw(folder: Path, digits: Dataset) -> None:
    """Save digits as drawings, dark on light and larger, in a folder for each."""
    for i in range(len(digits)):
        place = folder / str(digits.labels[i])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - digits.images[i]).resize((200, 200)).save(
            place / f"{sha256(digits.images[i]).hexdigest()[:16]}.png"
        )


SHAPES = ["circles", "squares", "triangles"]


def draw_shapes(folder: Path, count: int) -> Path:
    """A folder of pictures for each of three shapes, of many sizes and colours."""
    random = np.random.default_rng(0)
    for number in range(count):
        for shape in SHAPES:
            side = int(random.integers(40, 200))
            paper, ink = random.integers(180, 255, 3), random.integers(0, 120, 3)
            image = Image.new("RGB", (side, side + number), tuple(paper.tolist()))
            pen, radius = ImageDraw.Draw(image), int(side * random.uniform(0.25, 0.45))
            place = (side // 2, side // 2, radius)
            if shape == "circles":
                pen.circle(place[:2], radius, tuple(ink.tolist()))
            else:
                pen.regular_polygon(place, 4 if shape == "squares" else 3, fill=tuple(ink.tolist()))
            (folder / shape).mkdir(parents=True, exist_ok=True)
            image.save(folder / shape / f"{number}.{'jpg' if number % 2 else 'png'}")
    return folder


def some_tensors(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The images and labels of some of the bundled digits, for PyTorch."""
    digits = some_digits(start, stop)
    return torch.from_numpy(digits.images), torch.from_numpy(digits.labels)
