"""Score the trained classifier on the test images; no other stage does.

Reads models/model.safetensors, val.safetensors, test.safetensors and drawings.safetensors in data/tensors, and
metrics/train.csv; writes metrics/test.json, metrics/predictions.csv (a row per test image), and in plots the tables
confusion.csv, classes.csv and reliability.csv, and the figures most_wrong.png, confused.png, saliency.png and
curves.png.
Command: python stages/evaluate.py
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import digits.evaluation.tables as tables
from digits.dataset import load_dataset
from digits.evaluation.predictions import answer, check_finite, choose_scorer, least_logit
from digits.evaluation.saliency import mean_saliency
from digits.figures.classifier import draw_confused, draw_curves, draw_most_wrong, draw_saliency
from digits.figures.style import save_figure
from digits.foundation.files import Row, damaged_file, read_csv, write_csv, write_json
from digits.foundation.params import Field, Section, read_params, short_repr
from digits.foundation.stage import run
from digits.models.model_file import load_model

MODEL = Path("models/model.safetensors")
VAL = Path("data/tensors/val.safetensors")
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


class Epoch(Row):
    """A row of metrics/train.csv; validation cells are empty if there are no validation images."""

    epoch: int
    train_loss: Metric
    train_accuracy: Metric
    val_loss: Metric | Literal[""]
    val_accuracy: Metric | Literal[""]
    lr: Metric  # the last column, missing if the row is cut off


def main() -> None:
    params = read_params("evaluate", EvaluateParams)
    model = load_model(MODEL)
    about = model.info.dataset
    classes = len(about.classes)
    test, drawings = load_dataset(TEST, classes), load_dataset(HELD_OUT, classes, allow_empty=True)
    curves = read_curves(CURVES)

    scorer = choose_scorer(model, params.batch_size)
    answers = answer(scorer, test)
    metrics = answers.metrics()
    saliency = mean_saliency(scorer.slope, test.images, test.labels, classes)
    check_finite(answers.logits, saliency, metrics["loss"])
    bins = tables.reliability(answers.confidence, answers.actual == answers.predicted, params.bins)
    metrics["ece"] = tables.expected_calibration_error(bins)
    # Without having been taught them, models are as sure of other shapes as of digits.
    if model.info.others and len(val := load_dataset(VAL, classes, allow_empty=True)) > 0:
        val_logits = scorer.predict(val.images)
        check_finite(val_logits)
        metrics["least_logit"] = least_logit(val_logits)
        metrics["refused"] = float((answers.logits.max(axis=1) < metrics["least_logit"]).mean())
    if len(drawings) > 0:
        own = answer(scorer, drawings).metrics()
        metrics |= {f"drawings_{key}": own[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "images")}

    judged = answers.actual, answers.predicted, answers.confidence, about.classes
    counts = tables.count_confusions(answers.actual, answers.predicted, classes)
    write_json(METRICS, metrics)
    write_csv(PREDICTIONS, tables.list_predictions(*judged))
    write_csv(CONFUSION, tables.list_confusions(counts, about.classes))
    write_csv(CLASSES, tables.list_classes(counts, about.classes))
    write_csv(RELIABILITY, bins)
    save_figure(MOST_WRONG, draw_most_wrong(test.images, *judged))
    save_figure(CONFUSED, draw_confused(test.images, *judged))
    save_figure(SALIENCY, draw_saliency(saliency, about.classes))
    save_figure(CURVES_FIGURE, draw_curves(curves))
    interval = f"95 % interval {metrics['accuracy_low']:.2%} to {metrics['accuracy_high']:.2%}"
    print(f"{about.name}: {metrics['accuracy']:.2%} of {metrics['images']:,} test images correct ({interval})")
    if len(drawings) > 0:
        print(f"drawings: {metrics['drawings_accuracy']:.2%} of {len(drawings):,} held-out ones correct")


def read_curves(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics/train.csv; raises a `UserError` if it is missing or damaged, or holds something else."""
    rows = read_csv(path, list[Epoch])
    epochs = [row.epoch for row in rows]
    if not rows or epochs != list(range(1, len(rows) + 1)):
        raise damaged_file(path, f"expected a row for each epoch, starting at 1, got epochs {short_repr(epochs)}")
    return [row.model_dump() for row in rows]


if __name__ == "__main__":
    run(main)
