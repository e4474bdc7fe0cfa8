"""Scores, calibration, confusions and saliency, against scikit-learn, SciPy and the formula."""

import numpy as np
import pytest
import scipy.special
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from digits.evaluation import tables
from digits.evaluation.network import Network
from digits.evaluation.predictions import REFUSED, choose_scorer, least_logit
from digits.evaluation.saliency import mean_saliency
from digits.scoring import log_softmax, wilson_interval
from samples import ACTUAL, CLASSES, CONFIDENCE, IMAGES, MNIST, PREDICTED, RANDOM
from small_networks import random_model

IMAGES = IMAGES[:500]


def test_confusions_are_those_of_scikit_learn() -> None:
    counts = tables.count_confusions(ACTUAL, PREDICTED, CLASSES)
    assert np.array_equal(counts, confusion_matrix(ACTUAL, PREDICTED))
    rows = tables.list_confusions(counts, MNIST.classes)
    assert len(rows) == 100
    for name in MNIST.classes:
        assert sum(row["share"] for row in rows if row["actual"] == name) == pytest.approx(1)

    digits = tables.list_classes(counts, MNIST.classes)
    precision, recall, _, support = precision_recall_fscore_support(ACTUAL, PREDICTED)
    assert [row["precision"] for row in digits] == pytest.approx(precision)
    assert [row["recall"] for row in digits] == pytest.approx(recall)
    assert [row["images"] for row in digits] == list(support)
    assert sum(row["errors"] for row in digits) == (ACTUAL != PREDICTED).sum()

    # A class that never occurs.
    counts = tables.count_confusions(np.array([1, 1]), np.array([1, 2]), 3)
    cat, *_ = tables.list_classes(counts, ["cat", "dog", "mouse"])
    assert cat == {"class": "cat", "images": 0, "errors": 0, "precision": 0.0, "recall": 0.0}


@pytest.mark.parametrize("bins", [2, 15])
def test_reliability_is_that_of_scikit_learn(bins: int) -> None:
    rows = tables.reliability(CONFIDENCE, ACTUAL == PREDICTED, bins)
    accuracy, confidence = calibration_curve(ACTUAL == PREDICTED, CONFIDENCE, n_bins=bins)
    assert [row["accuracy"] for row in rows] == pytest.approx(accuracy)
    assert [row["confidence"] for row in rows] == pytest.approx(confidence)
    shares = np.array([row["share"] for row in rows])
    assert shares.sum() == pytest.approx(1)
    assert tables.expected_calibration_error(rows) == pytest.approx((shares * np.abs(accuracy - confidence)).sum())

    # Certainty belongs to the last bin.
    (row,) = tables.reliability(np.array([1.0, 1.0]), np.array([True, False]), 10)
    assert (row["bin_low"], row["bin_high"], row["accuracy"]) == (0.9, 1.0, 0.5)


def test_saliency_of_softmax_regression_is_its_weights_and_0_without_images() -> None:
    model = random_model("logistic")
    saliency = mean_saliency(choose_scorer(model, 100).slope, IMAGES, ACTUAL, CLASSES)
    weights = model.tensors["layers.1.weight"].reshape(10, 28, 28) / 0.31
    assert saliency == pytest.approx((weights - weights.mean(axis=0)) * (IMAGES / 255).std(axis=0), abs=1e-6)
    saliency = mean_saliency(Network(model, 100).slope, IMAGES, np.full(len(IMAGES), 3), CLASSES)
    assert np.flatnonzero(saliency.any(axis=(1, 2))).tolist() == [3]  # the other classes have no images


def test_numpy_answers_as_pytorch_does() -> None:
    model = random_model("logistic")
    by_numpy, by_pytorch, in_small_batches = choose_scorer(model, 100), Network(model, 100), Network(model, 7)
    for count in (1, 300):
        images, labels = IMAGES[:count], ACTUAL[:count]
        assert by_numpy.predict(images) == pytest.approx(by_pytorch.predict(images), abs=1e-4)
        assert in_small_batches.predict(images) == pytest.approx(by_pytorch.predict(images), abs=1e-4)
        assert mean_saliency(by_numpy.slope, images, labels, CLASSES) == pytest.approx(
            mean_saliency(by_pytorch.slope, images, labels, CLASSES), abs=1e-6
        )


@pytest.mark.parametrize("count", [1, 7, 500, 5000])
def test_hardly_any_validation_image_is_refused(count: int) -> None:
    logits = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    refused = (logits.max(axis=1) < least_logit(logits)).sum()
    assert refused == int(REFUSED * count)


def test_log_softmax_is_that_of_scipy() -> None:
    logits = RANDOM.normal(scale=[[1], [100], [10_000]], size=(3, 10))
    assert log_softmax(logits) == pytest.approx(scipy.special.log_softmax(logits, axis=1))


@pytest.mark.parametrize(("successes", "trials"), [(8571, 10000), (0, 10), (10, 10), (1, 360), (359, 360)])
def test_interval_is_that_of_scipy(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
