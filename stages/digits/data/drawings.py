"""The user's own pictures, which join a published data set: drawings and photographs in folders named after classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from digits.data.picture_folder import as_dataset, read_pictures
from digits.dataset import Dataset, Description

HELD_OUT = 77  # of 256, so 30 %


@dataclass(frozen=True)
class Drawings:
    """The pictures of a folder.

    Attributes:
        taught: those to train on.
        held_out: those that are never trained on.
        problems: a line about each file that is left out.
    """

    taught: Dataset
    held_out: Dataset
    problems: Sequence[str]


def read_drawings(folder: Path, files: Sequence[Path], about: Description) -> Drawings:
    """Read the pictures in the folders below `folder` that are named after the classes of a data set.

    Args:
        files: those of the folder.

    Raises:
        UserError, OSError: as `read_pictures` does.
    """
    pictures, problems = read_pictures(folder, files, about.classes, about.pictures)
    taught, held_out = ([each for each in pictures if is_held_out(each.digest) == side] for side in (False, True))
    return Drawings(as_dataset(taught), as_dataset(held_out), problems)


def is_held_out(digest: bytes) -> bool:
    """Whether a picture is never trained on. The SHA-256 of its file decides, so it never changes sides."""
    return digest[0] < HELD_OUT
