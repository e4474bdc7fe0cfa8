"""Data sets, their split, the bundled digits, and shapes that are not digits; folders of pictures become data sets."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digits.data.others import FONTS, LIKE_DIGITS, other_shapes
from digits.data.picture_folder import check_unchanged, describe_folder, list_files, read_pictures
from digits.data.split import split_every_class, stratified_split
from digits.dataset import Dataset, Description, pixel_statistics
from digits.foundation.stage import UserError
from digits.pictures.conversion import to_gray_square
from samples import CLASSES, IMAGES, LABELS, MNIST, draw, some_digits

ANIMALS = Description(name="animals", classes=["cats", "dogs"], pictures="whole")


def test_statistics_are_those_of_numpy() -> None:
    mean, std = pixel_statistics(IMAGES)
    assert mean == pytest.approx((IMAGES / 255).mean(), rel=1e-12)
    assert std == pytest.approx((IMAGES / 255).std(), rel=1e-12)


def test_data_sets_follow_one_another() -> None:
    digits, more = some_digits(0, 3), some_digits(3, 5)
    together = digits.extended(more, 2)
    np.testing.assert_array_equal(together.labels, [*digits.labels, *more.labels, *more.labels])
    np.testing.assert_array_equal(together.images[5:], more.images[[0, 1]])
    assert digits.extended(more, 0) is digits


@pytest.mark.parametrize("size", [0, 1, 137, 1000, 1797])
def test_a_split_keeps_the_share_of_every_digit_and_follows_its_seed(size: int) -> None:
    rest, drawn = stratified_split(LABELS, size, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(LABELS)))
    assert len(drawn) == size
    expected = np.bincount(LABELS, minlength=10) * size / len(LABELS)
    assert np.abs(np.bincount(LABELS[drawn], minlength=10) - expected).max() <= 1
    again, other = (stratified_split(LABELS, size, seed)[1].tolist() for seed in (0, 1))
    assert again == drawn.tolist()
    assert (other == again) == (size in (0, len(LABELS)))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_every_class_is_on_both_sides(share: float) -> None:
    labels = np.repeat([0, 1, 2], [2, 1000, 3])
    rest, drawn = split_every_class(labels, share, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(labels)))
    assert set(labels[rest]) == set(labels[drawn]) == {0, 1, 2}
    assert np.bincount(labels[drawn])[1] == 1000 * share


def test_bundled_digits_have_the_format_of_mnist() -> None:
    assert (IMAGES.shape, str(IMAGES.dtype), str(LABELS.dtype)) == ((1797, 28, 28), "uint8", "int64")
    assert set(LABELS) == set(range(10))
    assert IMAGES[:, 4:24, 4:24].max() > 240
    assert IMAGES.sum() == IMAGES[:, 4:24, 4:24].sum()


def test_letters_lie_as_digits_do() -> None:
    others = other_shapes(MNIST.classes)
    assert set(others.labels) == {CLASSES}
    letters = others.images
    assert letters.shape == (4 * len(FONTS) * (52 - len(LIKE_DIGITS)), 28, 28)
    assert letters.dtype == np.uint8
    assert len(np.unique(letters.reshape(len(letters), -1), axis=0)) == len(letters)
    for letter in letters:
        rows, columns = (np.flatnonzero(letter.any(axis=axis)) for axis in (1, 0))
        assert max(int(places[-1] - places[0]) + 1 for places in (rows, columns)) == 20
        assert all(abs(places[0] + places[-1] - 27) <= 1 for places in (rows, columns))


def test_other_classes_have_none() -> None:
    assert len(other_shapes(["shirt", "bag"])) == 0


def save(
    path: Path, ink: str = "red", size: tuple[int, int] = (30, 30), paper: str = "white", mode: str = "RGB"
) -> None:
    """A picture of a square."""
    image = Image.new(mode, size, paper)
    width, height = size
    ImageDraw.Draw(image).rectangle((width // 3, height // 3, width // 2, height // 2), ink)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def describe(folder: Path) -> Description:
    return describe_folder("animals", folder, list_files(folder), "whole")


def read(folder: Path, about: Description = ANIMALS) -> tuple[Dataset, np.ndarray]:
    return read_pictures(folder, list_files(folder), about)


def test_folders_are_classes(tmp_path: Path) -> None:
    for name in ("10", "9", "cats", "Dogs"):
        save(tmp_path / name / "1.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("about the folder")
    assert describe(tmp_path).model_dump() == {
        "name": "animals", "classes": ["9", "10", "Dogs", "cats"], "pictures": "whole"
    }  # fmt: skip


@pytest.mark.parametrize("names", [[], ["a"], [str(n) for n in range(101)], ["a", "b" * 41], ["a", "b\n"]])
def test_a_folder_that_is_no_data_set(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    with pytest.raises(UserError, match=r"download.folder.path: must be a folder with 2 to 100 folders"):
        describe(tmp_path)


def test_folders_of_splits_are_no_classes(tmp_path: Path) -> None:
    for name in ("Train/cats", "Train/dogs", "test/cats", "vehicles/train", "vehicles/bus"):
        save(tmp_path / name / "1.png")
    with pytest.raises(UserError, match=r"holds a folder for each class, got .* which holds Train and test"):
        describe(tmp_path)
    assert describe(tmp_path / "Train").classes == ["cats", "dogs"]
    assert "train" in describe(tmp_path / "vehicles").classes


def test_pictures_are_read_and_what_is_left_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "cats/1.jpg", size=(300, 200))
    save(tmp_path / "cats/2.png", "white", (28, 28), "black", mode="L")
    save(tmp_path / "cats/5.png", "green")
    save(tmp_path / "dogs/old/1.png", "yellow", (40, 90), "blue")
    for copy, path in [("cats/3.png", "cats/2.png"), ("dogs/3.png", "cats/5.png"), ("7.png", "cats/5.png")]:
        (tmp_path / copy).write_bytes((tmp_path / path).read_bytes())
    for name in ("cats/.hidden", "birds/1.png", "README.md", "dogs/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    os.mkfifo(tmp_path / "dogs/2.png")  # reading it would wait for ever
    dataset, _ = read(tmp_path)
    np.testing.assert_array_equal(dataset.images[1], np.asarray(Image.open(tmp_path / "cats/2.png")))
    assert (str(dataset.images.dtype), dataset.labels.tolist()) == ("uint8", [0, 0, 1])
    said = capsys.readouterr().out.replace(f"{tmp_path}/", "")
    assert said.splitlines() == [
        "note: cats/3.png: is left out: it is a copy of cats/2.png",
        "note: dogs/3.png: is left out: it is the same picture as cats/5.png in another class, which is left out, too",
        "note: dogs/notes.txt: is left out: it is not a picture, or a damaged one",
        "note: 7.png: is left out: it must be in a folder named after a class, such as cats; likewise 1 more",
    ]


def test_drawings_are_read_and_never_change_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(read(tmp_path / "missing", MNIST)[0]) == 0
    sides: list[dict[bytes, bool]] = []
    for count in (20, 40):
        draw(tmp_path, some_digits(0, count))
        Image.new("L", (100, 100), 255).save(tmp_path / "5/empty.png")
        dataset, held_out = read(tmp_path, MNIST)
        assert sorted(dataset.labels) == sorted(some_digits(0, count).labels)
        assert capsys.readouterr().out.startswith(f"note: {tmp_path}/5/empty.png: is left out: there is nothing on it")
        sides.append({image.tobytes(): side for image, side in zip(dataset.images, held_out.tolist(), strict=True)})
    assert sides[0].items() < sides[1].items()
    assert 0.15 < sum(sides[1].values()) / 40 < 0.45


def test_a_folder_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "cats/1.jpg")
    files = list_files(tmp_path)
    files[0].unlink()
    assert len(read_pictures(tmp_path, files, ANIMALS)[0]) == 0
    with pytest.raises(UserError, match=r"changed while it was read; run the same command again"):
        check_unchanged(tmp_path, files)


def test_a_link_to_a_folder_is_refused_since_dvc_does_not_look_through_it(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere/1.jpg")
    save(tmp_path / "pictures/cats/1.jpg")
    (tmp_path / "pictures/cats/2.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    (tmp_path / "pictures/.hidden").symlink_to(tmp_path / "elsewhere")
    assert len(list_files(tmp_path / "pictures")) == 2
    (tmp_path / "pictures/dogs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="dogs: is a link to a folder"):
        list_files(tmp_path / "pictures")


@pytest.mark.parametrize(
    ("paper", "ink", "mode"),
    [("white", "black", "L"), ("black", "white", "L"), ("white", "blue", "RGB"), (255, 0, "1"), (0, "black", "RGBA")],
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


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_more_bits_do_not_change_a_picture(bits: int) -> None:
    eight = np.full((28, 28), 109, np.uint8)
    eight[10:20, 10:15] = 213
    more = Image.fromarray((eight.astype(int) * (2**bits - 1) // 255).astype(np.uint16))
    difference = to_gray_square(more).astype(int) - to_gray_square(Image.fromarray(eight))
    assert np.abs(difference).max() <= 1
