"""What becomes of a drawing that arrives as a PNG file: an answer of the model, or a file under its digit."""

import hashlib
import io
import threading
from pathlib import Path
from typing import Any

from handwriting.ink import NoDigitError
from handwriting.mnist_format import mnist_form
from handwriting.pictures import read_picture
from handwriting.recognizer import Recognizer

from PIL import Image

SAVING = threading.Lock()  # of two labels for the same drawing, the later one stays


def read_png(png: bytes) -> Image.Image:
    """The picture in a PNG file.

    Raises:
        NoPictureError: there is none, or one far larger than the page's.
    """
    return read_picture(io.BytesIO(png), formats=["PNG"], max_pixels=1_000_000)


def answer(recognizer: Recognizer, image: Image.Image) -> dict[str, Any]:
    """The probability of each digit and the image that they are for, or the problem where there is no digit."""
    try:
        form = mnist_form(image)
    except NoDigitError as error:
        return {"problem": str(error)}
    return {"probabilities": recognizer.probabilities(form[None])[0].tolist(), "image": form.ravel().tolist()}


def save(folder: Path, digit: str, png: bytes) -> Path:
    """Save a drawing as that digit, and no longer as another one.

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
