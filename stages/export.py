"""Export the trained classifier for use without PyTorch, check that its predictions stay the same, and describe it.

Reads models/model.safetensors, train.json, test.json and predictions.csv in metrics, and test.safetensors,
train.safetensors and dataset.json in data/tensors; writes models/model.onnx, from pixels to probabilities, with the
classes, the data set and the metrics in its metadata, and models/model_card.md, which it also holds.
Command: python stages/export.py
"""

import hashlib
import json
from pathlib import Path

from digits.dataset import load_dataset, load_summary
from digits.export.card import model_card
from digits.export.inputs import read_metrics, read_predictions
from digits.export.onnx_model import compare, predict_onnx, to_onnx
from digits.foundation.files import reading, replacing
from digits.foundation.params import read_values
from digits.foundation.stage import run
from digits.models.model_file import load_model

MODEL = Path("models/model.safetensors")
TRAIN = Path("data/tensors/train.safetensors")
TEST = Path("data/tensors/test.safetensors")
SUMMARY = Path("data/tensors/dataset.json")
TRAINING = Path("metrics/train.json")
METRICS = Path("metrics/test.json")
PREDICTIONS = Path("metrics/predictions.csv")
EXPORTED = Path("models/model.onnx")
CARD = Path("models/model_card.md")
BATCH_SIZE = 1000  # bounds the memory that the check takes


def main() -> None:
    model = load_model(MODEL)
    about = model.info.dataset
    images = load_dataset(TEST, len(about.classes)).images
    predictions = read_predictions(PREDICTIONS, len(images), about.classes)
    scores = {"accuracy", "accuracy_low", "accuracy_high", "images"}
    metrics = read_metrics(METRICS, scores | {"ece"})
    if "drawings_accuracy" in metrics:
        read_metrics(METRICS, {f"drawings_{name}" for name in scores})
    parameters = read_metrics(TRAINING, {"parameters"})["parameters"]
    params = {section: read_values(section) for section in ("download", "preprocess", "train")}

    with reading(TRAIN):
        digest = hashlib.sha256(TRAIN.read_bytes()).hexdigest()
    card = model_card(model.info, load_summary(SUMMARY), digest, parameters, metrics, predictions, params)
    metadata = {
        "architecture": model.info.architecture,
        "classes": json.dumps(about.classes),
        "dataset": about.name,
        "pictures": about.pictures,
        "metrics": json.dumps(metrics),
    }
    exported = to_onnx(model, metadata, card)
    difference = compare(predictions, about.classes, *predict_onnx(exported, images, BATCH_SIZE))
    for path, content in ((EXPORTED, exported), (CARD, card.encode())):
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    print(f"{EXPORTED}: {len(exported):,} bytes, confidences within {difference:.0e} of those of evaluate")


if __name__ == "__main__":
    run(main)
