"""Drawings that the page sends as PNG files: they are answered, or saved under their digit."""

import hashlib
import io
import threading
from pathlib import Path
from typing import Any

from handwriting.ink import NoDigitError
from handwriting.mnist_format import to_mnist_format
from handwriting.pictures import read_picture
from handwriting.recognizer import Recognizer

from PIL import Image

SAVING = threading.Lock()  # so that the later of two labels for one drawing stays


def read_png(png: bytes) -> Image.Image:
    """The picture in a PNG file.

    Raises:
        NoPictureError: there is none, or one far larger than the page's.
    """
    return read_picture(io.BytesIO(png), formats=["PNG"], max_pixels=1_000_000)


def answer(recognizer: Recognizer, image: Image.Image) -> dict[str, Any]:
    """The probability of each digit and the 28 x 28 image they are for, or the problem if there is no digit."""
    try:
        pixels = to_mnist_format(image)
    except NoDigitError as error:
        return {"problem": str(error)}
    return {"probabilities": recognizer.probabilities(pixels[None])[0].tolist(), "image": pixels.ravel().tolist()}


def save(folder: Path, digit: str, png: bytes) -> Path:
    """Save a drawing as this digit, and delete it where it was saved as another.

    Raises:
        OSError: the folder cannot be written.
    """
    path = folder / digit / f"{hashlib.sha256(png).hexdigest()[:16]}.png"
    with SAVING:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        for other in {*folder.glob(f"[0-9]/{path.name}")} - {path}:
            other.unlink(missing_ok=True)
    return path
