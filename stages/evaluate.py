"""Score the trained classifier on the test images: the only place that looks at them.

Reads models/model.safetensors and data/tensors/test.safetensors; writes metrics/test.json and
metrics/predictions.csv (a row per test image).
Command: python stages/evaluate.py
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from digits.files import write_csv, write_json
from digits.params import Section, read_params
from digits.stage import run

from pydantic import Field

if TYPE_CHECKING:
    import torch

MODEL = Path("models/model.safetensors")
TEST = Path("data/tensors/test.safetensors")
METRICS = Path("metrics/test.json")
PREDICTIONS = Path("metrics/predictions.csv")


class EvaluateParams(Section):
    """Section `evaluate` of params.yaml."""

    batch_size: Annotated[int, Field(ge=1)]


def main() -> None:
    params = read_params("evaluate", EvaluateParams)
    from digits.dataset import load_dataset
    from digits.model import load_model
    from digits.scoring import predict

    import torch

    torch.set_num_threads(1)
    model, info = load_model(MODEL)
    test = load_dataset(TEST)
    logits = predict(model, test.images, params.batch_size)
    metrics = summarize(logits, test.labels)
    write_json(METRICS, metrics)
    write_csv(PREDICTIONS, list_predictions(logits, test.labels))
    print(
        f"{info.dataset}: {metrics['accuracy']:.2%} of {metrics['images']:,} test images right "
        f"(95 % interval {metrics['accuracy_low']:.2%} to {metrics['accuracy_high']:.2%})"
    )


def summarize(logits: "torch.Tensor", labels: "torch.Tensor") -> dict[str, Any]:
    """The metrics of logits, float32 (N, 10), against labels, int64 (N,)."""
    from digits.scoring import loss_and_accuracy, wilson_interval

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


def list_predictions(logits: "torch.Tensor", labels: "torch.Tensor") -> list[dict[str, Any]]:
    """A row per image: its index, the actual and the predicted digit, and the probability given to the latter."""
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    columns = zip(labels.tolist(), predicted.tolist(), confidence.tolist(), strict=True)
    return [
        {"index": index, "actual": actual, "predicted": digit, "confidence": probability}
        for index, (actual, digit, probability) in enumerate(columns)
    ]


if __name__ == "__main__":
    run(main)
