"""The exported model gives PyTorch's answers, in the same bytes every time, and is not written where that fails."""

import hashlib
import json
import math
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from scipy.special import softmax

import export
from bad_input import refusal
from conftest import ROOT
from digits.dataset import save_dataset
from digits.evaluation.network import Network
from digits.export.card import frequent_confusions
from digits.export.inputs import Prediction
from digits.export.onnx_model import compare, predict_onnx, to_onnx
from digits.foundation.files import write_csv
from digits.foundation.stage import UserError
from digits.models.model_file import save_model
from samples import IMAGES, LABELS, MNIST, some_digits
from small_networks import NETWORKS, random_model

METADATA = {"architecture": "of the test", "metrics": '{"accuracy": 0.5}'}


def predictions(probabilities: np.ndarray) -> list[Prediction]:
    """What evaluate writes about the first of the bundled digits."""
    names, confidences = map(str, probabilities.argmax(axis=1)), probabilities.max(axis=1).tolist()
    rows = zip(map(str, LABELS.tolist()), names, confidences, strict=False)
    return [Prediction(actual=a, predicted=p, confidence=c) for a, p, c in rows]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_file_gives_the_answers_of_pytorch_and_says_what_it_is(network: str) -> None:
    content = to_onnx(random_model(network), METADATA, "a card")
    for count, batch_size in ((1, 1), (100, 30)):
        logits, probabilities = predict_onnx(content, IMAGES[:count], batch_size)
        expected = Network(random_model(network), count).predict(IMAGES[:count])
        assert logits == pytest.approx(expected, abs=1e-4)
        assert probabilities == pytest.approx(softmax(expected, axis=1), abs=1e-5)

    session = onnxruntime.InferenceSession(content)
    described = [(node.name, node.type, node.shape) for node in (*session.get_inputs(), *session.get_outputs())]
    assert described == [
        ("pixels", "tensor(float)", ["images", 1, 28, 28]),
        ("probabilities", "tensor(float)", ["images", 10]),
        ("logits", "tensor(float)", ["images", 10]),
    ]
    assert session.get_modelmeta().custom_metadata_map == METADATA


def test_another_process_in_another_folder_writes_the_same_bytes(tmp_path: Path) -> None:
    models = [random_model(network) for network in NETWORKS]
    to_file = partial(to_onnx, metadata=METADATA, description="a card")
    with chdir(tmp_path), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        contents = list(pool.map(to_file, models))
    assert contents == [to_file(model) for model in models]
    assert not re.search(rb"/\w+/|\w\.py|site-packages", b"".join(contents))


def test_large_logits_may_differ_by_more() -> None:
    large = random_model("cnn", factor=1000.0)
    logits = Network(large, 1000).predict(IMAGES)
    assert np.abs(logits).max() > 50
    expected = predictions(softmax(logits, axis=1))
    compare(expected, MNIST.classes, *predict_onnx(to_onnx(large, METADATA, "a card"), IMAGES, 1000))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({3: 0.10003}, "2.0e-05"), ({7: 0.10003}, "2.0e-05"), ({3: math.nan}, "nan"), ({3: 0.05, 7: 0.10001}, "5.0e-02")],
)
def test_other_answers_than_those_of_evaluate_are_refused(changed: dict[int, float], expected: str) -> None:
    probabilities = np.full((20, 10), 0.1)
    probabilities[:, 3] = 0.10001
    rows, logits = predictions(probabilities), np.zeros((20, 10))
    assert compare(rows, MNIST.classes, logits, probabilities) == 0
    probabilities[5, [*changed]] = [*changed.values()]
    with pytest.raises(UserError, match=f"^{export.EXPORTED}: .*difference of {expected};"):
        compare(rows, MNIST.classes, logits, probabilities)
    # Classes that are as good as equal may change places.
    probabilities[5] = 0.1
    probabilities[:, 3:5] = 0.10001, 0.100008
    rows = [row.model_copy(update={"predicted": "4", "confidence": 0.100009}) for row in rows]
    assert compare(rows, MNIST.classes, logits, probabilities) < 1e-5


