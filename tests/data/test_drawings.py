"""The user's own digits become images like the others."""

from pathlib import Path

import numpy as np
from PIL import Image

from digits.data.drawings import read_drawings
from digits.data.picture_folder import list_files
from samples import MNIST, draw, some_digits


def test_drawings_are_read_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    digits = some_digits(0, 40)
    draw(tmp_path, digits)
    (tmp_path / "README.md").write_text("about the folder")
    (tmp_path / "3/.hidden").write_text("of the system")
    copied = next((tmp_path / "7").iterdir())
    Image.new("L", (100, 100), 255).save(tmp_path / "5/empty.png")
    (tmp_path / "3/damaged.jpg").write_text("no picture")
    (tmp_path / "seven").mkdir()
    (tmp_path / "seven/a.png").write_bytes(b"in the wrong place")
    (tmp_path / "9.png").write_bytes(b"in no folder")
    (tmp_path / "7/~copy.png").write_bytes(copied.read_bytes())
    drawings = read_drawings(tmp_path, list_files(tmp_path), MNIST)
    assert len(drawings.taught) > len(drawings.held_out) > 0
    labels = [*drawings.taught.labels, *drawings.held_out.labels]
    assert sorted(labels) == sorted(digits.labels)
    assert drawings.taught.images.dtype == np.uint8
    problems = dict(problem.split(": is left out: ") for problem in drawings.problems)
    assert list(problems) == [str(tmp_path / name) for name in ("3/damaged.jpg", "5/empty.png", "7/~copy.png", "9.png")]
    assert problems[str(tmp_path / "7/~copy.png")] == f"it is a copy of {copied}"
    assert problems[str(tmp_path / "9.png")] == "it must be in a folder named 0 to 9; likewise 1 more"


def test_no_folder_is_no_drawings(tmp_path: Path) -> None:
    (tmp_path / "4").mkdir()
    for folder in (tmp_path, tmp_path / "missing"):
        drawings = read_drawings(folder, list_files(folder), MNIST)
        assert drawings.taught.images.shape == drawings.held_out.images.shape == (0, 28, 28)
        assert not drawings.problems


def test_a_drawing_never_changes_sides(tmp_path: Path) -> None:
    draw(tmp_path, some_digits(0, 60))
    before = read_drawings(tmp_path, list_files(tmp_path), MNIST)
    draw(tmp_path, some_digits(60, 120))
    after = read_drawings(tmp_path, list_files(tmp_path), MNIST)
    for part in ("taught", "held_out"):
        earlier, later = ({image.tobytes() for image in getattr(d, part).images} for d in (before, after))
        assert earlier < later
    assert 0.15 < len(after.held_out) / 120 < 0.45
