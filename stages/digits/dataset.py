"""Labelled digit images and the safetensors file that holds them."""

import math
from dataclasses import dataclass
from pathlib import Path

from digits.files import replacing
from digits.stage import UserError

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


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


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Images, uint8 or float32 (N, 28, 28), as pixels, float32 (N, 1, 28, 28) in [0, 1], as torchvision does it."""
    return images.unsqueeze(1).to(torch.float32, copy=True).div_(255)


def save_dataset(path: Path, dataset: Dataset) -> None:
    """Write `dataset` to a safetensors file."""
    with replacing(path) as temporary:
        save_file({"images": dataset.images, "labels": dataset.labels}, temporary)


def load_dataset(path: Path) -> Dataset:
    """Read a file that `save_dataset` wrote.

    Raises:
        UserError: it is missing, damaged, or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            dataset = Dataset(file.get_tensor("images"), file.get_tensor("labels"))
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `dvc repro` makes it")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: is damaged or no data set: {error}; delete it and run `dvc repro`")
    images, labels = dataset.images, dataset.labels
    if images.dtype != torch.uint8 or labels.dtype != torch.int64 or images.shape != (*labels.shape, 28, 28):
        raise UserError(
            f"{path}: has to hold images, uint8 (N, 28, 28), and labels, int64 (N,), got {images.dtype} "
            f"{tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}; delete it and run `dvc repro`"
        )
    return dataset


def pixel_statistics(images: torch.Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the pixels, in [0, 1], of images, uint8 (N, 28, 28).

    Counted in whole numbers, so that they are the same on every machine.
    """
    counts = torch.bincount(images.flatten(), minlength=256).tolist()
    total = sum(counts)
    mean = sum(value * count for value, count in enumerate(counts)) / total
    variance = sum(value * value * count for value, count in enumerate(counts)) / total - mean * mean
    return mean / 255, math.sqrt(variance) / 255
