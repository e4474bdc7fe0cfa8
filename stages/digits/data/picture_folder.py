"""Pictures in folders, one for each class."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from digits.dataset import Dataset, Description, class_order
from digits.foundation.params import first_problem, params_error
from digits.foundation.stage import UserError
from digits.pictures.conversion import CONVERSIONS
from digits.pictures.files import NoPictureError, read_picture
from digits.pictures.ink import NoDigitError

SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}  # names of folders in published sets


class Picture(NamedTuple):
    """A picture in the folder of a class.

    Attributes:
        digest: SHA-256 of its file.
        image: uint8 (28, 28).
        label: the number of its class.
        converted: whether it was anything but gray and of 28 x 28 pixels.
    """

    digest: bytes
    image: np.ndarray
    label: int
    converted: bool


def as_dataset(pictures: Sequence[Picture]) -> Dataset:
    """Their images and labels."""
    images = np.array([picture.image for picture in pictures], np.uint8).reshape(-1, 28, 28)
    return Dataset(images, np.array([picture.label for picture in pictures], np.int64))


def list_files(folder: Path) -> list[Path]:
    """The files in which there may be pictures, sorted: regular ones, neither hidden nor the folder's own README.md.

    Raises:
        UserError: there is a link to a folder.
    """
    paths = [path for path in folder.rglob("*") if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    if link := next((path for path in paths if path.is_symlink() and path.is_dir()), None):
        raise UserError(f"{link}: is a link to a folder, and DVC does not look through it; put the folder itself there")
    return sorted(path for path in paths if path.is_file() and path != folder / "README.md")


def describe_folder(folder: Path, files: Sequence[Path], conversion: Literal["strokes", "whole"]) -> Description:
    """The data set in a folder with these files: each folder in it that holds some is a class.

    Raises:
        UserError: it has too few or too many classes, one with a name that cannot be, or splits instead of classes.
    """
    names = {path.relative_to(folder).parts[0] for path in files if path.parent != folder}
    if len(splits := sorted(name for name in names if name.lower() in SPLITS)) > 1:
        raise params_error(
            f"download.folder.path: must be a folder that holds a folder for each class, got {folder}, which holds "
            f"{' and '.join(splits)}; name one of these, or move the pictures of each class into one folder"
        )
    classes = sorted(names, key=class_order)
    try:
        return Description(name="folder", classes=classes, pictures=conversion)
    except ValidationError as error:
        problem = first_problem(error) if 2 <= len(classes) <= 100 else f"{len(classes)} such folders"
        raise params_error(
            f"download.folder.path: must be a folder with 2 to 100 folders of pictures, one for each class, whose "
            f"names have at most 40 printable characters, got {folder}: {problem}"
        )


def read_pictures(
    folder: Path, files: Sequence[Path], classes: Sequence[str], conversion: str
) -> tuple[list[Picture], list[str]]:
    """Read the pictures in the folders of `folder` that are named after classes.

    Args:
        files: those of the folder, from `list_files`.
        conversion: one of `CONVERSIONS`.

    Returns:
        The pictures, and a line about each file that is left out: no picture, nothing on it, a copy, or in another
        class, too; and one about those that are in the wrong place.

    Raises:
        UserError: a file is no longer there.
        OSError: a file cannot be read.
    """
    pictures, problems, misplaced = [], [], []
    first: dict[bytes, Path] = {}
    ambiguous: set[bytes] = set()
    for path in files:
        name = path.relative_to(folder).parts[0]
        if path.parent == folder or name not in classes:
            misplaced.append(path)
            continue
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise changed(folder)
        digest = hashlib.sha256(content).digest()
        earlier = first.setdefault(digest, path)
        if earlier.relative_to(folder).parts[0] != name:
            ambiguous.add(digest)
            problems.append(f"{path}: is left out, and so is {earlier}: it is the same picture in another class")
            continue
        try:
            if earlier != path:
                raise NoPictureError(f"it is a copy of {earlier}")
            picture = read_picture(io.BytesIO(content))
            image = CONVERSIONS[conversion](picture)
        except (NoPictureError, NoDigitError) as error:
            problems.append(f"{path}: is left out: {error}")
            continue
        converted = picture.mode != "L" or picture.size != (28, 28)
        pictures.append(Picture(digest, image, classes.index(name), converted))
    if misplaced:  # in one line, since another data set may have many drawings
        others = f"; likewise {len(misplaced) - 1:,} more" if len(misplaced) > 1 else ""
        problems.append(f"{misplaced[0]}: is left out: it must be in a folder named {in_words(classes)}{others}")
    return [picture for picture in pictures if picture.digest not in ambiguous], problems


def check_unchanged(folder: Path, files: list[Path]) -> None:
    """Make sure that a folder still has these files: DVC would record those that it finds now.

    Raises:
        UserError: it has others.
    """
    if list_files(folder) != files:
        raise changed(folder)


def changed(folder: Path) -> UserError:
    return UserError(f"{folder}: changed while it was read; run the same command again")


def in_words(classes: Sequence[str]) -> str:
    """What the classes are called, in a few words: 0 to 9, or cat, dog or mouse."""
    if "".join(classes) == "0123456789":
        return "0 to 9"
    if len(classes) > 5:
        return f"after one of the {len(classes)} classes, such as {classes[0]}"
    return f"{', '.join(classes[:-1])} or {classes[-1]}"
