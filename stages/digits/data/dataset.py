"""Labelled digit images, and the files that hold them and what is known of them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from digits.foundation.params import Section, first_problem
from digits.foundation.stage import UserError
from digits.foundation.tensors import damaged, described, read_tensors, write_tensors

import numpy as np
import torch
from pydantic import Field, ValidationError

Name = Literal["mnist", "optdigits"]


@dataclass(frozen=True)
class Dataset:
    """Images of digits with their labels.

    Attributes:
        images: uint8 (N, 28, 28), 0 (paper) to 255 (ink).
        labels: int64 (N,), 0 to 9.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Dataset":
        """The items at `indices`, int64 (M,)."""
        chosen = torch.from_numpy(indices)
        return Dataset(self.images[chosen], self.labels[chosen])

    def to(self, device: torch.device) -> "Dataset":
        """The same data set on `device`."""
        return Dataset(self.images.to(device), self.labels.to(device))


class Summary(Section):
    """What dataset.json says: the name, how many images each split has, and the training pixels, in [0, 1]."""

    name: Name
    train: Annotated[int, Field(ge=1)]
    val: Annotated[int, Field(ge=0)]
    test: Annotated[int, Field(ge=1)]
    pixel_mean: Annotated[float, Field(ge=0, le=1)]
    pixel_std: Annotated[float, Field(gt=0, le=0.5)]


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Images, uint8 or float32 (N, 28, 28), as pixels, float32 (N, 1, 28, 28) in [0, 1], as torchvision does it."""
    return images.unsqueeze(1).to(torch.float32, copy=True).div_(255)


def save_dataset(path: Path, dataset: Dataset) -> None:
    """Write `dataset` to a safetensors file."""
    write_tensors(path, {"images": dataset.images, "labels": dataset.labels})


def load_dataset(path: Path, *, may_be_empty: bool = False) -> Dataset:
    """Read a file that `save_dataset` wrote.

    Raises:
        UserError: it is missing, damaged, or holds something else, or no images although it may not be empty.
    """
    tensors, _ = read_tensors(path)
    if sorted(tensors) != ["images", "labels"]:
        raise damaged(path, f"images and labels are needed, got {described(tensors)}")
    images, labels = tensors["images"], tensors["labels"]
    typed = images.dtype == torch.uint8 and labels.dtype == torch.int64
    if not typed or labels.ndim != 1 or images.shape != (len(labels), 28, 28):
        raise damaged(path, f"images, uint8 (N, 28, 28), and labels, int64 (N,), are needed, got {described(tensors)}")
    if ((labels < 0) | (labels > 9)).any():
        raise damaged(path, f"labels have to be 0 to 9, got {labels.min()} to {labels.max()}")
    if len(labels) == 0 and not may_be_empty:
        raise damaged(path, "images are needed, got none")
    return Dataset(images, labels)


def load_summary(path: Path) -> Summary:
    """Read a file that holds a `Summary` as JSON.

    Raises:
        UserError: it is missing, damaged, or holds something else.
    """
    try:
        return Summary.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `dvc repro` makes it")
    except ValidationError as error:
        raise damaged(path, first_problem(error))


def pixel_statistics(images: torch.Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the pixels, in [0, 1], of images, uint8 (N, 28, 28).

    Counted in whole numbers, so that they are the same on every machine.
    """
    counts = torch.bincount(images.flatten(), minlength=256).tolist()
    total = sum(counts)
    mean = sum(value * count for value, count in enumerate(counts)) / total
    variance = sum(value * value * count for value, count in enumerate(counts)) / total - mean * mean
    return mean / 255, math.sqrt(variance) / 255
