"""The raw data: a folder that holds a data set, as the four archives of MNIST or as tensors, and says which it is."""

import shutil
from pathlib import Path

import numpy as np

from digits.data.idx import read_idx
from digits.dataset import Dataset, Description, load_dataset, save_dataset
from digits.foundation.files import read_json, replacing, write_json
from digits.foundation.stage import UserError

DESCRIPTION = "dataset.json"
# The labels and the images of each split. The first archive is the smallest: it shows soonest whether a mirror works.
ARCHIVES = {
    "test": ("t10k-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"),
    "train": ("train-labels-idx1-ubyte.gz", "train-images-idx3-ubyte.gz"),
}
ARCHIVE_NAMES = [name for names in ARCHIVES.values() for name in names]


def write_raw(folder: Path, about: Description, train: Dataset, test: Dataset) -> None:
    """Write a data set as tensors, in place of what `folder` holds."""
    _remove_files(folder)
    save_dataset(folder / "train.safetensors", train)
    save_dataset(folder / "test.safetensors", test)
    write_json(folder / DESCRIPTION, about.model_dump())


def copy_archives(source: Path, folder: Path, about: Description) -> None:
    """Copy the archives in `source`, in place of what `folder` holds."""
    _remove_files(folder)
    for name in ARCHIVE_NAMES:
        with replacing(folder / name) as temporary:
            shutil.copyfile(source / name, temporary)
    write_json(folder / DESCRIPTION, about.model_dump())


def _remove_files(folder: Path) -> None:
    """DVC has removed them, but a stage may have been started without it."""
    for path in folder.glob("*"):
        path.unlink()


def read_description(folder: Path) -> Description:
    """What data set `folder` holds.

    Raises:
        UserError: the file that says so is missing or damaged.
    """
    return read_json(folder / DESCRIPTION, Description)


def read_raw(folder: Path, split: str, classes: int) -> Dataset:
    """Read the images of a split, "train" or "test", from tensors if there are any, or else from archives.

    Raises:
        UserError: a file is missing or damaged, or the archives do not match, or a label is not below `classes`.
    """
    tensors = folder / f"{split}.safetensors"
    if tensors.is_file():
        return load_dataset(tensors, classes)
    labels_path, images_path = (folder / name for name in ARCHIVES[split])
    images, labels = read_idx(images_path, (28, 28)), read_idx(labels_path, ())
    advice = f"delete {folder} and run `dvc repro`"
    if len(images) != len(labels):
        raise UserError(f"{images_path}: must hold an image per label, got {len(images)} for {len(labels)}; {advice}")
    if labels.max() >= classes:
        raise UserError(f"{labels_path}: labels must be 0 to {classes - 1}, got {labels.max()}; {advice}")
    return Dataset(images, labels.astype(np.int64))
