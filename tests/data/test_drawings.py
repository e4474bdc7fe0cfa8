"""The user's own digits become images like the others."""

from pathlib import Path

from conftest import draw, some_digits
from digits.data.drawings import held_out, read_drawings

import numpy as np
from PIL import Image


def test_drawings_and_other_pictures_are_read_and_the_rest_is_named(tmp_path: Path) -> None:
    digits = some_digits(0, 20)
    draw(tmp_path, digits)
    (tmp_path / "README.md").write_text("no picture, and in no folder of a digit")
    (tmp_path / "3/notes.txt").write_text("no picture")
    (tmp_path / "3/damaged.jpg").write_text("no picture")
    Image.new("L", (100, 100), 255).save(tmp_path / "5/empty.png")
    drawings, problems = read_drawings(tmp_path)
    assert sorted(drawings.labels) == sorted(digits.labels)
    assert list(drawings.labels) == sorted(drawings.labels)
    assert drawings.images.dtype == np.uint8
    assert drawings.images.shape == (20, 28, 28)
    assert [problem.partition(": is left out: ")[0] for problem in problems] == [
        str(tmp_path / "3/damaged.jpg"),
        str(tmp_path / "5/empty.png"),
    ]


def test_no_folder_is_no_drawings(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        drawings, problems = read_drawings(folder)
        assert drawings.images.shape == (0, 28, 28)
        assert held_out(drawings.images).shape == (0,)
        assert not problems


def test_an_image_never_changes_sides() -> None:
    images = some_digits(0, 1797).images
    is_held_out = held_out(images)
    assert 0.25 < is_held_out.mean() < 0.35
    np.testing.assert_array_equal(held_out(images[::-1]), is_held_out[::-1])
    np.testing.assert_array_equal(held_out(images[100:200]), is_held_out[100:200])


def test_a_data_set_is_followed_by_another() -> None:
    digits, more = some_digits(0, 3), some_digits(3, 5)
    together = digits.followed_by(more, 2)
    np.testing.assert_array_equal(together.labels, [*digits.labels, *more.labels, *more.labels])
    np.testing.assert_array_equal(together.images[5:], more.images[[0, 1]])
    assert digits.followed_by(more, 0) is digits
