"""What was predicted, and which classes are mistaken for which."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def list_predictions(
    actual: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    """A row per image, from labels, int (N,), and the confidence in the predicted ones, float (N,), in [0, 1]."""
    columns = enumerate(zip(actual.tolist(), predicted.tolist(), confidence.tolist(), strict=True))
    return [{"index": i, "actual": names[a], "predicted": names[p], "confidence": c} for i, (a, p, c) in columns]


def count_confusions(actual: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often each class (row) was predicted as each (column), int64 (classes, classes), from labels, int (N,)."""
    return np.bincount(actual * classes + predicted, minlength=classes**2).reshape(classes, classes)


def list_confusions(counts: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each pair of actual and predicted class: the count, and its share of the actual class's images."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    return [
        {"actual": actual, "predicted": predicted, "count": int(counts[a, p]), "share": float(shares[a, p])}
        for a, actual in enumerate(names)
        for p, predicted in enumerate(names)
    ]


def list_classes(counts: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row per class: number of images, errors (how many of these are misclassified), precision and recall.

    Precision is 0 for a class that is never predicted, recall is 0 for a class without images.
    """
    images, predictions, correct = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    return [
        {
            "class": name,
            "images": int(images[label]),
            "errors": int(images[label] - correct[label]),
            "precision": float(correct[label] / max(predictions[label], 1)),
            "recall": float(correct[label] / max(images[label], 1)),
        }
        for label, name in enumerate(names)
    ]
