"""Pictures in folders, one for each class."""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from digits.data.dataset import Dataset, Description
from digits.foundation.params import first_problem, params_error
from digits.foundation.stage import UserError
from digits.pictures.conversion import CONVERSIONS
from digits.pictures.files import NoPictureError, read_picture
from digits.pictures.ink import NoDigitError

import numpy as np
from pydantic import ValidationError


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder.

    Attributes:
        images: one for each picture, uint8 (28, 28).
        labels: the number of its class.
        digests: SHA-256 of its file.
        converted: whether it was anything but gray and of 28 x 28 pixels.
        problems: a line about each file that is left out: no picture, nothing on it, or a copy; and one about those
            that are in the wrong place.
    """

    images: list[np.ndarray] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    converted: list[bool] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def dataset(self, chosen: Sequence[int] | None = None) -> Dataset:
        """All of them, or those at these positions."""
        chosen = range(len(self.labels)) if chosen is None else chosen
        images = np.array([self.images[i] for i in chosen], np.uint8).reshape(-1, 28, 28)
        return Dataset(images, np.array([self.labels[i] for i in chosen], np.int64))


def list_files(folder: Path) -> list[Path]:
    """The files in which there may be pictures, sorted: all but hidden ones and the folder's own README.md.

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
        UserError: it has too few or too many classes, or one with a name that cannot be.
    """
    names = {path.relative_to(folder).parts[0] for path in files if path.parent != folder}
    classes = sorted(names, key=lambda name: (int(name) if name.isdecimal() else math.inf, name))
    try:
        return Description(name="folder", classes=classes, pictures=conversion)
    except ValidationError as error:
        problem = first_problem(error) if 2 <= len(classes) <= 100 else f"{len(classes)} such folders"
        raise params_error(
            f"download.folder.path: has to be a folder with 2 to 100 folders of pictures, one for each class, whose "
            f"names have at most 40 printable characters, got {folder}: {problem}"
        )


def read_pictures(folder: Path, files: Sequence[Path], classes: Sequence[str], conversion: str) -> Pictures:
    """Read the pictures in the folders of `folder` that are named after classes.

    Args:
        files: those of the folder, from `list_files`.
        conversion: one of `CONVERSIONS`.

    Raises:
        UserError: a file is no longer there.
        OSError: a file cannot be read.
    """
    pictures = Pictures()
    first: dict[bytes, Path] = {}
    misplaced = []
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
        try:
            if first.setdefault(digest, path) != path:
                raise NoPictureError(f"it is a copy of {first[digest]}")
            picture = read_picture(io.BytesIO(content))
            image = CONVERSIONS[conversion](picture)
        except (NoPictureError, NoDigitError) as error:
            pictures.problems.append(f"{path}: is left out: {error}")
            continue
        pictures.images.append(image)
        pictures.labels.append(classes.index(name))
        pictures.digests.append(digest)
        pictures.converted.append(picture.mode != "L" or picture.size != (28, 28))
    if misplaced:  # in one line, since another data set may have many drawings
        others = f"; likewise {len(misplaced) - 1:,} more" if len(misplaced) > 1 else ""
        pictures.problems.append(
            f"{misplaced[0]}: is left out: it has to be in a folder named {in_words(classes)}{others}"
        )
    return pictures


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
