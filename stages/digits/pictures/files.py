"""Picture files of any format that Pillow reads."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from PIL import Image, ImageOps


class NoPictureError(ValueError):
    """A file that is not a readable picture; the message says why."""


def read_picture(
    file: Path | IO[bytes], formats: list[str] | None = None, max_pixels: int = 100_000_000
) -> Image.Image:
    """The picture in a file.

    Args:
        formats: the accepted ones, by Pillow's names; None for all.
        max_pixels: bounds memory, since a small file can decode to a huge picture.

    Raises:
        NoPictureError: there is none, or it is larger.
    """
    try:
        with warnings.catch_warnings():  # damaged EXIF data does not make a picture unreadable
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(file, formats=formats)
            if image.width * image.height > max_pixels:
                raise NoPictureError(f"it has more than {max_pixels:,} pixels")
            image.draft("RGB", (1000, 1000))  # saves most of the work for a camera's JPEG file
            image.load()
            with suppress(Exception):  # damaged metadata, for which Pillow raises as many; the picture is fine
                image = ImageOps.exif_transpose(image)
    except (NoPictureError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise NoPictureError(f"it has more than {max_pixels:,} pixels")
    except OSError as error:
        raise NoPictureError(error.strerror or "it is not a picture, or a damaged one")
    except Exception:  # Pillow raises a dozen unrelated classes for damaged files
        raise NoPictureError("it is not a picture, or a damaged one")
    return image


def find_pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths`, and the picture files, by their endings, in the folders among them."""
    for path in paths:
        if path.is_dir():
            # Only for folders, since it loads every format's reader.
            endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
            yield from (file for file in sorted(path.rglob("*")) if file.suffix.lower() in endings and file.is_file())
        else:
            yield path
