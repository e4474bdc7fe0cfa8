"""Export the trained classifier for use without PyTorch, and check that its predictions stay the same.

Reads models/model.safetensors, metrics/test.json, metrics/predictions.csv and the images in
data/tensors/test.safetensors; writes models/model.onnx, from pixels to probabilities, with the classes, the data set
and the metrics in its metadata.
Command: python stages/export.py
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from digits.foundation.arithmetic import use_portable_arithmetic
from digits.foundation.files import damaged_file, read_csv, read_json, replacing
from digits.foundation.params import short_repr
from digits.foundation.stage import UserError, run

from pydantic import BaseModel, Field, TypeAdapter

if TYPE_CHECKING:
    import numpy as np

MODEL = Path("models/model.safetensors")
TEST = Path("data/tensors/test.safetensors")
METRICS = Path("metrics/test.json")
PREDICTIONS = Path("metrics/predictions.csv")
EXPORTED = Path("models/model.onnx")
Metric = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Metrics = Annotated[dict[str, Metric], Field(min_length=1)]
BATCH_SIZE = 1000  # bounds the memory that the check takes


class Prediction(BaseModel):
    """A row of metrics/predictions.csv, without what export does not need."""

    predicted: str
    confidence: Annotated[float, Field(ge=0, le=1)]


def main() -> None:
    use_portable_arithmetic()
    from digits.data.dataset import load_dataset
    from digits.models.model_file import load_model
    from digits.models.onnx_export import predict_onnx, to_onnx

    model = load_model(MODEL)
    about = model.info.dataset
    images = load_dataset(TEST, len(about.classes)).images
    expected = read_predictions(PREDICTIONS, len(images), about.classes)
    metadata = {
        "architecture": model.info.architecture,
        "classes": json.dumps(about.classes),
        "dataset": about.name,
        "pictures": about.pictures,
        "metrics": json.dumps(read_json(METRICS, TypeAdapter(Metrics))),
    }
    exported = to_onnx(model, metadata)
    difference = compare(expected, *predict_onnx(exported, images, BATCH_SIZE))
    with replacing(EXPORTED) as temporary:
        temporary.write_bytes(exported)
    print(f"{EXPORTED}: {len(exported):,} bytes, confidences within {difference:.0e} of those of evaluate")


def read_predictions(path: Path, images: int, classes: list[str]) -> tuple["np.ndarray", "np.ndarray"]:
    """What evaluate predicted for each of the images, int64 (N,), and how confident it was, float64 (N,).

    Raises:
        UserError: the file is missing or damaged, has another number of rows than `images`, or names another class.
    """
    import numpy as np

    rows = read_csv(path, TypeAdapter(list[Prediction]))
    if len(rows) != images:
        raise damaged_file(path, f"expected a row for each of {images:,} images, got {len(rows):,}")
    if unknown := {row.predicted for row in rows} - set(classes):
        raise damaged_file(path, f"predicted has to be a class, got {short_repr(min(unknown))}")
    return np.array([classes.index(row.predicted) for row in rows]), np.array([row.confidence for row in rows])


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
