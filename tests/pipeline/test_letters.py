"""Letters that a model is taught not to be digits, from the training to what the tools make of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Run, edit
from digits.dataset import load_dataset, save_dataset
from digits.models.model_file import load_model
from handwriting.recognizer import Recognizer
from samples import CLASSES


def test_letters_are_taught_and_the_tools_know_the_limit(project: Path, run: Run) -> None:
    letters = load_dataset(project / "data/tensors/others.safetensors", CLASSES + 1)
    untaught = Recognizer(project / "models/model.onnx")
    assert untaught.knows(letters.images).all()

    edit(project / "params.yaml", "  others: 0.0", "  others: 0.5")
    output = run(project, "dvc", "repro")
    assert "plus 650 images of printed letters, which are not digits" in output
    metrics = json.loads((project / "metrics/test.json").read_text())
    taught = Recognizer(project / "models/model.onnx")
    assert taught.metrics.least_logit == metrics["least_logit"]
    val = load_dataset(project / "data/tensors/val.safetensors", CLASSES)
    least = taught.logits(val.images).max(axis=1).min()  # since 0.2 % of 137 are none
    assert least == pytest.approx(metrics["least_logit"], abs=1e-4)
    assert 0 <= metrics["refused"] < 0.05
    assert "DejaVu" in (project / "models/model_card.md").read_text()
    sure, unsure = (model.probabilities(letters.images).max(axis=1).mean() for model in (untaught, taught))
    assert unsure < 0.8 * sure
    assert not taught.knows(letters.images).all()

    save_dataset(project / "data/tensors/others.safetensors", letters.take(np.arange(0)))
    run(project, "python", "stages/train.py")  # as for other classes than the digits
    assert not load_model(project / "models/model.safetensors").info.others
