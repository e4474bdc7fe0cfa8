"""Many softmax regressions trained as one, each with its own learning rate, weight decay and initial weights."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from digits.data.dataset import Dataset
from digits.evaluation.scoring import loss_and_accuracy
from digits.models.classifier import build_layers
from digits.models.networks import CLASSES
from digits.training.optimizers import Optimizer
from digits.training.schedules import Schedule

import numpy as np
import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Trial:
    """The settings of one model: a learning rate > 0, an L2 penalty, and the seed of its initial weights.

    The order of the images is the same for all models, since they share their batches.
    """

    lr: float
    weight_decay: float
    seed: int


class Stack:
    """M softmax regressions, stacked: one product gives all logits, another all gradients.

    Weights are kept divided by the learning rate of their model. A step of length 1 along the gradient then moves the
    weights themselves by a step of length lr, so that one optimizer, whose learning rate is 1, serves all models.

    Attributes:
        lr: float32 (M, 1, 1).
        weight: float32 (M, 10, 785), divided by `lr`; the last is the bias, the weight of a pixel that is always 1.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        linears = [cast(nn.Linear, build_layers("logistic", {}, trial.seed)[-1]) for trial in trials]
        weight = torch.stack([torch.cat([linear.weight, linear.bias[:, None]], dim=1) for linear in linears])
        self.lr = torch.tensor([trial.lr for trial in trials])[:, None, None]
        self.penalty = self.lr * torch.tensor([trial.weight_decay for trial in trials])[:, None, None]
        self.weight = weight.detach() / self.lr
        self.weight.grad = self.grad = torch.empty_like(self.weight)

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits, float32 (M, 10, N), of pixels, float32 (N, 785) in [0, 1]."""
        return (self.weight.flatten(0, 1) @ pixels.T).view(-1, CLASSES, len(pixels)).mul_(self.lr)

    def gradient(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Set `grad` to the gradient of mean cross-entropy and penalty with respect to the true weights.

        Args:
            values: uint8 (N, 785), as `with_bias` gives them.
            labels: int64 (N,).

        Returns:
            The logits, float32 (M, 10, N).
        """
        pixels = values / 255
        logits = self.logits(pixels)
        slope = logits.softmax(dim=1).sub_(torch.eye(CLASSES)[:, labels]).div_(len(labels))
        torch.mm(slope.flatten(0, 1), pixels, out=self.grad.flatten(0, 1))
        self.grad.addcmul_(self.weight, self.penalty)
        return logits


def with_bias(images: np.ndarray) -> torch.Tensor:
    """Images, uint8 (N, 28, 28), with the pixel that is always 1, uint8 (N, 785), 0 to 255."""
    return functional.pad(torch.from_numpy(images).flatten(1), (0, 1), value=255)


def fit_stack(
    stack: Stack, optimizer: Optimizer, schedule: Schedule, train: Dataset, val: Dataset, batch_size: int
) -> Iterator[list[tuple[float, float]]]:
    """Train all models in place; yield the loss and accuracy of each on the validation images after every epoch.

    Args:
        optimizer: of the weights of `stack`: sgd or adam, without a weight decay of its own.
        schedule: of a learning rate of 1, which those of the models are multiplied by.
        batch_size: images per update; the last batch of an epoch may have fewer.
    """
    labels = torch.from_numpy(train.labels)
    values, val_pixels = with_bias(train.images), with_bias(val.images) / 255
    generator = torch.Generator().manual_seed(0)
    updates = math.ceil(len(train) / batch_size)
    for epoch in range(schedule.epochs):
        for update, batch in enumerate(torch.randperm(len(train), generator=generator).split(batch_size)):
            lr = schedule.lr_at((epoch + (update + 0.5) / updates) / schedule.epochs)
            optimizer.step(stack.gradient, values.index_select(0, batch), labels.index_select(0, batch), lr)
        yield [loss_and_accuracy(logits.T.numpy(), val.labels) for logits in stack.logits(val_pixels)]
