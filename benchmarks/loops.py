"""Training loops, some as functions that train for one more epoch per call."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import yaml
from torch import nn
from torch.nn import functional

from bench import ROOT
from digits.dataset import Dataset
from digits.models.classifier import Classifier, build_layers, to_pixels
from digits.training.augmentation import choose_augmentation
from digits.training.gradients import choose_gradient
from digits.training.loop import Training, fit
from digits.training.optimizers import choose_optimizer
from digits.training.params import TrainParams
from digits.training.schedules import Schedule

Epoch = Callable[[], object]
CLASSES = 10  # of MNIST


def autograd(train: Dataset, batch_size: int) -> Epoch:
    """nn.Linear and autograd on float tensors in memory."""
    images, labels = map(torch.tensor, (train.images, train.labels))
    pixels = to_pixels(images).flatten(1)
    linear = nn.Linear(784, CLASSES)
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.001)

    def epoch() -> None:
        for batch in torch.randperm(len(labels)).split(batch_size):
            loss = functional.cross_entropy(linear(pixels.index_select(0, batch)), labels[batch])
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


def ours(train: Dataset, val: Dataset, **others: Any) -> Epoch:
    """The pipeline's loop for the recipe baseline, including training metrics and the scoring of validation images."""
    return partial(next, fit_recipe(recipe_params("baseline", epochs=10**6, **others), train, val)[1])


def recipe_params(name: str, **others: Any) -> TrainParams:
    """Section train of params.yaml with the values of a recipe, and others in their place."""
    paths = ROOT / "params.yaml", ROOT / f"recipes/{name}.yaml"
    committed, recipe = (yaml.safe_load(path.read_text(encoding="utf-8"))["train"] for path in paths)
    return TrainParams(**committed | recipe | others)


def fit_recipe(params: TrainParams, train: Dataset, val: Dataset) -> tuple[Classifier, Iterator[object]]:
    """A classifier, and the pipeline's loop that trains it, an epoch for each item."""
    options = dict(getattr(params, params.model, {}))
    statistics = (0.13, 0.31) if params.normalize else ()  # of MNIST's pixels, about
    model = Classifier(build_layers(params.model, options, CLASSES, params.seed), *statistics)
    training = Training(
        model,
        choose_optimizer(params, model),
        choose_gradient(params, model),
        torch.Generator().manual_seed(0),
        params.batch_size,
        choose_augmentation(params),
    )
    schedule = Schedule(params.schedule, params.lr, params.warmup, params.epochs, **params.step.model_dump())
    return model, fit(training, schedule, train, val)
