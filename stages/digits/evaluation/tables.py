"""The tables of evaluate: predictions, confusions, classes, and how far confidence can be trusted."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from digits.models.exact import exact_mean


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


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int) -> list[dict[str, Any]]:
    """Sort images into so many equally wide bins of confidence, and compare confidence and accuracy in each.

    Confidence, float (N,) in [0, 1], is the probability given to the predicted class, and `correct` is bool (N,). A row
    for each bin that is not empty: bin_low, bin_high, confidence (mean), accuracy, share (of all images).
    """
    edges = np.linspace(0, 1, bins + 1)
    members = np.digitize(confidence, edges[1:-1], right=True)
    return [
        {
            "bin_low": float(edges[index]),
            "bin_high": float(edges[index + 1]),
            "confidence": exact_mean(confidence[members == index]),
            "accuracy": float(correct[members == index].mean()),
            "share": float((members == index).mean()),
        }
        for index in np.unique(members)
    ]


def expected_calibration_error(rows: list[dict[str, Any]]) -> float:
    """Mean distance between confidence and accuracy over the bins of `reliability`, weighted by share, in [0, 1].

    Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern neural networks (2017), equation 3.
    """
    return math.fsum(row["share"] * abs(row["confidence"] - row["accuracy"]) for row in rows)
