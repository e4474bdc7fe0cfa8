"""Models that are trained as one against the same models trained one after the other."""

import math

from conftest import some_digits
from digits.models.classifier import Classifier, build_layers
from digits.training.gradients import SoftmaxRegression
from digits.training.loop import Training, fit
from digits.training.optimizers import Optimizer
from digits.training.schedules import Schedule
from softmax_regressions import Stack, Trial, fit_stack

import pytest
import torch

TRAIN, VAL = some_digits(0, 730), some_digits(730, 1000)


def train(trials: list[Trial], name: str = "sgd", momentum: float = 0.0) -> tuple[Stack, list[tuple[float, float]]]:
    """The models, and the loss and accuracy of each at the end."""
    stack = Stack(trials)
    optimizer = Optimizer(name, [stack.weight], weight_decay=0.0, momentum=momentum)
    *_, scores = fit_stack(stack, optimizer, cosine(1.0), TRAIN, VAL, batch_size=100)
    return stack, scores


def cosine(lr: float) -> Schedule:
    return Schedule("cosine", lr, warmup=0.0, epochs=3, size=1, gamma=1.0)


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0)])
def test_each_model_of_a_stack_is_what_it_is_alone(name: str, momentum: float) -> None:
    trials = [Trial(0.001, 0.0, seed=3), Trial(0.02, 0.1, seed=4), Trial(0.02, 0.0, seed=3), Trial(0.1, 0.01, seed=5)]
    stack, scores = train(trials, name, momentum)
    for trial, weight, score in zip(trials, stack.weight * stack.lr, scores, strict=True):
        model = Classifier(build_layers("logistic", {}, trial.seed))
        regression = SoftmaxRegression(model, label_smoothing=0.0)
        optimizer = Optimizer(name, model.parameters(), trial.weight_decay, momentum)
        training = Training(model, optimizer, torch.Generator().manual_seed(0))
        *_, row = fit(training, regression.gradient, cosine(trial.lr), TRAIN, VAL, augmentation=None, batch_size=100)
        torch.testing.assert_close(weight[:, :-1], regression.weight.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(weight[:, -1], regression.bias.detach(), rtol=1e-4, atol=1e-5)
        assert score == pytest.approx((row["val_loss"], row["val_accuracy"]), rel=1e-4)


def test_a_model_that_diverges_leaves_the_others_alone() -> None:
    trial, diverging = Trial(0.02, 0.0, seed=3), Trial(1e38, 0.0, seed=3)
    (score,), (with_another, diverged) = (train(trials)[1] for trials in ([trial], [trial, diverging]))
    assert with_another == pytest.approx(score, rel=1e-4)
    assert not math.isfinite(diverged[0])
