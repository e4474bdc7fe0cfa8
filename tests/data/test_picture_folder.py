"""Folders of pictures become data sets."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digits.data.picture_folder import as_dataset, describe_folder, in_words, list_files, read_pictures
from digits.foundation.stage import UserError
from digits.pictures.conversion import to_gray_square


def save(path: Path, size: tuple[int, int], paper: str, ink: str, mode: str = "RGB") -> None:
    """A picture of a square."""
    image = Image.new(mode, size, paper)
    width, height = size
    ImageDraw.Draw(image).rectangle((width // 3, height // 3, width // 2, height // 2), ink)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_folders_are_classes(tmp_path: Path) -> None:
    for name in ("10", "9", "cats", "Dogs"):
        save(tmp_path / name / "1.png", (30, 30), "white", "black")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("about the folder")
    assert describe_folder(tmp_path, list_files(tmp_path), "whole").classes == ["9", "10", "Dogs", "cats"]


@pytest.mark.parametrize("names", [[], ["a"], [str(n) for n in range(101)], ["a", "b" * 41], ["a", "b\n"]])
def test_a_folder_that_is_no_data_set(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    with pytest.raises(UserError, match=r"download.folder.path: must be a folder with 2 to 100 folders"):
        describe_folder(tmp_path, list_files(tmp_path), "whole")
    with pytest.raises(UserError, match=r"download.folder.path"):
        describe_folder(tmp_path / "missing", [], "whole")


def test_folders_of_splits_are_no_classes(tmp_path: Path) -> None:
    for name in ("Train/cats", "Train/dogs", "test/cats"):
        save(tmp_path / name / "1.png", (30, 30), "white", "black")
    with pytest.raises(UserError, match=r"holds a folder for each class, got .* which holds Train and test"):
        describe_folder(tmp_path, list_files(tmp_path), "whole")
    assert describe_folder(tmp_path / "Train", list_files(tmp_path / "Train"), "whole").classes == ["cats", "dogs"]
    save(tmp_path / "vehicles/train/1.png", (30, 30), "white", "black")
    save(tmp_path / "vehicles/bus/1.png", (30, 30), "white", "black")
    assert "train" in describe_folder(tmp_path / "vehicles", list_files(tmp_path / "vehicles"), "whole").classes


def test_pictures_are_read_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    save(tmp_path / "cats/1.jpg", (300, 200), "white", "red")
    save(tmp_path / "cats/2.png", (28, 28), "black", "white", mode="L")
    save(tmp_path / "dogs/old/1.png", (40, 90), "blue", "yellow")
    (tmp_path / "cats/3.png").write_bytes((tmp_path / "cats/2.png").read_bytes())
    (tmp_path / "dogs/notes.txt").write_text("no picture")
    os.mkfifo(tmp_path / "dogs/2.png")  # reading it would wait for ever
    pictures, problems = read_pictures(tmp_path, list_files(tmp_path), ["cats", "dogs"], "whole")
    assert [picture.converted for picture in pictures] == [True, False, True]
    np.testing.assert_array_equal(pictures[1].image, np.asarray(Image.open(tmp_path / "cats/2.png")))
    assert as_dataset(pictures).labels.tolist() == [0, 0, 1]
    assert [problem.split(": is left out: ")[0] for problem in problems] == [
        str(tmp_path / name) for name in ("cats/3.png", "dogs/notes.txt")
    ]


def test_a_picture_in_two_classes_is_left_out_of_both(tmp_path: Path) -> None:
    for name, ink in {"cats/1": "red", "cats/2": "blue", "dogs/1": "green", "dogs/2": "red"}.items():
        save(tmp_path / f"{name}.png", (30, 30), "white", ink)
    pictures, problems = read_pictures(tmp_path, list_files(tmp_path), ["cats", "dogs"], "whole")
    assert [picture.label for picture in pictures] == [0, 1]
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path}/dogs/2.png: is left out, and so is {tmp_path}/cats/1.png: ")


def test_a_folder_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "cats/1.jpg", (30, 30), "white", "red")
    files = list_files(tmp_path)
    files[0].unlink()
    with pytest.raises(UserError, match=r"changed while it was read; run the same command again"):
        read_pictures(tmp_path, files, ["cats", "dogs"], "whole")


def test_a_link_to_a_folder_is_refused_since_dvc_does_not_look_through_it(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere/1.jpg", (30, 30), "white", "red")
    save(tmp_path / "pictures/cats/1.jpg", (30, 30), "white", "red")
    (tmp_path / "pictures/cats/2.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    (tmp_path / "pictures/.hidden").symlink_to(tmp_path / "elsewhere")
    assert len(list_files(tmp_path / "pictures")) == 2
    (tmp_path / "pictures/dogs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="dogs: is a link to a folder"):
        list_files(tmp_path / "pictures")


@pytest.mark.parametrize(
    ("paper", "ink", "mode"),
    [("white", "black", "L"), ("black", "white", "L"), ("white", "blue", "RGB"), (255, 0, "1")],
)
def test_the_background_of_a_whole_picture_is_dark(paper: str | int, ink: str | int, mode: str) -> None:
    image = Image.new(mode, (100, 60), paper)
    image.paste(ink, (20, 20, 50, 40))
    square = to_gray_square(image)
    assert square.shape == (28, 28)
    assert square.dtype == np.uint8
    assert square[[0, -1]].max() < 10 < 150 < square.max()
    rows, columns = np.nonzero(square > 100)
    assert 8 <= columns.max() - columns.min() + 1 <= 9  # its form is kept
    assert 5 <= rows.max() - rows.min() + 1 <= 6


def test_transparency_is_paper() -> None:
    image = Image.new("RGBA", (56, 56))
    image.paste("black", (20, 20, 36, 36))
    square = to_gray_square(image)
    assert (square[0, 0], square[14, 14]) == (0, 255)


def test_classes_in_words() -> None:
    assert in_words(["cat", "dog"]) == "cat or dog"
    assert in_words([*"012"]) == "0, 1 or 2"
    assert in_words([*"0123456789"]) == "0 to 9"


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_more_bits_do_not_change_a_picture(bits: int) -> None:
    eight = np.full((28, 28), 109, np.uint8)
    eight[10:20, 10:15] = 213
    more = Image.fromarray((eight.astype(int) * (2**bits - 1) // 255).astype(np.uint16))
    difference = to_gray_square(more).astype(int) - to_gray_square(Image.fromarray(eight))
    assert np.abs(difference).max() <= 1
