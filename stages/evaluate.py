"""Score the trained classifier on the test images; no other stage does.

Reads models/model.safetensors, test.safetensors and drawings.safetensors in data/tensors, and metrics/train.csv;
writes metrics/test.json, metrics/predictions.csv (a row per test image), and in plots the tables confusion.csv,
classes.csv and reliability.csv and the figures most_wrong.png, confused.png, saliency.png and curves.png.
Command: python stages/evaluate.py
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from digits.foundation.arithmetic import use_portable_arithmetic
from digits.foundation.files import damaged_file, read_csv, write_csv, write_json
from digits.foundation.params import Section, read_params, short_repr
from digits.foundation.stage import UserError, run

from pydantic import BaseModel, Field, TypeAdapter

if TYPE_CHECKING:
    from digits.evaluation.network import Network
    from digits.evaluation.softmax_regression import SoftmaxRegression
    from digits.models.model_file import Model

    import numpy as np

MODEL = Path("models/model.safetensors")
TEST = Path("data/tensors/test.safetensors")
HELD_OUT = Path("data/tensors/drawings.safetensors")
CURVES = Path("metrics/train.csv")
METRICS = Path("metrics/test.json")
PREDICTIONS = Path("metrics/predictions.csv")
CONFUSION = Path("plots/confusion.csv")
CLASSES = Path("plots/classes.csv")
RELIABILITY = Path("plots/reliability.csv")
MOST_WRONG = Path("plots/most_wrong.png")
CONFUSED = Path("plots/confused.png")
SALIENCY = Path("plots/saliency.png")
CURVES_FIGURE = Path("plots/curves.png")


class EvaluateParams(Section):
    """Section `evaluate` of params.yaml."""

    batch_size: Annotated[int, Field(ge=1, le=10**6)]
    bins: Annotated[int, Field(ge=2, le=100)]


Metric = Annotated[float, Field(ge=0, le=1e39, allow_inf_nan=False)]  # none that train computes, in float32, is larger


class Epoch(BaseModel):
    """A row of metrics/train.csv; validation cells are empty if there are no validation images."""

    epoch: int
    train_loss: Metric
    train_accuracy: Metric
    val_loss: Metric | Literal[""]
    val_accuracy: Metric | Literal[""]
    lr: Metric  # the last column, missing if the row is cut off


def main() -> None:
    params = read_params("evaluate", EvaluateParams)
    use_portable_arithmetic()
    from digits.data.dataset import load_dataset
    from digits.evaluation.calibration import expected_calibration_error, reliability
    from digits.evaluation.confusion import count_confusions, list_classes, list_confusions, list_predictions
    from digits.evaluation.saliency import mean_saliency
    from digits.evaluation.scoring import log_softmax
    from digits.figures.results import draw_confused, draw_curves, draw_most_wrong, draw_saliency
    from digits.figures.style import save_figure
    from digits.models.model_file import load_model

    import numpy as np

    model = load_model(MODEL)
    classes = model.info.dataset.classes
    test, drawings = load_dataset(TEST, len(classes)), load_dataset(HELD_OUT, len(classes), allow_empty=True)
    curves = read_curves(CURVES)
    scorer = choose_scorer(model)
    logits = scorer.predict(test.images, params.batch_size)
    scores = summarize(logits, test.labels)
    saliency = mean_saliency(scorer.slope, test.images, test.labels, len(classes))
    if not (np.isfinite(logits).all() and np.isfinite(saliency).all() and math.isfinite(scores["loss"])):
        raise UserError(
            f"{MODEL}: its weights are too large, got logits, a loss or gradients that are not finite; lower "
            "train.lr and run `dvc repro`"
        )
    images, actual, predicted = test.images, test.labels, logits.argmax(axis=1)
    confidence = np.exp(log_softmax(logits.astype(np.float64)).max(axis=1))

    bins = reliability(confidence, actual == predicted, params.bins)
    metrics = scores | {"ece": expected_calibration_error(bins)}
    if len(drawings) > 0:
        own = summarize(scorer.predict(drawings.images, params.batch_size), drawings.labels)
        metrics |= {f"drawings_{key}": own[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "images")}
    write_json(METRICS, metrics)
    write_csv(PREDICTIONS, list_predictions(actual, predicted, confidence, classes))
    counts = count_confusions(actual, predicted, len(classes))
    write_csv(CONFUSION, list_confusions(counts, classes))
    write_csv(CLASSES, list_classes(counts, classes))
    write_csv(RELIABILITY, bins)
    save_figure(MOST_WRONG, draw_most_wrong(images, actual, predicted, confidence, classes))
    save_figure(CONFUSED, draw_confused(images, actual, predicted, confidence, classes))
    save_figure(SALIENCY, draw_saliency(saliency, classes))
    save_figure(CURVES_FIGURE, draw_curves(curves))
    print(
        f"{model.info.dataset.name}: {metrics['accuracy']:.2%} of {metrics['images']:,} test images right "
        f"(95 % interval {metrics['accuracy_low']:.2%} to {metrics['accuracy_high']:.2%})"
    )
    if len(drawings) > 0:
        print(f"drawings: {metrics['drawings_accuracy']:.2%} of {len(drawings):,} held-out ones right")


def read_curves(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics/train.csv, checked.

    Raises:
        UserError: the file is missing or damaged, or holds something else.
    """
    rows = read_csv(path, TypeAdapter(list[Epoch]))
    epochs = [row.epoch for row in rows]
    if not rows or epochs != list(range(1, len(rows) + 1)):
        raise damaged_file(path, f"expected a row for each epoch, starting at 1, got epochs {short_repr(epochs)}")
    return [row.model_dump() for row in rows]


def choose_scorer(model: "Model") -> "SoftmaxRegression | Network":
    """How to compute the logits and their slopes: by NumPy for softmax regression, by PyTorch for the other models."""
    if model.info.architecture == "logistic":
        from digits.evaluation.softmax_regression import SoftmaxRegression

        return SoftmaxRegression(model)
    from digits.evaluation.network import Network

    return Network(model)


def summarize(logits: "np.ndarray", labels: "np.ndarray") -> dict[str, Any]:
    """The metrics of logits, float (N, classes), against labels, int64 (N,)."""
    from digits.evaluation.scoring import loss_and_accuracy, wilson_interval

    loss, accuracy = loss_and_accuracy(logits, labels)
    correct = round(accuracy * len(labels))
    low, high = wilson_interval(correct, len(labels))
    return {
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "errors": len(labels) - correct,
        "loss": loss,
        "images": len(labels),
    }


if __name__ == "__main__":
    run(main)
