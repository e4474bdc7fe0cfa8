"""The exported model gives PyTorch's answers, in the same bytes every time, and is not written where that fails."""

import hashlib
import json
import math
import re
import shutil
from contextlib import chdir
from functools import cache
from pathlib import Path

import export
from bad_input import refusal
from conftest import CLASSES, IMAGES, LABELS, MNIST, ROOT, Run, some_digits
from digits.data.dataset import load_dataset, save_dataset
from digits.evaluation.network import Network
from digits.foundation.files import write_csv
from digits.foundation.stage import UserError
from digits.models.card import Answers, frequent_confusions
from digits.models.model_file import Model, save_model
from digits.models.networks import layers_of
from digits.models.onnx_export import predict_onnx, to_onnx
from small_networks import NETWORKS, build, info_of

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import scipy.special
import torch
import yaml
from torch import nn

METADATA = {"architecture": "of the test", "metrics": '{"accuracy": 0.5}'}


def model(network: str, factor: float = 1.0) -> Model:
    """A network of random weights, its batch normalisation with statistics as a training leaves them behind.

    Args:
        factor: of the weights of its last layer.
    """
    torch.manual_seed(0)
    classifier = build(network)
    for layer in classifier.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                layer.state_dict()[name].uniform_(0.5, 2)
    *_, weight, _ = classifier.parameters()
    weight.data *= factor
    options = NETWORKS[network]
    return Model(
        info_of(network, options),
        layers_of(network, options, CLASSES),
        classifier.arrays(),
    )


@cache
def exported(network: str) -> bytes:
    return to_onnx(model(network), METADATA, "a card")


def softmax(logits: np.ndarray) -> np.ndarray:
    result: np.ndarray = scipy.special.softmax(logits, axis=1)
    return result


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("count", "batch_size"), [(1, 1), (7, 7), (100, 100), (100, 30)])
def test_any_number_of_images_get_the_answers_that_pytorch_gives(network: str, count: int, batch_size: int) -> None:
    images = some_digits(0, count).images
    logits, probabilities = predict_onnx(exported(network), images, batch_size)
    expected = Network(model(network)).predict(images, count)
    assert logits == pytest.approx(expected, abs=1e-4)
    assert probabilities == pytest.approx(softmax(expected), abs=1e-5)
    assert probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_file_says_what_it_takes_what_it_gives_and_where_it_comes_from(network: str) -> None:
    session = onnxruntime.InferenceSession(exported(network))
    described = [(node.name, node.type, node.shape) for node in (*session.get_inputs(), *session.get_outputs())]
    assert described == [
        ("pixels", "tensor(float)", ["images", 1, 28, 28]),
        ("probabilities", "tensor(float)", ["images", 10]),
        ("logits", "tensor(float)", ["images", 10]),
    ]
    assert session.get_modelmeta().custom_metadata_map == METADATA


EXPORT_ALL = """
import json, sys
from pathlib import Path
sys.path.insert(0, "stages")
from digits.models.model_file import load_model
from digits.models.onnx_export import to_onnx
for path in Path().glob("*.safetensors"):
    path.with_suffix(".onnx").write_bytes(to_onnx(load_model(path), json.loads(sys.argv[1]), "a card"))
"""


@pytest.mark.long
def test_another_process_in_another_folder_writes_the_same_bytes(tmp_path: Path, run: Run) -> None:
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    for network, options in NETWORKS.items():
        save_model(
            tmp_path / f"{network}.safetensors",
            model(network).tensors,
            info_of(network, options),
        )
    run(tmp_path, "python", "-c", EXPORT_ALL, json.dumps(METADATA))
    for network in NETWORKS:
        content = exported(network)
        assert (tmp_path / f"{network}.onnx").read_bytes() == content
        assert not re.search(rb"/\w+/|\w\.py|site-packages", content)


@pytest.mark.parametrize("network", NETWORKS)
def test_large_logits_may_differ_by_more(network: str) -> None:
    large = model(network, factor=1000.0)
    logits = Network(large).predict(IMAGES, 1000)
    assert np.abs(logits).max() > 50
    expected = logits.argmax(axis=1), softmax(logits).max(axis=1)
    export.compare(expected, *predict_onnx(to_onnx(large, METADATA, "a card"), IMAGES, 1000))


@pytest.mark.parametrize(
    ("digit", "probability", "expected"),
    [
        (3, 0.10003, "difference of 2.0e-05 and 0"),
        (7, 0.10003, "difference of 2.0e-05 and 1 other answers"),
        (3, math.nan, "difference of nan"),
    ],
)
def test_other_answers_than_those_of_evaluate_are_refused(digit: int, probability: float, expected: str) -> None:
    probabilities = np.full((20, 10), 0.1)
    probabilities[:, 3] = 0.10001
    predictions = probabilities.argmax(axis=1), probabilities.max(axis=1)
    assert export.compare(predictions, np.zeros((20, 10)), probabilities) == 0
    probabilities[5, digit] = probability
    with pytest.raises(UserError, match=f"^{export.EXPORTED}: .*{expected}"):
        export.compare(predictions, np.zeros((20, 10)), probabilities)


def test_digits_as_good_as_equal_may_change_places() -> None:
    probabilities = np.full((1, 10), 0.05)
    probabilities[0, 3:5] = 0.300002, 0.3
    assert export.compare((np.array([4]), np.array([0.300001])), np.zeros((1, 10)), probabilities) < 1e-5