SIZES = {"train": 100, "val": 0, "test": 20, "drawings": 30}
OWN = {"drawings_accuracy": 0.75, "drawings_accuracy_low": 0.3, "drawings_accuracy_high": 0.95, "drawings_images": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that export reads."""
    saved = random_model("logistic")
    save_model(tmp_path / export.MODEL, saved.tensors, saved.info)
    save_dataset(tmp_path / export.TEST, some_digits(0, 20))
    probabilities = softmax(Network(saved, 20).predict(IMAGES[:20]), axis=1)
    write_csv(tmp_path / export.PREDICTIONS, [row.model_dump() for row in predictions(probabilities)])
    scores = {"accuracy": 0.5, "accuracy_low": 0.2993, "accuracy_high": 0.7007, "images": 20, "ece": 0.1} | OWN
    (tmp_path / export.METRICS).write_text(json.dumps(scores))
    (tmp_path / export.TRAINING).write_text('{"parameters": 7850}')
    save_dataset(tmp_path / export.TRAIN, some_digits(20, 120))
    summary = {"about": MNIST.model_dump(), **SIZES, "pixel_mean": 0.13, "pixel_std": 0.31}
    (tmp_path / export.SUMMARY).write_text(json.dumps(summary))
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    return tmp_path


def test_the_card_and_the_metadata_say_what_the_model_is(folder: Path) -> None:
    with chdir(folder):
        export.main()
    card = (folder / export.CARD).read_text(encoding="utf-8")
    model = onnx.load(folder / export.EXPORTED)
    assert model.doc_string == card
    given = {entry.key: entry.value for entry in model.metadata_props}
    assert (given["architecture"], given["dataset"]) == ("logistic", "mnist")
    assert json.loads(given["classes"]) == list("0123456789")
    assert json.loads(given["metrics"]) == json.loads((folder / export.METRICS).read_text())
    assert max(map(len, card.splitlines())) < 140
    assert card.startswith("# logistic, trained on mnist\n")
    digest = hashlib.sha256((folder / export.TRAIN).read_bytes()).hexdigest()
    numbers = ["50.00%", "29.93% to 70.07%", "75.00%", "30.00% to 95.00%", "calibration error is 0.100"]
    facts = ["7,850 parameters", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9.", "100 images", "30 of them are the user's own", digest]
    assert not [fact for fact in facts + numbers if fact not in card]
    params = yaml.safe_load(card.partition("```yaml")[2].strip("`\n"))
    committed = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert params == {section: committed[section] for section in ("download", "preprocess", "train")}


def test_the_card_names_the_most_frequent_confusions() -> None:
    pairs = ["71", "71", "71", "83", "83", "83", "11", "00"]
    rows = [Prediction(actual=pair[0], predicted=pair[1], confidence=1) for pair in pairs]
    assert frequent_confusions(rows).endswith(" 7 for 1 (3), 8 for 3 (3).")
    assert "no error" in frequent_confusions(rows[-2:])


@pytest.mark.parametrize(
    "path",
    [export.MODEL, export.TEST, export.METRICS, export.TRAINING, export.PREDICTIONS, export.SUMMARY, export.TRAIN],
)
def test_what_is_missing_or_damaged_is_refused_before_anything_is_written(folder: Path, path: Path) -> None:
    (folder / path).unlink()
    with chdir(folder):
        assert "is missing" in refusal(export.main, path)
        if path != export.TRAIN:  # of which only the hash counts
            for content in ("", "\udcff", "[1]", '{"loss": NaN}', '{"loss": 1}', '{"ece": "low"}', '{"a":' * 10**5):
                path.write_bytes(content.encode(errors="surrogateescape"))
                assert "is damaged" in refusal(export.main, path)
        assert not export.EXPORTED.exists()


def test_the_interval_of_the_drawings_comes_with_their_accuracy(folder: Path) -> None:
    metrics = json.loads((folder / export.METRICS).read_text())
    for name in OWN.keys() - {"drawings_accuracy"}:
        (folder / export.METRICS).write_text(json.dumps({key: metrics[key] for key in metrics if key != name}))
        with chdir(folder):
            assert f"expected {name}, got none" in refusal(export.main, export.METRICS)
