"""The exported model gives PyTorch's answers, in the same bytes every time, and is not written where that fails."""

import json
import math
import re
import shutil
from contextlib import chdir
from functools import cache
from pathlib import Path

import export
from bad_input import refusal
from conftest import CLASSES, IMAGES, ROOT, Run, some_digits
from digits.data.dataset import load_dataset, save_dataset
from digits.evaluation.network import Network
from digits.foundation.files import write_csv
from digits.foundation.stage import UserError
from digits.models.model_file import Model, save_model
from digits.models.networks import layers_of
from digits.models.onnx_export import predict_onnx, to_onnx
from small_networks import NETWORKS, build, info_of

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import scipy.special
import torch
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
    return to_onnx(model(network), METADATA)


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
    path.with_suffix(".onnx").write_bytes(to_onnx(load_model(path), json.loads(sys.argv[1])))
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
    export.compare(expected, *predict_onnx(to_onnx(large, METADATA), IMAGES, 1000))


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that export reads."""
    saved = model("logistic")
    save_model(tmp_path / export.MODEL, saved.tensors, saved.info)
    save_dataset(tmp_path / export.TEST, some_digits(0, 20))
    probabilities = softmax(Network(saved).predict(IMAGES[:20], 20))
    rows = zip(probabilities.argmax(axis=1), probabilities.max(axis=1), strict=True)
    write_csv(tmp_path / export.PREDICTIONS, [{"predicted": p, "confidence": float(c)} for p, c in rows])
    (tmp_path / export.METRICS).write_text('{"accuracy": 0.5, "images": 20}')
    return tmp_path


def test_what_is_good_is_exported(folder: Path) -> None:
    with chdir(folder):
        export.main()
    assert onnxruntime.InferenceSession(folder / export.EXPORTED)


@pytest.mark.parametrize("path", [export.MODEL, export.TEST, export.METRICS, export.PREDICTIONS])
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