SCORES = {"accuracy": 0.5, "accuracy_low": 0.2993, "accuracy_high": 0.7007, "images": 20, "ece": 0.1}
SUMMARY = {
    "about": MNIST.model_dump(),
    "train": 100,
    "val": 0,
    "test": 20,
    "drawings": 0,
    "pixel_mean": 0.13,
    "pixel_std": 0.31,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that export reads."""
    saved = model("logistic")
    save_model(tmp_path / export.MODEL, saved.tensors, saved.info)
    save_dataset(tmp_path / export.TEST, some_digits(0, 20))
    probabilities = softmax(Network(saved).predict(IMAGES[:20], 20))
    rows = zip(LABELS[:20], probabilities.argmax(axis=1), probabilities.max(axis=1), strict=True)
    write_csv(
        tmp_path / export.PREDICTIONS, [{"actual": a, "predicted": p, "confidence": float(c)} for a, p, c in rows]
    )
    (tmp_path / export.METRICS).write_text(json.dumps(SCORES))
    (tmp_path / export.TRAINING).write_text('{"parameters": 7850}')
    save_dataset(tmp_path / export.TRAIN, some_digits(20, 120))
    (tmp_path / export.SUMMARY).write_text(json.dumps(SUMMARY))
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    return tmp_path


def card_of(folder: Path) -> str:
    with chdir(folder):
        export.main()
    card = (folder / export.CARD).read_text(encoding="utf-8")
    assert onnx.load(folder / export.EXPORTED).doc_string == card
    assert max(map(len, card.splitlines())) < 140
    return card


def test_the_card_says_what_the_model_is(folder: Path) -> None:
    card = card_of(folder)
    assert card.startswith("# logistic, trained on mnist\n")
    assert "with 7,850 parameters" in card
    assert "Its 10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in card
    assert "100 images; 0 others judged its parameters.\n" in card
    assert hashlib.sha256((folder / export.TRAIN).read_bytes()).hexdigest() in card
    assert "On 20 test images that chose nothing: 50.00% right (95 % interval 29.93% to 70.07%).\n" in card
    assert "expected calibration error is 0.100" in card
    params = yaml.safe_load(card.partition("```yaml")[2].strip("`\n"))
    committed = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert params == {section: committed[section] for section in ("download", "preprocess", "train")}


def test_the_card_tells_of_the_users_drawings(folder: Path) -> None:
    own = {
        "drawings_accuracy": 0.75,
        "drawings_accuracy_low": 0.3,
        "drawings_accuracy_high": 0.95,
        "drawings_images": 4,
    }
    (folder / export.METRICS).write_text(json.dumps(SCORES | own))
    (folder / export.SUMMARY).write_text(json.dumps(SUMMARY | {"drawings": 30}))
    card = card_of(folder)
    assert "30 of them are the user's own drawings." in card
    assert (
        "On 4 drawings of the user's own that it was not trained on: 75.00% (95 % interval 30.00% to 95.00%)." in card
    )


def test_the_card_names_the_most_frequent_confusions() -> None:
    answers = Answers([*"77788810"], [*"11133310"], [1.0] * 8)
    assert frequent_confusions(answers) == "It mistakes most often 7 for 1 (3), 8 for 3 (3)."
    assert frequent_confusions(Answers([*"01"], [*"01"], [1.0] * 2)) == "It makes no error on them."


def test_missing_training_images_are_named(folder: Path) -> None:
    (folder / export.TRAIN).unlink()
    with chdir(folder):
        assert "is missing" in refusal(export.main, export.TRAIN)


def test_what_is_good_is_exported(folder: Path) -> None:
    with chdir(folder):
        export.main()
    assert onnxruntime.InferenceSession(folder / export.EXPORTED)


@pytest.mark.parametrize(
    "path", [export.MODEL, export.TEST, export.METRICS, export.TRAINING, export.PREDICTIONS, export.SUMMARY]
)
@pytest.mark.parametrize(
    "content", [None, b"", b"\xff", b"[1]", b'{"loss": NaN}', b'{"loss": "low"}', b'{"a":' * 10**5]
)
def test_what_is_missing_or_damaged_is_refused_before_anything_is_written(
    folder: Path, path: Path, content: bytes | None
) -> None:
    (folder / path).unlink()
    if content is not None:
        (folder / path).write_bytes(content)
    with chdir(folder):
        message = refusal(export.main, path)
        assert ("is missing" if content is None else "is damaged") in message
        assert not export.EXPORTED.exists()


def test_the_model_of_the_pipeline_gives_its_predictions(finished: Path) -> None:
    content = (finished / export.EXPORTED).read_bytes()
    given = onnxruntime.InferenceSession(content).get_modelmeta().custom_metadata_map
    assert given["architecture"] == "logistic"
    assert json.loads(given["classes"]) == list("0123456789")
    assert given["dataset"] == "optdigits"
    assert json.loads(given["metrics"]) == json.loads((finished / export.METRICS).read_text())
    predictions = pd.read_csv(finished / "metrics/predictions.csv")
    _, probabilities = predict_onnx(content, load_dataset(finished / export.TEST, CLASSES).images, 100)
    assert (probabilities.argmax(axis=1) == predictions.predicted).all()
    assert probabilities.max(axis=1) == pytest.approx(predictions.confidence, abs=1e-5)
