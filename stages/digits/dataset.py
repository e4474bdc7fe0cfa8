"""Labelled images, the file that holds them, and what is said about a data set."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from digits.foundation.files import damaged_file, read_json
from digits.foundation.params import Section
from digits.foundation.tensors import describe, read_tensors, write_tensors

DRAWINGS = Path("data/drawings")  # the user's own pictures, in a folder for each class


def _check_printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("must be printable")
    return name


def _check_classes(names: list[str]) -> list[str]:
    """Require names that can be those of folders."""
    if len(set(names)) < len(names):
        raise ValueError("names of classes must be different")
    if any("/" in name or name.startswith(".") for name in names):
        raise ValueError("names of classes must be those of folders that are not hidden")
    return names


Name = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_check_printable)]
Classes = Annotated[list[Name], Field(min_length=2, max_length=100), AfterValidator(_check_classes)]
# How a picture becomes an image like those of the data set, the keys of `pictures.conversion.CONVERSIONS`.
Pictures = Literal["strokes", "whole"]


@dataclass(frozen=True)
class Dataset:
    """Images with their labels."""

    images: np.ndarray  # uint8 (N, 28, 28), 0 (background, such as paper) to 255 (such as ink)
    labels: np.ndarray  # int64 (N,), each the number of a class, from 0; for a shape of no class, the number of classes

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Dataset":
        """The items at `indices`, int64 (M,), or where they are true, bool (N,)."""
        return Dataset(self.images[indices], self.labels[indices])

    def extended(self, more: "Dataset", times: int) -> "Dataset":
        """These items and then those of `more`, so many times."""
        if times * len(more) == 0:
            return self
        images = np.concatenate([self.images, *[more.images] * times])
        return Dataset(images, np.concatenate([self.labels, *[more.labels] * times]))


class Description(Section):
    """What a data set is."""

    name: Name  # a key of `known_datasets.PUBLISHED`, or after the user's folder
    classes: Classes  # their names, in the order of the labels
    pictures: Pictures


class Summary(Section):
    """What data/tensors/dataset.json holds."""

    about: Description
    # The sizes of the splits.
    train: Annotated[int, Field(ge=1)]
    val: Annotated[int, Field(ge=0)]
    test: Annotated[int, Field(ge=1)]
    drawings: Annotated[int, Field(ge=0)]  # of the user's own, among the training images, repetitions included
    # The mean and the standard deviation of the training pixels, which are in [0, 1].
    pixel_mean: Annotated[float, Field(ge=0, le=1)]
    pixel_std: Annotated[float, Field(gt=0, le=0.5)]


def class_order(name: str) -> tuple[float, str]:
    """The key by which names of classes are sorted: numbers first, by their value."""
    return (int(name) if name.isdecimal() else math.inf), name


def save_dataset(path: Path, dataset: Dataset) -> None:
    """Write `dataset` to a safetensors file."""
    write_tensors(path, {"images": dataset.images, "labels": dataset.labels})


def load_dataset(path: Path | str, classes: int, *, allow_empty: bool = False) -> Dataset:
    """Read a file of images of so many `classes` that `save_dataset` wrote; they stay in it until they are used.

    Raises a `UserError` if it is missing or damaged, holds something else, or is empty without `allow_empty`.
    """
    tensors, _ = read_tensors(path)
    if sorted(tensors) != ["images", "labels"]:
        raise damaged_file(path, f"expected images and labels, got {describe(tensors)}")
    images, labels = tensors["images"], tensors["labels"]
    types_match = images.dtype == np.uint8 and labels.dtype == np.int64
    if not types_match or labels.ndim != 1 or images.shape != (len(labels), 28, 28):
        raise damaged_file(path, f"expected images, uint8 (N, 28, 28), and labels, int64 (N,), got {describe(tensors)}")
    if ((labels < 0) | (labels >= classes)).any():
        raise damaged_file(path, f"labels must be 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    if len(labels) == 0 and not allow_empty:
        raise damaged_file(path, "expected images, got none")
    return Dataset(images, labels)


def load_summary(path: Path | str) -> Summary:
    """Read a `Summary` from JSON; raises a `UserError` if the file is missing or damaged, or holds something else."""
    return read_json(Path(path), Summary)


def pixel_statistics(images: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the pixels, in [0, 1], of images, uint8 (N, 28, 28).

    Computed from integer counts, so they are the same on every machine.
    """
    # In parts, since NumPy counts copies that take eight times as much memory.
    parts = np.array_split(images, 1 + len(images) // 1000)
    counts = np.sum([np.bincount(part.ravel(), minlength=256) for part in parts], axis=0).tolist()
    total = sum(counts)
    mean = sum(value * count for value, count in enumerate(counts)) / total
    variance = sum(value * value * count for value, count in enumerate(counts)) / total - mean * mean
    return mean / 255, math.sqrt(variance) / 255
