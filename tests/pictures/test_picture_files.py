"""Pictures in files of every format are read, large ones in little memory, and damaged ones named."""

import io
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from bad_input import little, many
from digits.pictures.files import LONGEST, NoPictureError, read_picture
from digits.pictures.ink import NoDigitError
from digits.pictures.mnist_format import to_mnist_format

SMALL, LARGE = (128, 96), (2000, 1500)
MODES = {"JPEG": "RGB CMYK", "TIFF": "CMYK I;16 F", "PNG": "I;16 P 1", "GIF": "P", "WEBP": "RGBA", "BMP": "RGB"}
HEIC = Path(__file__).with_name("seven.heic")  # 128 x 96 pixels, a 7 that a program drew


def seven(width: int = SMALL[0], height: int = SMALL[1]) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    points = [(width * x, height * y) for x, y in ((0.31, 0.21), (0.7, 0.21), (0.47, 0.83))]
    ImageDraw.Draw(image).line(points, (20, 20, 80), width // 16, joint="curve")
    return image


def saved(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def similarity(first: Image.Image, second: Image.Image) -> float:
    return float(np.corrcoef(to_mnist_format(first).ravel(), to_mnist_format(second).ravel())[0, 1])


def test_heic_is_read() -> None:
    for file in (HEIC, io.BytesIO(HEIC.read_bytes())):
        assert similarity(read_picture(file), seven()) > 0.95


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_formats_and_sizes_do_not_matter(size: tuple[int, int]) -> None:
    image = seven(*size)
    gray = image.convert("L")
    others = {"I;16": Image.fromarray(np.asarray(gray).astype(np.uint16) * 200), "F": gray.convert("F")}
    for kind, modes in MODES.items():
        for mode in modes.split():
            read = read_picture(saved(others.get(mode) or image.convert(mode), kind))
            assert max(read.size) < 2 * LONGEST
            assert similarity(read, image) > 0.95, (kind, mode)
    palette = image.convert("P")
    transparent = saved(palette, "PNG", transparency=palette.getpixel((0, 0)))
    assert similarity(read_picture(transparent), image) > 0.95


@pytest.mark.parametrize(("size", "orientations"), [(SMALL, range(1, 9)), (LARGE, [6])])
def test_a_picture_is_upright_however_the_camera_was_held(size: tuple[int, int], orientations: Iterable[int]) -> None:
    for orientation in orientations:
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = saved(seven(*size), "PNG", exif=exif)
        read, upright = read_picture(file), ImageOps.exif_transpose(Image.open(file))
        assert (read.width < read.height) == (upright.width < upright.height) == (orientation >= 5)
        assert similarity(read, upright) > 0.95


def test_a_lack_of_memory_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(_: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageOps, "exif_transpose", lack)
    with pytest.raises(MemoryError):
        read_picture(saved(seven(), "PNG"))


@many(80)
@given(
    content=st.sampled_from([saved(seven(), kind).getvalue() for kind in MODES] + [HEIC.read_bytes()]),
    start=st.integers(0, 300) | st.integers(0, 2000),
    length=st.integers(0, 30),
    inserted=st.binary(max_size=30),
)
def test_any_damage(content: bytes, start: int, length: int, inserted: bytes) -> None:
    damaged = content[:start] + inserted + content[start + length :]
    with suppress(NoPictureError, NoDigitError), little(seconds=5, megabytes=1000):
        assert to_mnist_format(read_picture(io.BytesIO(damaged))).max() == 255


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(NoPictureError, match="not a regular file"):
        read_picture(tmp_path / "pipe.png")


def test_twenty_megapixels_take_little_memory() -> None:
    image = Image.new("P", (5160, 3880))  # 80 MB as RGBA
    image.putpalette(bytes(range(256)) * 3)
    image.paste(200, (2000, 1000, 2500, 3000))
    file = saved(image, "PNG")
    image.close()
    with little(seconds=10, megabytes=60):
        assert max(read_picture(file).size) < 2 * LONGEST


def test_a_picture_cannot_be_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In PostScript, which Pillow would have Ghostscript run."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(NoPictureError, match="it is not a picture, or a damaged one"):
        read_picture(io.BytesIO(program))
    assert not (tmp_path / "ran").exists()
