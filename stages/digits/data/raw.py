"""The raw data: a folder that holds the training and the test images of a data set, and says which it is."""

from pathlib import Path

from digits.dataset import Dataset, Description, load_dataset, save_dataset
from digits.foundation.files import read_json, write_json


def write_raw(folder: Path, about: Description, train: Dataset, test: Dataset) -> None:
    """Write a data set, in place of what `folder` holds."""
    for path in folder.glob("*"):  # DVC has removed them, but a stage may have been started without it
        path.unlink()
    save_dataset(folder / "train.safetensors", train)
    save_dataset(folder / "test.safetensors", test)
    write_json(folder / "dataset.json", about.model_dump())


def read_raw(folder: Path) -> tuple[Description, Dataset, Dataset]:
    """What the data set is, its training and its test images; raises a `UserError` if they are missing or damaged."""
    about = read_json(folder / "dataset.json", Description)
    train, test = (load_dataset(folder / f"{split}.safetensors", len(about.classes)) for split in ("train", "test"))
    return about, train, test
