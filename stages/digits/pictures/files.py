"""Picture files of any format that Pillow reads, and HEIC, the format of phones."""

import warnings
from pathlib import Path
from typing import IO

from PIL import EpsImagePlugin, Image, ImageOps, UnidentifiedImageError

EpsImagePlugin.gs_binary = False  # PostScript is a program, which Pillow would have Ghostscript run
LONGEST = 1000  # pixels; larger pictures are scaled down, to between this and twice as much
# In these modes, pixels cannot be averaged.
OTHER_MODES = {"1": "RGBA", "P": "RGBA", "PA": "RGBA", "HSV": "RGBA", "I;16": "F", "I;16B": "F", "I;16L": "F"}


class NoPictureError(ValueError):
    """A file that is not a readable picture; the message says why."""


def read_picture(
    file: Path | IO[bytes], formats: list[str] | None = None, max_pixels: int = 100_000_000
) -> Image.Image:
    """The picture in a file, upright as the camera was held, its longer side at most 2 * LONGEST pixels.

    Raises a `NoPictureError` if there is none in the accepted formats, by Pillow's names, None for all, or it has more
    than `max_pixels`, which bounds memory, since a small file can decode to a huge picture.
    """
    try:
        with warnings.catch_warnings():  # damaged EXIF data does not make a picture unreadable
            warnings.simplefilter("ignore")
            if isinstance(file, Path) and file.exists() and not file.is_file():
                raise NoPictureError("it is not a regular file")  # a named pipe, for example, may never say anything
            with _opened(file, formats) as image:
                if image.width * image.height > max_pixels:
                    raise NoPictureError(f"it has more than {max_pixels:,} pixels")
                image.draft("RGB", (LONGEST, LONGEST))  # saves most of the work for a camera's JPEG file
                image.load()
                return _upright(_reduced(image))
    except (NoPictureError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise NoPictureError(f"it has more than {max_pixels:,} pixels")
    except Exception as error:  # Pillow raises a dozen unrelated classes for damaged files
        raise NoPictureError(getattr(error, "strerror", None) or "it is not a picture, or a damaged one")


def _opened(file: Path | IO[bytes], formats: list[str] | None) -> Image.Image:
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError:
        if formats:
            raise
        import pi_heif  # here, since it takes 0.2 s, and hardly any file needs it

        pi_heif.register_heif_opener()
        return Image.open(file)


def _reduced(image: Image.Image) -> Image.Image:
    """The picture, scaled down by a whole number if it is large, in strips, which bounds memory."""
    factor = max(image.size) // LONGEST
    if factor < 2:
        return image
    mode = OTHER_MODES.get(image.mode, image.mode)
    width, height = (-(-side // factor) for side in image.size)
    small = Image.new(mode, (width, height))
    for top in range(0, height, 100):
        strip = image.crop((0, factor * top, image.width, min(factor * (top + 100), image.height)))
        small.paste(strip.convert(mode).reduce(factor), (0, top))
    small.info = image.info  # EXIF data among it
    return small


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # Pillow raises many classes for damaged EXIF data; the picture is fine
        return image
