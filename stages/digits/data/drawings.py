"""The user's own digits: drawings and photographs in folders named 0 to 9."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from digits.data.dataset import Dataset
from digits.pictures.files import NoPictureError, read_picture
from digits.pictures.ink import NoDigitError
from digits.pictures.mnist_format import to_mnist_format

import numpy as np

HELD_OUT = 77  # of 256, so 30 %
FOLDERS = {str(digit) for digit in range(10)}


@dataclass(frozen=True)
class Drawings:
    """The pictures of a folder.

    Attributes:
        taught: those to train on, in MNIST format.
        held_out: those that are never trained on.
        problems: a line about each file that is left out: no picture, no digit, a copy, or in the wrong place.
    """

    taught: Dataset
    held_out: Dataset
    problems: list[str]


def list_files(folder: Path) -> list[Path]:
    """The files in which there may be pictures, sorted: all but hidden ones and the folder's own README.md."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path != folder / "README.md")
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_drawings(folder: Path) -> Drawings:
    """Read the pictures in the folders 0 to 9 below `folder`.

    Raises:
        OSError: a file cannot be read.
    """
    images: dict[bool, list[np.ndarray]] = {False: [], True: []}
    labels: dict[bool, list[int]] = {False: [], True: []}
    problems: list[str] = []
    seen: dict[bytes, Path] = {}
    for path in list_files(folder):
        label, content = path.relative_to(folder).parts[0], path.read_bytes()
        first = seen.setdefault(content, path)
        try:
            if label not in FOLDERS or path.parent == folder:
                raise NoPictureError("it has to be in a folder named 0 to 9")
            if first != path:
                raise NoPictureError(f"it is a copy of {first}")
            image = to_mnist_format(read_picture(io.BytesIO(content)))
        except (NoPictureError, NoDigitError) as error:
            problems.append(f"{path}: is left out: {error}")
            continue
        side = is_held_out(content)
        images[side].append(image)
        labels[side].append(int(label))
    taught, held_out = (
        Dataset(np.array(images[side], np.uint8).reshape(-1, 28, 28), np.array(labels[side], np.int64))
        for side in (False, True)
    )
    return Drawings(taught, held_out, problems)


def is_held_out(content: bytes) -> bool:
    """Whether a picture is never trained on. The hash of its file decides, so it never changes sides."""
    return hashlib.sha256(content).digest()[0] < HELD_OUT
