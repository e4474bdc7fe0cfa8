"""Drawings that the page sends as PNG files: they are answered, or saved under their class."""

import hashlib
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from digits.foundation.files import replacing
from digits.pictures.files import read_picture
from digits.pictures.ink import NoDigitError
from handwriting.recognizer import Recognizer


def read_png(png: bytes) -> Image.Image:
    """The picture in a PNG file.

    Raises:
        NoPictureError: there is none, or one far larger than the page's.
    """
    return read_picture(io.BytesIO(png), formats=["PNG"], max_pixels=1_000_000)


def answer(recognizer: Recognizer, image: Image.Image) -> dict[str, Any]:
    """The probability of each class and the 28 x 28 image they are for, or the problem if there is nothing on it."""
    try:
        pixels = recognizer.convert(image)
    except NoDigitError as error:
        return {"problem": str(error)}
    return {"probabilities": recognizer.by_class(pixels), "image": pixels.ravel().tolist()}


class Drawings:
    """The saved drawings: a folder with a folder for each class.

    Args:
        folder: made for the first of them.
        classes: their names.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder, self.classes = folder, classes
        self.lock = threading.Lock()  # so that the later of two labels for one drawing stays
        # Where each drawing that was saved here had been before, if anywhere. Only these saves can be undone.
        self.earlier: dict[str, Path | None] = {}

    def count(self) -> int:
        return sum(1 for name in self.classes for _ in (self.folder / name).glob("[!.]*"))

    def save(self, name: str, png: bytes) -> Path:
        """Save a drawing as one of this class, and delete it where it was saved as another.

        Raises:
            OSError: the folder cannot be written.
        """
        path = self.folder / name / f"{hashlib.sha256(png).hexdigest()[:16]}.png"
        with self.lock:
            new = not path.exists()
            with replacing(path) as temporary:
                temporary.write_bytes(png)
            others = {other for name in self.classes if (other := self.folder / name / path.name).exists()} - {path}
            for other in others:
                other.unlink(missing_ok=True)
            if new:
                self.earlier[str(path)] = min(others, default=None)
        return path

    def undo(self, saved: str) -> str | None:
        """Put a drawing back under its earlier class, which is returned, or delete it if it had none.

        Raises:
            KeyError: it was not saved here, or that has been undone.
            OSError: the folder cannot be written.
        """
        with self.lock:
            earlier = self.earlier[saved]
            if earlier:
                Path(saved).rename(earlier)
            else:
                Path(saved).unlink(missing_ok=True)
            del self.earlier[saved]
        return earlier.parent.name if earlier else None
