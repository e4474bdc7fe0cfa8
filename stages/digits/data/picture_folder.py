"""Pictures in folders, one for each class: the user's own data set, or drawings that join another."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from digits.dataset import Dataset, Description, Pictures, class_order
from digits.foundation.params import first_problem, params_error, printable
from digits.foundation.stage import UserError
from digits.pictures.conversion import CONVERSIONS
from digits.pictures.files import NoPictureError, read_picture
from digits.pictures.ink import NoDigitError

SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}  # names of folders in published sets
HELD_OUT = 77  # of 256, so 30 %


def list_files(folder: Path) -> list[Path]:
    """The files in which there may be pictures, sorted: regular ones, neither hidden nor the folder's own README.md.

    Raises a `UserError` if there is a link to a folder.
    """
    paths = [path for path in folder.rglob("*") if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    if link := next((path for path in paths if path.is_symlink() and path.is_dir()), None):
        raise UserError(f"{link}: is a link to a folder, and DVC does not look through it; put the folder itself there")
    return sorted(path for path in paths if path.is_file() and path != folder / "README.md")


def describe_folder(name: str, folder: Path, files: Sequence[Path], conversion: Pictures) -> Description:
    """The data set in a folder with these files: each folder in it that holds some is a class.

    Raises a `UserError` if it has too few or too many classes, one with a bad name, or splits instead of classes.
    """
    names = {path.relative_to(folder).parts[0] for path in files if path.parent != folder}
    if len(splits := sorted(name for name in names if name.lower() in SPLITS)) > 1:
        raise params_error(
            f"download.folder.path: must be a folder that holds a folder for each class, got {folder}, which holds "
            f"{' and '.join(splits)}; name one of these, or move the pictures of each class into one folder"
        )
    try:
        return Description(name=name, classes=sorted(names, key=class_order), pictures=conversion)
    except ValidationError as error:
        raise params_error(
            f"download.folder.path: must be a folder with 2 to 100 folders of pictures, one for each class, whose "
            f"names have at most 40 printable characters, got {folder}: {first_problem(error)}"
        )


def read_pictures(folder: Path, files: Sequence[Path], about: Description) -> tuple[Dataset, np.ndarray]:
    """Read the pictures among the files of `folder` that are in folders named after the classes of a data set.

    Returns also which of them are never trained on if they are drawings, bool (N,). Prints a line about each file that
    is left out: no picture, nothing on it, a copy, or in another class, too; and one about those that are in the wrong
    place. Raises an `OSError` if a file cannot be read.
    """
    labels = {name: label for label, name in enumerate(about.classes)}
    first: dict[bytes, tuple[Path, int]] = {}
    found: dict[bytes, tuple[np.ndarray, int]] = {}
    misplaced = []
    for path in files:
        label = labels.get(path.relative_to(folder).parts[0])
        if label is None or path.parent == folder:
            misplaced.append(path)
            continue
        try:
            content = path.read_bytes()
            digest = hashlib.sha256(content).digest()
            earlier, its_label = first.setdefault(digest, (path, label))
            if its_label != label:
                found.pop(digest, None)
                raise NoPictureError(f"it is the same picture as {earlier} in another class, which is left out, too")
            if earlier != path:
                raise NoPictureError(f"it is a copy of {earlier}")
            found[digest] = CONVERSIONS[about.pictures](read_picture(io.BytesIO(content))), label
        except (NoPictureError, NoDigitError, FileNotFoundError) as error:  # `check_unchanged` objects to the last one
            _say_left_out(path, str(error))
    if misplaced:  # in one line, since another data set may have many drawings
        others = f"; likewise {len(misplaced) - 1:,} more" if len(misplaced) > 1 else ""
        _say_left_out(misplaced[0], f"it must be in a folder named after a class, such as {about.classes[0]}{others}")
    images = np.array([image for image, _ in found.values()], np.uint8).reshape(-1, 28, 28)
    dataset = Dataset(images, np.array([label for _, label in found.values()], np.int64))
    return dataset, np.array([is_held_out(digest) for digest in found], np.bool_)


def _say_left_out(path: Path, problem: str) -> None:
    print(f"note: {printable(f'{path}: is left out: {problem}')}")


def is_held_out(digest: bytes) -> bool:
    """Whether a drawing is never trained on. The SHA-256 of its file decides, so it never changes sides."""
    return digest[0] < HELD_OUT


def check_unchanged(folder: Path, files: list[Path]) -> None:
    """Raise a `UserError` if a folder no longer has these files: DVC would record those that it finds now."""
    if list_files(folder) != files:
        raise UserError(f"{folder}: changed while it was read; run the same command again")
