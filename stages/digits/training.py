"""The training loop."""

import math
from collections.abc import Iterator
from typing import Any

from digits.dataset import Dataset
from digits.model import Classifier
from digits.optimizer import Optimizer
from digits.params import params_error
from digits.scoring import loss_and_accuracy, predict
from digits.softmax_regression import CLASSES, SoftmaxRegression

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


def lr_factor(schedule: str, warmup: float, progress: float) -> float:
    """What the learning rate is multiplied by, in [0, 1].

    It rises linearly over the share `warmup` of the training; then it stays (constant), or falls to 0 along a line
    (linear) or half a cosine (cosine).

    Args:
        schedule: constant, linear or cosine.
        warmup: in [0, 1).
        progress: share of the training that is done, in [0, 1].
    """
    if progress < warmup:
        return progress / warmup
    after_warmup = (progress - warmup) / (1 - warmup)
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 - after_warmup
        case "cosine":
            return (1 + math.cos(math.pi * after_warmup)) / 2
    raise ValueError(f"no schedule {schedule!r}")


def fit(
    model: Classifier,
    optimizer: Optimizer,
    train: Dataset,
    val: Dataset,
    *,
    lr: float,
    schedule: str,
    warmup: float,
    batch_size: int,
    epochs: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Train `model` in place, and yield the metrics of each epoch as it ends.

    The training metrics come from the batches themselves, each scored just before its update, so they describe the
    model on its way through the epoch; the validation metrics describe it at the end.

    Args:
        lr, schedule, warmup: the learning rate of an update is `lr` times `lr_factor`.

    Yields:
        epoch (from 1), train_loss, train_accuracy, val_loss and val_accuracy (None without validation images), lr (that
        of the epoch's last update).

    Raises:
        UserError: the loss is no longer finite.
    """
    regression = SoftmaxRegression(model)
    generator = torch.Generator().manual_seed(seed)
    updates, all_updates = 0, epochs * math.ceil(len(train) / batch_size)
    for epoch in range(1, epochs + 1):
        loss_sum, correct = 0.0, 0
        order = torch.randperm(len(train), generator=generator).to(train.labels.device)
        for batches in order.split(BATCHES_PER_SCORE * batch_size):
            labels = train.labels.index_select(0, batches)
            logits = torch.empty(CLASSES, len(batches), device=labels.device)
            parts = batches.split(batch_size), labels.split(batch_size), logits.split(batch_size, dim=1)
            for batch, batch_labels, batch_logits in zip(*parts, strict=True):
                # Half an update on, so that neither a rise nor a fall begins or ends with an update of no effect.
                update_lr = lr * lr_factor(schedule, warmup, (updates + 0.5) / all_updates)
                batch_logits.copy_(regression.gradient(train.images.index_select(0, batch), batch_labels))
                optimizer.step(update_lr)
                updates += 1
            loss, accuracy = loss_and_accuracy(logits.T, labels)
            loss_sum += loss * len(batches)
            correct += round(accuracy * len(batches))
        train_loss, val_loss, val_accuracy = loss_sum / len(train), None, None
        if len(val) > 0:
            val_loss, val_accuracy = loss_and_accuracy(predict(model, val.images, VAL_BATCH_SIZE), val.labels)
        if not math.isfinite(train_loss + (val_loss or 0.0)):
            raise params_error(f"train.lr: the loss is no longer finite in epoch {epoch}, got lr {lr:g}; lower it")
        yield {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": correct / len(train),
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "lr": update_lr,
        }
