"""The raw data: a folder with four archives and the name of the data set that they hold."""

from pathlib import Path

from digits.dataset import Dataset
from digits.idx import read_idx
from digits.stage import UserError


def read_name(folder: Path) -> str:
    """Which data set `folder` holds, "mnist" or "optdigits".

    Raises:
        UserError: the folder does not say.
    """
    try:
        return (folder / "dataset.txt").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UserError(f"{folder / 'dataset.txt'}: is missing; `dvc repro` makes it")


def read_raw(folder: Path, prefix: str) -> Dataset:
    """Read the archives in `folder` whose names begin with `prefix`, "train" or "t10k".

    Raises:
        UserError: an archive is missing or damaged, or the two do not belong together.
    """
    images_path, labels_path = folder / f"{prefix}-images-idx3-ubyte.gz", folder / f"{prefix}-labels-idx1-ubyte.gz"
    images, labels = read_idx(images_path, (28, 28)), read_idx(labels_path, ())
    advice = f"delete {folder} and run `dvc repro`"
    if len(images) != len(labels):
        raise UserError(f"{images_path}: one image per label is needed, got {len(images)} for {len(labels)}; {advice}")
    if labels.max() > 9:
        raise UserError(f"{labels_path}: labels have to be 0 to 9, got {labels.max().item()}; {advice}")
    return Dataset(images, labels.long())
