"""The training loop against the plain one that everybody writes."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import ToTensor

from digits.dataset import Dataset
from digits.foundation.stage import UserError
from digits.models.classifier import Classifier, build_layers, predict, to_pixels
from digits.training.gradients import Backpropagation, ClosedForm, Gradient
from digits.training.loop import Training, fit, resolve_device
from digits.training.optimizers import Optimizer
from digits.training.schedules import Schedule
from samples import CLASSES, some_digits, some_tensors
from small_networks import build

TRAIN, VAL, EMPTY = some_digits(0, 730), some_digits(730, 1000), some_digits(0, 0)
IMAGES, LABELS = some_tensors(0, 730)
VAL_IMAGES, VAL_LABELS = some_tensors(730, 1000)


def baseline() -> Classifier:
    return Classifier(build_layers("logistic", {}, CLASSES, seed=0))


def train(
    model: Classifier,
    val: Dataset = VAL,
    optimizer: Optimizer | None = None,
    label_smoothing: float = 0.0,
    batch_size: int = 100,
    **schedule: Any,
) -> list[dict[str, Any]]:
    optimizer = optimizer or Optimizer("sgd", model.parameters(), weight_decay=0.0, exact=True)
    generator = torch.Generator().manual_seed(7)
    training = Training(model, optimizer, ClosedForm(model, label_smoothing), generator, batch_size)
    constant: dict[str, Any] = {"name": "constant", "lr": 0.1, "warmup": 0.0, "epochs": 3, "size": 2, "gamma": 0.5}
    return list(fit(training, Schedule(**constant | schedule), TRAIN, val))


@pytest.mark.parametrize(
    ("name", "options", "reference"),
    [
        ("sgd", {}, torch.optim.SGD),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.01}, torch.optim.SGD),
        ("sgd", {"momentum": 0.9, "nesterov": True}, torch.optim.SGD),
        ("adam", {"weight_decay": 0.01}, torch.optim.Adam),
        ("adamw", {"weight_decay": 0.01}, torch.optim.AdamW),
    ],
)
@pytest.mark.parametrize(("mean_and_std", "label_smoothing"), [((0.0, 1.0), 0.0), ((0.13, 0.31), 0.2)])
def test_the_weights_are_those_of_the_plain_loop(
    name: str, options: dict[str, Any], reference: Any, mean_and_std: tuple[float, float], label_smoothing: float
) -> None:
    model = Classifier(build_layers("logistic", {}, CLASSES, seed=3), *mean_and_std)
    linear = nn.Linear(784, 10)
    linear.load_state_dict(model.layers[1].state_dict())
    exact = mean_and_std == (0.0, 1.0)
    optimizer = Optimizer(name, model.parameters(), exact=exact, **{"weight_decay": 0.0} | options)
    rows = train(model, optimizer=optimizer, label_smoothing=label_smoothing, lr=0.01)

    peer = reference(linear.parameters(), lr=0.01, **options)
    pixels = (to_pixels(IMAGES).flatten(1) - mean_and_std[0]) / mean_and_std[1]
    generator = torch.Generator().manual_seed(7)
    for row in rows:
        loss_sum = correct = 0.0
        for batch in torch.randperm(730, generator=generator).split(100):
            logits = linear(pixels[batch])
            labels = LABELS[batch]
            peer.zero_grad()
            nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing).backward()
            peer.step()
            loss_sum += nn.functional.cross_entropy(logits, labels).item() * len(batch)
            correct += (logits.argmax(1) == labels).sum().item()
        assert row["train_loss"] == pytest.approx(loss_sum / 730, rel=1e-5)
        assert row["train_accuracy"] == pytest.approx(correct / 730, abs=2 / 730)
    torch.testing.assert_close(model.layers[1].weight, linear.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.layers[1].bias, linear.bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", ["logistic", "small_cnn"])
def test_what_is_no_digit_gets_equal_probabilities_and_is_not_scored(network: str) -> None:
    model = build(network)
    others = Dataset(VAL.images, np.full(len(VAL), CLASSES))
    exact = network == "logistic"
    gradient: Gradient = ClosedForm(model, 0.0) if exact else Backpropagation(model, 0.0, "float32", False)
    optimizer = Optimizer("adam", model.parameters(), weight_decay=0.0, exact=exact)
    training = Training(model, optimizer, gradient, torch.Generator(), 50)
    schedule = Schedule("constant", 0.003, 0.0, 8, size=1, gamma=0.5)
    *_, row = fit(training, schedule, TRAIN.extended(others, 1), EMPTY)
    assert row["train_accuracy"] > 0.9  # a fourth of all the images belongs to no class
    taught, unseen = (predict(model, torch.from_numpy(each.images), 500) for each in (others, TRAIN))
    assert taught.softmax(dim=1).amax(dim=1).mean() < 0.7 < unseen.softmax(dim=1).amax(dim=1).mean()


def test_pixels_are_those_of_totensor() -> None:
    expected = torch.stack([ToTensor()(image.numpy()) for image in IMAGES[:50]])
    floats = IMAGES[:50].float()
    for _ in range(2):  # the first time leaves the images as they are
        assert torch.equal(to_pixels(floats), expected)
    assert torch.equal(to_pixels(IMAGES[:50]), expected)


def test_an_epoch_ends_with_the_validation_images_if_there_are_any() -> None:
    model = baseline()
    row = train(model, epochs=1)[0]
    logits = model(to_pixels(VAL_IMAGES))
    assert row["val_loss"] == pytest.approx(nn.functional.cross_entropy(logits, VAL_LABELS).item(), rel=1e-5)
    assert row["val_accuracy"] == pytest.approx((logits.argmax(1) == VAL_LABELS).double().mean().item())
    assert (row["epoch"], row["lr"]) == (1, 0.1)
    row = train(model, val=EMPTY, epochs=1)[0]
    assert row["val_loss"] is row["val_accuracy"] is None


def test_initial_weights_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    build_layers("logistic", {}, CLASSES, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("val", "batch_size", "lr"), [(VAL, 100, 1e38), (EMPTY, 730, math.inf)])
def test_a_loss_or_a_weight_that_is_not_finite_is_an_error(val: Dataset, batch_size: int, lr: float) -> None:
    with pytest.raises(
        UserError, match=rf"train\.lr: the loss is no longer finite in epoch 1, got lr {re.escape(f'{lr:g}')}; "
    ):
        train(baseline(), val=val, epochs=1, batch_size=batch_size, lr=lr)


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, [1, 1, 1, 1, 1]),
        ("linear", 0.0, [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", 0.0, [1, 0.853553, 0.5, 0.146447, 0]),
        ("constant", 0.5, [0, 0.5, 1, 1, 1]),
        ("linear", 0.5, [0, 0.5, 1, 0.5, 0]),
        ("cosine", 0.5, [0, 0.5, 1, 0.5, 0]),
        ("step", 0.0, [1, 1, 0.5, 0.5, 0.25]),
        ("step", 0.5, [0, 0.5, 0.5, 0.5, 0.25]),
    ],
)
def test_schedules_of_the_learning_rate(schedule: str, warmup: float, expected: list[float]) -> None:
    chosen = Schedule(schedule, 0.1, warmup, epochs=8, size=4, gamma=0.5)
    lrs = [chosen.lr_at(progress) for progress in (0, 0.25, 0.5, 0.75, 1)]
    assert lrs == pytest.approx([0.1 * factor for factor in expected], abs=1e-7)


def test_the_schedule_spans_the_training() -> None:
    rows = train(baseline(), epochs=4, name="linear", warmup=0.5, lr=0.2)
    assert [row["lr"] for row in rows] == pytest.approx([0.09375, 0.19375, 0.10625, 0.00625])


def test_a_device_must_be_there_for_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"train\.device: this machine has no such device, got mps; "):
        resolve_device("mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert resolve_device("auto", processes=2) == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")  # of torchrun, on each of two machines
    with pytest.raises(
        UserError, match=r"train\.processes: must be at most 1 on this machine, one for each GPU, got 2; "
    ):
        resolve_device("mps", processes=2)
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert resolve_device("auto", processes=2) == torch.device("cuda")
    assert chosen == [0]
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    with pytest.raises(
        UserError, match=r"train\.processes: must be at most 1 on this machine, one for each GPU, got 2; "
    ):
        resolve_device("cuda", processes=2)
