"""The tables and figures that the plots are made of."""

from collections.abc import Callable
from pathlib import Path

from digits.data.optdigits import load_optdigits
from digits.evaluation.calibration import expected_calibration_error, reliability
from digits.evaluation.confusion import count_confusions, list_confusions, list_digits
from digits.evaluation.saliency import mean_saliency
from digits.figures.data import draw_data
from digits.figures.results import draw_confused, draw_curves, draw_most_wrong, draw_saliency
from digits.figures.style import save_figure, tile
from digits.models.classifier import Classifier
from digits.models.networks import build_layers

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

RANDOM = np.random.default_rng(0)
ACTUAL = RANDOM.integers(0, 10, 500)
PREDICTED = np.where(RANDOM.random(500) < 0.8, ACTUAL, RANDOM.integers(0, 10, 500))
CONFIDENCE = RANDOM.uniform(0.1, 1, 500)
IMAGES = load_optdigits()[0][:500]
NAMES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
CURVES = [{"epoch": str(epoch), **dict.fromkeys(NAMES, f"{0.1 * epoch}")} for epoch in (1, 2, 3)]
SALIENCY = RANDOM.normal(size=(10, 28, 28))


def test_confusions_are_those_of_scikit_learn() -> None:
    counts = count_confusions(ACTUAL, PREDICTED)
    assert np.array_equal(counts, confusion_matrix(ACTUAL, PREDICTED))
    rows = list_confusions(counts)
    assert len(rows) == 100
    for digit in range(10):
        assert sum(row["share"] for row in rows if row["actual"] == digit) == pytest.approx(1)

    digits = list_digits(counts)
    precision, recall, _, support = precision_recall_fscore_support(ACTUAL, PREDICTED)
    assert [row["precision"] for row in digits] == pytest.approx(precision)
    assert [row["recall"] for row in digits] == pytest.approx(recall)
    assert [row["images"] for row in digits] == list(support)
    assert sum(row["errors"] for row in digits) == (ACTUAL != PREDICTED).sum()


def test_a_digit_that_never_occurs_has_zeros() -> None:
    row = list_digits(count_confusions(np.array([1, 1]), np.array([1, 2])))[0]
    assert row == {"digit": 0, "images": 0, "errors": 0, "precision": 0.0, "recall": 0.0}


@pytest.mark.parametrize("bins", [2, 10, 15])
def test_reliability_is_that_of_scikit_learn(bins: int) -> None:
    rows = reliability(CONFIDENCE, ACTUAL == PREDICTED, bins)
    accuracy, confidence = calibration_curve(ACTUAL == PREDICTED, CONFIDENCE, n_bins=bins)
    assert [row["accuracy"] for row in rows] == pytest.approx(accuracy)
    assert [row["confidence"] for row in rows] == pytest.approx(confidence)
    shares = np.array([row["share"] for row in rows])
    assert shares.sum() == pytest.approx(1)
    assert expected_calibration_error(rows) == pytest.approx((shares * np.abs(accuracy - confidence)).sum())


def test_certainty_belongs_to_the_last_bin() -> None:
    (row,) = reliability(np.array([1.0, 1.0]), np.array([True, False]), 10)
    assert (row["bin_low"], row["bin_high"], row["accuracy"]) == (0.9, 1.0, 0.5)


def test_saliency_of_softmax_regression_is_its_weights() -> None:
    model = Classifier(build_layers("logistic", {}, seed=0), 0.13, 0.31)
    saliency = mean_saliency(model, torch.from_numpy(IMAGES), torch.from_numpy(ACTUAL))
    weights = model.state_dict()["layers.1.weight"].reshape(10, 28, 28) / 0.31
    spread = torch.from_numpy(IMAGES / 255).std(dim=0, correction=0).float()
    torch.testing.assert_close(saliency, (weights - weights.mean(dim=0)) * spread)
    assert not mean_saliency(model, torch.from_numpy(IMAGES[:0]), torch.from_numpy(ACTUAL[:0])).any()


def test_tiles_stand_in_rows_and_columns() -> None:
    images = np.arange(6, dtype=float).reshape(2, 3, 1, 1)
    assert tile(images, gap=1, fill=9).tolist() == [
        [9] * 7,
        [9, 0, 9, 1, 9, 2, 9],
        [9] * 7,
        [9, 3, 9, 4, 9, 5, 9],
        [9] * 7,
    ]


FIGURES: dict[str, Callable[[], Figure]] = {
    "data": lambda: draw_data("optdigits", IMAGES, {"train": ACTUAL, "val": ACTUAL[:0], "test": ACTUAL[:9]}),
    "most wrong": lambda: draw_most_wrong(IMAGES, ACTUAL, PREDICTED, CONFIDENCE),
    "no errors": lambda: draw_most_wrong(IMAGES, ACTUAL, ACTUAL, CONFIDENCE),
    "confused": lambda: draw_confused(IMAGES, ACTUAL, PREDICTED, CONFIDENCE),
    "nothing confused": lambda: draw_confused(IMAGES, ACTUAL, ACTUAL, CONFIDENCE),
    "curves": lambda: draw_curves(CURVES),
    "curves without validation": lambda: draw_curves([{**row, "val_loss": "", "val_accuracy": ""} for row in CURVES]),
    "saliency": lambda: draw_saliency(SALIENCY),
    "no saliency": lambda: draw_saliency(np.zeros((10, 28, 28))),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_a_title_and_the_same_bytes_every_time(tmp_path: Path, name: str) -> None:
    for file in ("a", "b"):
        figure = FIGURES[name]()
        assert figure.get_suptitle()
        save_figure(tmp_path / file, figure)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with Image.open(tmp_path / "a") as image:
        assert image.format == "PNG"
        assert image.width <= 1100
        assert len(set(image.convert("L").get_flattened_data())) > 20


def test_the_most_wrong_are_the_most_confident_errors() -> None:
    texts = [text.get_text() for text in draw_most_wrong(IMAGES, ACTUAL, PREDICTED, CONFIDENCE).axes[0].texts]
    wrong = np.flatnonzero(ACTUAL != PREDICTED)
    worst = wrong[CONFIDENCE[wrong].argmax()]
    assert texts[0] == f"{ACTUAL[worst]} → {PREDICTED[worst]}   {CONFIDENCE[worst]:.1%}"
    assert len(texts) == 32


def test_each_confusion_is_in_its_cell() -> None:
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    images[0], images[1], images[2] = 50, 100, 200
    figure = draw_confused(images, np.array([7, 7, 3]), np.array([2, 2, 3]), np.array([0.5, 0.9, 1.0]))
    canvas = 255 - np.asarray(figure.axes[0].images[0].get_array())
    cell = canvas[2 + 30 * 7 : 30 + 30 * 7, 2 + 30 * 2 : 30 + 30 * 2]
    assert (cell == 100).all()
    assert canvas.sum() == cell.sum()
