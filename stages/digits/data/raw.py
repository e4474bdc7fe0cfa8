"""The raw data, which preprocess reads: a folder with four archives and the name of the data set that they hold."""

from pathlib import Path

from digits.data.dataset import Dataset, DatasetName
from digits.data.idx import read_idx
from digits.foundation.files import missing_file
from digits.foundation.params import first_problem
from digits.foundation.stage import UserError

import numpy as np
from pydantic import TypeAdapter, ValidationError


def read_dataset_name(folder: Path) -> DatasetName:
    """The name of the data set that `folder` holds.

    Raises:
        UserError: dataset.txt is missing or damaged.
    """
    path = folder / "dataset.txt"
    try:
        with path.open("rb") as file:
            content = file.read(100)
    except FileNotFoundError:
        raise missing_file(path)
    try:
        name: DatasetName = TypeAdapter(DatasetName).validate_python(content.decode("utf-8", errors="replace").strip())
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; delete {folder} and run `dvc repro`")
    return name


def read_raw(folder: Path, prefix: str) -> Dataset:
    """Read the archives in `folder` whose names begin with `prefix`, "train" or "t10k".

    Raises:
        UserError: an archive is missing or damaged, or the two do not match.
    """
    images_path, labels_path = folder / f"{prefix}-images-idx3-ubyte.gz", folder / f"{prefix}-labels-idx1-ubyte.gz"
    images, labels = read_idx(images_path, (28, 28)), read_idx(labels_path, ())
    advice = f"delete {folder} and run `dvc repro`"
    if len(images) != len(labels):
        raise UserError(f"{images_path}: has to hold an image per label, got {len(images)} for {len(labels)}; {advice}")
    if labels.max() > 9:
        raise UserError(f"{labels_path}: labels have to be 0 to 9, got {labels.max()}; {advice}")
    return Dataset(images, labels.astype(np.int64))
