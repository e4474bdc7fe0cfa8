"""The raw data: a folder that holds the training and the test images of a data set, and says which it is."""

from pathlib import Path

from digits.dataset import Dataset, Description, load_dataset, save_dataset
from digits.foundation.files import read_json, write_json

DESCRIPTION = "dataset.json"


def write_raw(folder: Path, about: Description, train: Dataset, test: Dataset) -> None:
    """Write a data set, in place of what `folder` holds."""
    for path in folder.glob("*"):  # DVC has removed them, but a stage may have been started without it
        path.unlink()
    save_dataset(folder / "train.safetensors", train)
    save_dataset(folder / "test.safetensors", test)
    write_json(folder / DESCRIPTION, about.model_dump())


def read_raw(folder: Path) -> tuple[Description, Dataset, Dataset]:
    """What `write_raw` wrote: what the data set is, its training images and its test images.

    Raises a `UserError` if a file is missing or damaged, or holds something else.
    """
    about = read_json(folder / DESCRIPTION, Description)
    train, test = (load_dataset(folder / f"{split}.safetensors", len(about.classes)) for split in ("train", "test"))
    return about, train, test
