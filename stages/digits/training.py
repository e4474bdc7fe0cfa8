"""The training loop."""

import math
from collections.abc import Iterator
from typing import Any

from digits.augmentation import Augmentation
from digits.dataset import Dataset
from digits.model import Classifier
from digits.networks import CLASSES
from digits.optimizer import Gradient, Lbfgs, Optimizer
from digits.params import params_error
from digits.schedule import Schedule
from digits.scoring import loss_and_accuracy, predict

import torch

# Images per forward pass of the validation images.
VAL_BATCH_SIZE = 1000
# Batches whose metrics are computed together: one at a time, that would take a tenth of the training.
BATCHES_PER_SCORE = 100


def resolve_device(name: str) -> torch.device:
    """The device that `name` (auto, cpu, cuda or mps) stands for on this machine.

    Raises:
        UserError: this machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if not available[name]:
        raise params_error(f"train.device: this machine has no such device, got {name}; take auto or cpu")
    return torch.device(name)


def fit(
    model: Classifier,
    gradient: Gradient,
    optimizer: Optimizer | Lbfgs,
    schedule: Schedule,
    train: Dataset,
    val: Dataset,
    *,
    augmentation: Augmentation | None,
    batch_size: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Train `model` in place, and yield the metrics of each epoch as it ends.

    The training metrics come from the batches themselves, each scored just before its update, so they describe the
    model on its way through the epoch, on augmented images; the validation metrics describe it at the end.

    Args:
        model: its dropout draws from PyTorch's global generator.
        gradient: of the loss of `model`.
        optimizer: of the parameters of `model`.
        schedule: the learning rate, and for how many epochs.
        augmentation: of the images of every batch, None for none.
        batch_size: images per update; the last batch of an epoch may have fewer.
        seed: of the order of the images and of their augmentation.

    Yields:
        epoch (from 1), train_loss, train_accuracy, val_loss and val_accuracy (None without validation images), lr (that
        of the epoch's last update).

    Raises:
        UserError: the loss or a parameter is no longer finite.
    """
    epochs = schedule.epochs
    generator = torch.Generator().manual_seed(seed)
    updates = math.ceil(len(train) / batch_size)
    for epoch in range(epochs):
        # Half an update on, so that neither a rise nor a fall begins or ends with an update of no effect.
        lrs = [schedule.lr_at((epoch + (update + 0.5) / updates) / epochs) for update in range(updates)]
        train_loss, train_accuracy = train_epoch(gradient, optimizer, train, augmentation, batch_size, lrs, generator)
        val_loss, val_accuracy = None, None
        if len(val) > 0:
            val_loss, val_accuracy = loss_and_accuracy(predict(model, val.images, VAL_BATCH_SIZE), val.labels)
        finite = [parameter.isfinite().all() for parameter in model.parameters()]
        if not (math.isfinite(train_loss + (val_loss or 0.0)) and all(finite)):
            raise params_error(
                f"train.lr: the loss is no longer finite in epoch {epoch + 1}, got lr {schedule.lr:g}; lower it"
            )
        yield {
            "epoch": epoch + 1,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "lr": lrs[-1],
        }


def train_epoch(
    gradient: Gradient,
    optimizer: Optimizer | Lbfgs,
    train: Dataset,
    augmentation: Augmentation | None,
    batch_size: int,
    lrs: list[float],
    generator: torch.Generator,
) -> tuple[float, float]:
    """Train for an epoch with the learning rates `lrs`, one for each update; return its mean loss and its accuracy."""
    loss_sum, correct = 0.0, 0
    order = torch.randperm(len(train), generator=generator).to(train.labels.device)
    lr = iter(lrs)
    for batches in order.split(BATCHES_PER_SCORE * batch_size):
        labels = train.labels.index_select(0, batches)
        logits = torch.empty(CLASSES, len(batches), device=labels.device)
        parts = batches.split(batch_size), labels.split(batch_size), logits.split(batch_size, dim=1)
        for batch, batch_labels, batch_logits in zip(*parts, strict=True):
            images = train.images.index_select(0, batch)
            if augmentation:
                images = augmentation(images, generator)
            batch_logits.copy_(optimizer.step(gradient, images, batch_labels, next(lr)))
        loss, accuracy = loss_and_accuracy(logits.T, labels)
        loss_sum += loss * len(batches)
        correct += round(accuracy * len(batches))
    return loss_sum / len(train), correct / len(train)
