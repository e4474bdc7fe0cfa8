"""The training loop."""

import math
from collections.abc import Iterator
from typing import Any

from digits.dataset import Dataset, to_pixels
from digits.params import params_error
from digits.scoring import loss_and_accuracy, predict

import torch
from torch import nn
from torch.nn import functional

EVALUATION_BATCH_SIZE = 1000


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


def build_optimizer(
    name: str, parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer `name`: sgd, adam or adamw; `momentum` counts for sgd alone."""
    match name:
        case "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
        case "adam":
            return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    raise ValueError(f"no optimizer {name!r}")


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Dataset,
    val: Dataset,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Train `model` in place, and yield the metrics of each epoch as it ends.

    The training metrics come from the batches themselves, each scored just before its update, so they describe the
    model on its way through the epoch; the validation metrics describe it at the end.

    Yields:
        epoch (from 1), train_loss, train_accuracy, val_loss, val_accuracy (None without validation images), lr.

    Raises:
        UserError: the loss is no longer finite.
    """
    order = torch.Generator().manual_seed(seed)
    device = train.labels.device
    for epoch in range(1, epochs + 1):
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for batch in torch.randperm(len(train), generator=order).to(device).split(batch_size):
            images, labels = train.images.index_select(0, batch), train.labels.index_select(0, batch)
            logits = model(to_pixels(images))
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum()
        lr = optimizer.param_groups[0]["lr"]
        train_loss = loss_sum.item() / len(train)
        val_loss, val_accuracy = None, None
        if len(val) > 0:
            val_loss, val_accuracy = loss_and_accuracy(predict(model, val.images, EVALUATION_BATCH_SIZE), val.labels)
        if not math.isfinite(train_loss + (val_loss or 0.0)):
            raise params_error(f"train.lr: the loss is no longer finite in epoch {epoch}, got lr {lr:g}; lower it")
        yield {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": correct.item() / len(train),
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "lr": lr,
        }
