"""Calibration: whether a model is right as often as its confidence says."""

import math
from typing import Any

import numpy as np


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int) -> list[dict[str, Any]]:
    """Sort images into equally wide bins of confidence, and compare confidence and accuracy in each.

    Args:
        confidence: float (N,), the probability given to the predicted class, in [0, 1].
        correct: bool (N,).
        bins: number of bins.

    Returns:
        A row for each bin that is not empty: bin_low, bin_high, confidence (mean), accuracy, share (of all images).
    """
    edges = np.linspace(0, 1, bins + 1)
    members = np.digitize(confidence, edges[1:-1], right=True)
    return [
        {
            "bin_low": float(edges[index]),
            "bin_high": float(edges[index + 1]),
            "confidence": float(confidence[members == index].mean()),
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
