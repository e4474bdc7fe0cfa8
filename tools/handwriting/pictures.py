"""Pictures in files, of whatever format Pillow reads."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from PIL import Image, ImageOps


class NoPictureError(ValueError):
    """A file holds no picture; the message says what is wrong with it."""


def read_picture(
    file: Path | IO[bytes], formats: list[str] | None = None, max_pixels: int = 100_000_000
) -> Image.Image:
    """The picture in a file.

    Args:
        formats: those that are taken, by Pillow's names; None for all.
        max_pixels: bounds memory, whatever a small file promises.

    Raises:
        NoPictureError: there is none, or a larger one.
    """
    try:
        with warnings.catch_warnings():  # a picture with damaged EXIF data is one, too
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(file, formats=formats)
            if image.width * image.height > max_pixels:
                raise NoPictureError(f"it has more than {max_pixels:,} pixels")
            image.draft("RGB", (1000, 1000))  # spares most of the work for a JPEG file of a camera
            image.load()
            with suppress(Exception):
                image = ImageOps.exif_transpose(image)
    except NoPictureError:
        raise
    except Image.DecompressionBombError:
        raise NoPictureError(f"it has more than {max_pixels:,} pixels")
    except OSError as error:
        raise NoPictureError(error.strerror or "it is no picture, or a damaged one")
    except Exception:  # Pillow has a dozen classes without a common one for what is damaged
        raise NoPictureError("it is no picture, or a damaged one")
    return image


def find_pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths`, and, in the place of a folder, those below it whose names end as a picture's."""
    for path in paths:
        if path.is_dir():
            # Only here, since it loads what reads every format.
            endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
            yield from (file for file in sorted(path.rglob("*")) if file.suffix.lower() in endings and file.is_file())
        else:
            yield path
