"""Export the trained classifier for use without PyTorch, check that its predictions stay the same, and describe it.

Reads models/model.safetensors, train.json, test.json and predictions.csv in metrics, and test.safetensors,
train.safetensors and dataset.json in data/tensors; writes models/model.onnx, from pixels to probabilities, with the
classes, the data set and the metrics in its metadata, and models/model_card.md, which it also holds.
Command: python stages/export.py
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from digits.foundation.arithmetic import use_portable_arithmetic
from digits.foundation.files import damaged_file, missing_file, read_csv, read_json, replacing
from digits.foundation.params import read_values, short_repr
from digits.foundation.stage import UserError, run

from pydantic import BaseModel, Field, TypeAdapter

if TYPE_CHECKING:
    from digits.models.card import Answers

    import numpy as np

MODEL = Path("models/model.safetensors")
TRAIN = Path("data/tensors/train.safetensors")
TEST = Path("data/tensors/test.safetensors")
SUMMARY = Path("data/tensors/dataset.json")
TRAINING = Path("metrics/train.json")
METRICS = Path("metrics/test.json")
PREDICTIONS = Path("metrics/predictions.csv")
EXPORTED = Path("models/model.onnx")
CARD = Path("models/model_card.md")
Metric = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Metrics = Annotated[dict[str, Metric], Field(min_length=1)]
NEEDED = {"accuracy", "accuracy_low", "accuracy_high", "images", "ece"}  # of the metrics
BATCH_SIZE = 1000  # bounds the memory that the check takes


class Prediction(BaseModel):
    """A row of metrics/predictions.csv, without what export does not need."""

    actual: str
    predicted: str
    confidence: Annotated[float, Field(ge=0, le=1)]


def main() -> None:
    use_portable_arithmetic()
    from digits.data.dataset import load_dataset, load_summary
    from digits.models.card import model_card
    from digits.models.model_file import load_model
    from digits.models.onnx_export import predict_onnx, to_onnx

    model = load_model(MODEL)
    about = model.info.dataset
    images = load_dataset(TEST, len(about.classes)).images
    answers = read_predictions(PREDICTIONS, len(images), about.classes)
    metrics, training = read_metrics(METRICS, NEEDED), read_metrics(TRAINING, {"parameters"})
    params = {section: read_values(section) for section in ("download", "preprocess", "train")}
    card = model_card(
        model.info, load_summary(SUMMARY), digest(TRAIN), training["parameters"], metrics, answers, params
    )
    metadata = {
        "architecture": model.info.architecture,
        "classes": json.dumps(about.classes),
        "dataset": about.name,
        "pictures": about.pictures,
        "metrics": json.dumps(metrics),
    }
    exported = to_onnx(model, metadata, card)
    difference = compare(as_arrays(answers, about.classes), *predict_onnx(exported, images, BATCH_SIZE))
    with replacing(EXPORTED) as temporary:
        temporary.write_bytes(exported)
    with replacing(CARD) as temporary:
        temporary.write_text(card, encoding="utf-8", newline="\n")
    print(f"{EXPORTED}: {len(exported):,} bytes, confidences within {difference:.0e} of those of evaluate")


def read_metrics(path: Path, needed: set[str]) -> dict[str, Any]:
    """All metrics of a file, those that are `needed` among them.

    Raises:
        UserError: it is missing or damaged.
    """
    metrics = read_json(path, TypeAdapter(Metrics))
    if missing := needed - metrics.keys():
        raise damaged_file(path, f"expected {min(missing)}, got none")
    return metrics


def read_predictions(path: Path, images: int, classes: list[str]) -> "Answers":
    """What evaluate answered to each of the images.

    Raises:
        UserError: the file is missing or damaged, has another number of rows than `images`, or names another class.
    """
    from digits.models.card import Answers

    rows = read_csv(path, TypeAdapter(list[Prediction]))
    if len(rows) != images:
        raise damaged_file(path, f"expected a row for each of {images:,} images, got {len(rows):,}")
    if unknown := {name for row in rows for name in (row.actual, row.predicted)} - {*classes}:
        raise damaged_file(path, f"actual and predicted have to be classes, got {short_repr(min(unknown))}")
    return Answers([row.actual for row in rows], [row.predicted for row in rows], [row.confidence for row in rows])


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: it is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise missing_file(path)


def as_arrays(answers: "Answers", classes: list[str]) -> tuple["np.ndarray", "np.ndarray"]:
    """The predicted labels, int64 (N,), and the confidences, float64 (N,)."""
    import numpy as np

    return np.array([classes.index(name) for name in answers.predicted]), np.array(answers.confidence)


def compare(expected: tuple["np.ndarray", "np.ndarray"], logits: "np.ndarray", probabilities: "np.ndarray") -> float:
    """The largest difference between the confidences of evaluate and those of ONNX Runtime.

    Args:
        expected: labels, int64 (N,), and confidences, float (N,), which evaluate rounded to 6 digits.
        logits, probabilities: float32 (N, classes), from ONNX Runtime.

    Raises:
        UserError: it is larger than rounding explains, or an answer differs by more than rounding explains.
    """
    import numpy as np

    predicted, confidence = expected
    # In float32 a logit of 50 is rounded to 4e-6, larger ones in proportion, and so are the sums that lead to it.
    tolerance = 1e-5 * max(1.0, np.abs(logits).max().item() / 50)
    difference = float(np.abs(probabilities.max(axis=1) - confidence).max())
    lead = probabilities.max(axis=1) - probabilities[np.arange(len(predicted)), predicted]
    disagreements = (lead >= tolerance).sum().item()
    if not difference < tolerance or disagreements > 0:
        raise UserError(
            f"{EXPORTED}: ONNX Runtime has to match the confidences of evaluate to {tolerance:.0e} and its answers, "
            f"got a difference of {difference:.1e} and {disagreements:,} other answers; install the pinned versions "
            "with `pip install -r requirements.txt`, then run `dvc repro`"
        )
    return difference


if __name__ == "__main__":
    run(main)
