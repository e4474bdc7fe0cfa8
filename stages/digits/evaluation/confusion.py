"""Which digits are mistaken for which."""

from typing import Any

import numpy as np


def count_confusions(actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """How often each digit (row) was predicted as each (column), int64 (10, 10), from labels, int (N,), 0 to 9."""
    return np.bincount(actual * 10 + predicted, minlength=100).reshape(10, 10)


def list_confusions(counts: np.ndarray) -> list[dict[str, Any]]:
    """A row for each pair of actual and predicted digit: the count, and its share of the actual digit's images."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    return [
        {"actual": a, "predicted": p, "count": int(counts[a, p]), "share": float(shares[a, p])}
        for a in range(10)
        for p in range(10)
    ]


def list_digits(counts: np.ndarray) -> list[dict[str, Any]]:
    """A row per digit: number of images, errors (how many of these are misclassified), precision and recall.

    Precision is 0 for a digit that is never predicted, recall is 0 for a digit without images.
    """
    images, predictions, correct = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    return [
        {
            "digit": digit,
            "images": int(images[digit]),
            "errors": int(images[digit] - correct[digit]),
            "precision": float(correct[digit] / max(predictions[digit], 1)),
            "recall": float(correct[digit] / max(images[digit], 1)),
        }
        for digit in range(10)
    ]
