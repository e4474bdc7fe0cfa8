"""Every network with everything that it can be trained with."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from digits.models.classifier import build_layers, predict, to_pixels
from digits.scoring import loss_and_accuracy
from digits.training import checkpoint
from digits.training.augmentation import Augmentation
from digits.training.checkpoint import Checkpoint
from digits.training.gradients import Backpropagation, ClosedForm, Gradient, target_table
from digits.training.loop import Training, fit
from digits.training.optimizers import Lbfgs, Optimizer
from digits.training.schedules import Schedule
from samples import CLASSES, some_digits, some_tensors
from small_networks import LRS, NETWORKS, build

IMAGES, LABELS = some_tensors(0, 50)
VAL = some_digits(600, 700)
COUNT, EPOCHS = 300, 3  # images of a training
DEEP = [name for name in NETWORKS if name != "logistic"]
TARGETS = torch.from_numpy(target_table(CLASSES, 0.1)).float()  # with label smoothing
OPTIMIZERS = [name for name in LRS if name != "lbfgs"]
SCHEDULES = ["constant", "linear", "cosine", "step"]
AFFINE = {"degrees": 10.0, "shift": 2.0, "scale": 0.1, "shear": 0.1}
AUGMENTATIONS = {
    "none": None,
    "affine": Augmentation(**AFFINE, alpha=0.0, sigma=1.0),
    "elastic": Augmentation(**AFFINE, alpha=34.0, sigma=4.0),
}


def logits_and_gradient(network: str, precision: str, channels_last: bool) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = build(network)
    logits = Backpropagation(model, 0.0, precision, channels_last)(IMAGES, LABELS, len(LABELS))
    gradients = [cast(torch.Tensor, parameter.grad).flatten() for parameter in model.parameters()]
    assert all(gradient.any() for gradient in gradients)  # each parameter counts
    return logits, torch.cat(gradients)


def start(network: str, optimizer: str, schedule: str, augmentation: str) -> tuple[Training, Iterator[dict[str, Any]]]:
    """A training on the bundled digits, in bfloat16 but for softmax regression, and its epochs."""
    torch.manual_seed(3)
    model = build(network)
    logistic = network == "logistic"
    gradient: Gradient = ClosedForm(model, 0.1) if logistic else Backpropagation(model, 0.1, "bfloat16", True)
    parameters = list(model.parameters())
    chosen: Optimizer | Lbfgs = Lbfgs(parameters, 1e-4, TARGETS)
    if optimizer != "lbfgs":
        chosen = Optimizer(optimizer, parameters, 1e-4, momentum=0.9, nesterov=True, exact=logistic)
    batch_size = COUNT if optimizer == "lbfgs" else 50
    generator = torch.Generator().manual_seed(0)
    training = Training(model, chosen, gradient, generator, batch_size, AUGMENTATIONS[augmentation])
    chosen_schedule = Schedule(schedule, LRS[optimizer], warmup=0.2, epochs=EPOCHS, size=1, gamma=0.5)
    return training, fit(training, chosen_schedule, some_digits(0, COUNT), VAL)


@pytest.mark.parametrize(
    ("network", "options", "count"),
    [
        ("logistic", {}, 784 * 10 + 10),
        ("mlp", {"width": 300, "depth": 1, "dropout": 0.0}, 784 * 300 + 300 + 300 * 10 + 10),
        ("mlp", {"width": 8, "depth": 3, "dropout": 0.0}, 784 * 8 + 8 + 2 * (8 * 8 + 8) + 8 * 10 + 10),
        # 156 + 2,416 + 48,120 + 10,164 + 850; LeCun et al. had 60,000 with the second convolution not fully connected.
        ("lenet5", {}, 61_706),
        ("small_cnn", {"width": 16, "dropout": 0.0}, 400 + 4_608 + 18_432 + 36_864 + 2 * 176 + 650),
        ("cnn", {"width": 16, "depth": 1, "dropout": 0.0}, 400 + 4_608 + 18_432 + 2 * (16 + 32 + 64) + 5_770),
    ],
)
def test_number_of_parameters(network: str, options: dict[str, Any], count: int) -> None:
    layers = build_layers(network, options, CLASSES, seed=0)
    assert sum(parameter.numel() for parameter in layers.parameters()) == count
    assert layers(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("network", DEEP)
def test_bfloat16_and_channels_last_agree_with_float32_and_channels_first(network: str) -> None:
    logits, gradient = logits_and_gradient(network, "float32", channels_last=False)
    assert (logits.shape, logits.dtype) == ((10, 50), torch.float32)
    logits_16, gradient_16 = logits_and_gradient(network, "bfloat16", channels_last=False)
    assert gradient_16.dtype == torch.float32
    assert not torch.equal(logits, logits_16)
    torch.testing.assert_close(logits_16, logits, rtol=0.02, atol=0.05)
    assert torch.cosine_similarity(gradient, gradient_16, dim=0) > 0.98
    logits_last, gradient_last = logits_and_gradient(network, "float32", channels_last=True)
    torch.testing.assert_close(logits_last, logits, rtol=1e-4, atol=1e-4)
    assert torch.cosine_similarity(gradient_last, gradient, dim=0) > 0.9999


# Each network, optimizer and augmentation meets all of the other kinds, and each schedule all optimizers.
COMBINATIONS = [
    (network, optimizer, SCHEDULES[(3 * i + j) % 4], [*AUGMENTATIONS][(i + j) % 3])
    for (i, network), (j, optimizer) in itertools.product(enumerate(NETWORKS), enumerate(OPTIMIZERS))
] + [("logistic", "lbfgs", "constant", "none")]


@pytest.mark.parametrize("arguments", COMBINATIONS, ids="-".join)
def test_everything_goes_with_everything_and_resumes_in_another_process_as_if_it_had_not_been_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str, str, str]
) -> None:
    monkeypatch.setattr(checkpoint, "ROOT", tmp_path)
    whole, epochs = start(*arguments)
    rows = list(epochs)
    untrained = predict(build(arguments[0]), torch.from_numpy(VAL.images), 100).numpy()
    assert rows[-1]["val_loss"] < loss_and_accuracy(untrained, VAL.labels)[0]

    part, epochs = start(*arguments)
    assert next(epochs) == rows[0]
    Checkpoint("a").save(part.state_dict())
    rest, epochs = start(*arguments)
    torch.manual_seed(99)
    rest.load_state_dict(Checkpoint("a").load() or {})
    assert list(epochs) == rows[1:]
    assert rest.rows == rows
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_seed_gives_the_same_weights_with_two_threads_too(network: str) -> None:
    torch.set_num_threads(2)
    try:
        trainings = [start(network, "sgd", "linear", "none") for _ in range(2)]
        for _, epochs in trainings:
            torch.manual_seed(3)
            next(epochs)
    finally:
        torch.set_num_threads(1)
    first, second = (torch.cat([*map(torch.ravel, training.model.state_dict().values())]) for training, _ in trainings)
    assert torch.equal(first, second)


def test_lbfgs_finds_the_minimum_that_its_objective_has() -> None:
    model = build("logistic")
    images, labels = some_tensors(0, 200)
    optimizer = Lbfgs(model.parameters(), weight_decay=0.01, targets=TARGETS)
    gradient = ClosedForm(model, 0.1)
    for _ in range(150):
        optimizer.step(gradient, images, labels, 1.0, len(labels))
    objective = torch.nn.functional.cross_entropy(model(to_pixels(images)), labels, label_smoothing=0.1) + sum(
        0.01 / 2 * parameter.square().sum() for parameter in model.parameters()
    )
    gradients = torch.autograd.grad(objective, list(model.parameters()))
    assert max(gradient.abs().max().item() for gradient in gradients) < 1e-4
