"""Pictures in files of every format are read, large ones in little memory, and damaged ones named."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from digits.pictures.files import LONGEST, NoPictureError, read_picture
from digits.pictures.mnist_format import to_mnist_format

HEIC = Path(__file__).with_name("seven.heic")  # 128 x 96 pixels, a 7 that a program drew


def seven(width: int = 128, height: int = 96) -> Image.Image:
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


@pytest.mark.parametrize("size", [(128, 96), (3200, 2400)])
@pytest.mark.parametrize(
    ("kind", "modes"),
    [
        ("JPEG", "RGB CMYK"),
        ("TIFF", "CMYK I;16 F"),
        ("PNG", "I;16 P 1"),
        ("GIF", "P"),
        ("WEBP", "RGBA"),
        ("BMP", "RGB"),
    ],
)
def test_formats_and_sizes_do_not_matter(kind: str, modes: str, size: tuple[int, int]) -> None:
    image = seven(*size)
    gray = image.convert("L")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 200)
    for mode in modes.split():
        converted = {"I;16": deep, "F": gray.convert("F")}.get(mode) or image.convert(mode)
        read = read_picture(saved(converted, kind))
        assert max(read.size) < 2 * LONGEST
        assert similarity(read, image) > 0.95, mode


def test_transparency_in_a_palette() -> None:
    strokes = seven().convert("P")
    background = strokes.getpixel((0, 0))
    assert similarity(read_picture(saved(strokes, "PNG", transparency=background)), seven()) > 0.95


@pytest.mark.parametrize("size", [(128, 96), (3200, 2400)])
def test_a_picture_is_upright_however_the_camera_was_held(size: tuple[int, int]) -> None:
    for orientation in range(1, 9):
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_truncated_file(kind: str) -> None:
    content = saved(seven(), kind).getvalue()
    with pytest.raises(NoPictureError, match="damaged"):
        read_picture(io.BytesIO(content[: len(content) // 2]))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_fifty_megapixels_take_little_memory(tmp_path: Path) -> None:
    seven(8660, 5774).quantize(4).save(tmp_path / "large.png")  # 200 MB as RGBA
    program = (
        "import re, sys; from pathlib import Path; from digits.pictures.files import read_picture\n"
        "read_picture(Path(sys.argv[1]))\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    stages = Path(__file__).parents[2] / "stages"
    command = [sys.executable, "-c", program, str(tmp_path / "large.png")]
    done = subprocess.run(command, cwd=stages, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 250_000  # kilobytes
