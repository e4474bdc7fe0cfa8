"""What train and evaluate wrote about a model, for its card, and to compare the exported model with."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from digits.foundation.files import Row, damaged_file, read_csv, read_json, reading
from digits.foundation.params import short_repr
from digits.foundation.stage import UserError

Number = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Prediction(Row):
    """A row of metrics/predictions.csv."""

    actual: str
    predicted: str
    confidence: Annotated[float, Field(ge=0, le=1)]


def read_metrics(path: Path, needed: set[str]) -> dict[str, Any]:
    """All metrics of a file, those that are `needed` among them.

    Raises:
        UserError: it is missing or damaged.
    """
    metrics = read_json(path, dict[str, Number])
    if missing := needed - metrics.keys():
        raise damaged_file(path, f"expected {min(missing)}, got none")
    return metrics


def read_predictions(path: Path, images: int, classes: Sequence[str]) -> list[Prediction]:
    """What evaluate predicted for each of the images.

    Raises:
        UserError: the file is missing or damaged, has another number of rows than `images`, or names another class.
    """
    rows = read_csv(path, Prediction)
    if len(rows) != images:
        raise damaged_file(path, f"expected a row for each of {images:,} images, got {len(rows):,}")
    if unknown := {name for row in rows for name in (row.actual, row.predicted)} - {*classes}:
        raise damaged_file(path, f"actual and predicted must be classes, got {short_repr(min(unknown))}")
    return rows


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: it is missing.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(
    expected: Sequence[Prediction], classes: Sequence[str], logits: np.ndarray, probabilities: np.ndarray
) -> float:
    """The largest difference between the confidences of evaluate, rounded to 6 digits, and those of ONNX Runtime.

    Args:
        expected: one for each image.
        logits, probabilities: float32 (N, classes), from ONNX Runtime.

    Raises:
        UserError: it is larger than rounding explains, or a prediction differs by more than rounding explains.
    """
    predicted = np.array([classes.index(row.predicted) for row in expected])
    confidence = np.array([row.confidence for row in expected])
    # In float32 a logit of 50 is rounded to 4e-6, larger ones in proportion, and so are the sums that lead to it.
    tolerance = 1e-5 * max(1.0, np.abs(logits).max().item() / 50)
    difference = float(np.abs(probabilities.max(axis=1) - confidence).max())
    lead = probabilities.max(axis=1) - probabilities[np.arange(len(predicted)), predicted]
    disagreements = (lead >= tolerance).sum().item()
    if not difference < tolerance or disagreements > 0:
        raise UserError(
            f"models/model.onnx: ONNX Runtime must match the confidences of evaluate to {tolerance:.0e} and its "
            f"predictions, got a difference of {difference:.1e} and {disagreements:,} other predictions; install the "
            "pinned versions with `pip install -r requirements.txt`, then run `dvc repro`"
        )
    return difference
