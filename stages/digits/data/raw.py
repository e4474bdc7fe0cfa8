"""The raw data: a folder with four archives of images and labels, as MNIST has them, and what data set they are."""

from pathlib import Path

from digits.data.dataset import Dataset, Description
from digits.data.idx import read_idx, write_idx
from digits.foundation.files import read_json, write_json
from digits.foundation.stage import UserError

import numpy as np
from pydantic import TypeAdapter

DESCRIPTION = "dataset.json"


def write_raw(folder: Path, about: Description, train: Dataset, test: Dataset) -> None:
    """Write a data set to archives of MNIST's names and format."""
    for prefix, dataset in (("train", train), ("t10k", test)):
        images_path, labels_path = _paths(folder, prefix)
        write_idx(images_path, dataset.images)
        write_idx(labels_path, dataset.labels)
    write_description(folder, about)


def write_description(folder: Path, about: Description) -> None:
    """Record which data set `folder` holds, for later stages."""
    write_json(folder / DESCRIPTION, about.model_dump())


def read_description(folder: Path) -> Description:
    """What data set `folder` holds.

    Raises:
        UserError: the file that says so is missing or damaged.
    """
    return read_json(folder / DESCRIPTION, TypeAdapter(Description))


def read_raw(folder: Path, prefix: str, classes: int) -> Dataset:
    """Read the archives in `folder` whose names begin with `prefix`, "train" or "t10k".

    Raises:
        UserError: an archive is missing or damaged, or the two do not match, or a label is not below `classes`.
    """
    images_path, labels_path = _paths(folder, prefix)
    images, labels = read_idx(images_path, (28, 28)), read_idx(labels_path, ())
    advice = f"delete {folder} and run `dvc repro`"
    if len(images) != len(labels):
        raise UserError(f"{images_path}: has to hold an image per label, got {len(images)} for {len(labels)}; {advice}")
    if labels.max() >= classes:
        raise UserError(f"{labels_path}: labels have to be 0 to {classes - 1}, got {labels.max()}; {advice}")
    return Dataset(images, labels.astype(np.int64))


def _paths(folder: Path, prefix: str) -> tuple[Path, Path]:
    return folder / f"{prefix}-images-idx3-ubyte.gz", folder / f"{prefix}-labels-idx1-ubyte.gz"
