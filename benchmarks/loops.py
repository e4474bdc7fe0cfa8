"""Training loops for 60,000 images, each as a function that trains for one more epoch per call."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from digits.dataset import Dataset
from digits.models.classifier import Classifier, build_layers, to_pixels
from digits.training.gradients import ClosedForm
from digits.training.loop import Training, fit
from digits.training.optimizers import Optimizer
from digits.training.schedules import Schedule

Epoch = Callable[[], object]
CLASSES = 10  # of MNIST


def autograd(train: Dataset, batch_size: int, gather: str) -> Epoch:
    """nn.Linear and autograd on float tensors in memory; `gather` is "X[i]" or "index_select"."""
    images, labels = map(torch.tensor, (train.images, train.labels))
    pixels = to_pixels(images).flatten(1)
    linear = nn.Linear(784, CLASSES)
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.001)

    def epoch() -> None:
        for batch in torch.randperm(len(labels)).split(batch_size):
            inputs = pixels[batch] if gather == "X[i]" else pixels.index_select(0, batch)
            loss = functional.cross_entropy(linear(inputs), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def floor(images: torch.Tensor, batch_size: int) -> Epoch:
    """Nothing but gathering the images of each batch, (N, 784), as floats, and the two matrix products."""
    weight = torch.randn(10, 784)

    def epoch() -> None:
        for batch in torch.randperm(len(images)).split(batch_size):
            inputs = images.index_select(0, batch).float()
            (weight @ inputs.T) @ inputs

    return epoch


def ours(train: Dataset, val: Dataset, batch_size: int, optimizer: str) -> Epoch:
    """The pipeline's loop, including training metrics and the scoring of the validation images."""
    model = Classifier(build_layers("logistic", {}, CLASSES, seed=0))
    return partial(next, fit_logistic(model, train, val, optimizer, "constant", 0.001, batch_size, epochs=10**6))


def fit_logistic(
    model: Classifier,
    train: Dataset,
    val: Dataset,
    optimizer: str,
    schedule: str,
    lr: float,
    batch_size: int,
    epochs: int,
) -> Iterator[object]:
    """The pipeline's loop for softmax regression, an epoch for each item."""
    chosen = Optimizer(optimizer, model.parameters(), weight_decay=0.0, exact=True)
    gradient = ClosedForm(model, label_smoothing=0.0)
    training = Training(model, chosen, gradient, torch.Generator().manual_seed(0), batch_size)
    return fit(training, Schedule(schedule, lr, warmup=0.0, epochs=epochs, size=1, gamma=1.0), train, val)


def tutorial_cnn(train: Dataset) -> tuple[Classifier, Epoch]:
    """The CNN of the best-known PyTorch example for MNIST, and a function that trains it for one more epoch.

    Two convolutions, two linear layers, dropout; Adadelta, learning rate 1, times 0.7 after every epoch; batches of 64;
    normalised pixels. No DataLoader.
    """
    layers = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, CLASSES),
    )  # fmt: skip
    images, labels = map(torch.tensor, (train.images, train.labels))
    model = Classifier(layers, mean=0.1307, std=0.3081)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)

    def epoch() -> None:
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(to_pixels(images[batch])), labels[batch]).backward()
            optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.7

    return model, epoch
