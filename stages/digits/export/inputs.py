"""What export reads of train and evaluate: metrics and predictions, for the card and to check the exported model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from digits.foundation.files import Row, damaged_file, read_csv, read_json
from digits.foundation.params import short_repr

Number = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Prediction(Row):
    """A row of metrics/predictions.csv."""

    actual: str
    predicted: str
    confidence: Annotated[float, Field(ge=0, le=1)]


def read_metrics(path: Path, needed: set[str]) -> dict[str, Any]:
    """All metrics of a file, those that are `needed` among them; raises a `UserError` if it is missing or damaged."""
    metrics = read_json(path, dict[str, Number])
    if missing := needed - metrics.keys():
        raise damaged_file(path, f"expected {min(missing)}, got none")
    return metrics


def read_predictions(path: Path, images: int, classes: Sequence[str]) -> list[Prediction]:
    """Evaluate's rows for so many images of these classes; raises a `UserError` if the file does not hold them."""
    rows = read_csv(path, list[Prediction])
    if len(rows) != images:
        raise damaged_file(path, f"expected a row for each of {images:,} images, got {len(rows):,}")
    if unknown := {name for row in rows for name in (row.actual, row.predicted)} - {*classes}:
        raise damaged_file(path, f"actual and predicted must be classes, got {short_repr(min(unknown))}")
    return rows
