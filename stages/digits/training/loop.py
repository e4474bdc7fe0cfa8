"""The training loop."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from digits.dataset import Dataset
from digits.foundation.params import params_error
from digits.models.classifier import Classifier
from digits.scoring import DIVERGED, loss_and_accuracy
from digits.training.augmentation import Augmentation
from digits.training.gradients import Gradient
from digits.training.optimizers import Lbfgs, Optimizer
from digits.training.processes import ALONE, Processes
from digits.training.schedules import Schedule

# Training metrics are computed for this many images at once: fewer would take a tenth of the training time, and more do
# not stay in the processor's cache.
IMAGES_PER_SCORE = 8000


def resolve_device(name: str, processes: int = 1) -> torch.device:
    """The device that `name` (auto, cpu, cuda or mps) means on this machine, for so many processes that train together.

    A GPU serves one of them, and the processes of a Mac's GPU cannot be connected. Raises a `UserError` if this machine
    has no such device, or not one for each process.
    """
    gpus = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if name == "auto":
        name = next((gpu for gpu in gpus if gpus[gpu]), "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if not gpus[name]:
        raise params_error(f"train.device: this machine has no such device, got {name}; use auto or cpu")
    # As torchrun says. Every process refuses, since only the first one on a machine says why.
    started = 1 if "WORLD_SIZE" in os.environ else processes
    here = int(os.environ.get("LOCAL_WORLD_SIZE", started)) if name == "cuda" else processes
    if here > gpus[name]:
        raise params_error(
            f"train.processes: must be at most {gpus[name]} on this machine, one for each GPU, got {here}; set "
            "train.device to cpu"
        )
    if name == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(name)


@dataclass
class Training:
    """How a model is trained, and everything that changes meanwhile."""

    model: Classifier  # its dropout draws from PyTorch's global generator
    optimizer: Optimizer | Lbfgs  # for the parameters of `model`
    gradient: Gradient  # of the loss
    generator: torch.Generator  # for the order of the images and their augmentation
    batch_size: int  # images per update; the last batch of an epoch may have fewer
    augmentation: Augmentation | None = None  # applied to every batch
    processes: Processes = ALONE  # that train the model together
    rows: list[dict[str, Any]] = field(default_factory=list)  # metrics of the epochs so far

    def state_dict(self) -> dict[str, Any]:
        """A state for `load_state_dict`, also in another process."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "dropout": self._global_generator().get_rng_state(),
            "rows": self.rows,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned, as if nothing had happened in between."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self._global_generator().set_rng_state(state["dropout"])
        self.rows = state["rows"]

    def _global_generator(self) -> Any:
        device = self.model.mean.device
        return torch if device.type == "cpu" else torch.get_device_module(device)


def fit(training: Training, schedule: Schedule, train: Dataset, val: Dataset) -> Iterator[dict[str, Any]]:
    """Train the model in place, starting from the state of `training`, and yield a row of metrics after each epoch.

    The row: epoch (from 1), train_loss, train_accuracy, val_loss and val_accuracy (None without validation images), and
    lr (of the epoch's last update). The training metrics come from the batches, each scored just before its update, so
    they describe the changing model during the epoch, on augmented images. The validation metrics describe the model at
    the end of the epoch. Raises a `UserError` if the loss, a parameter or a running statistic is no longer finite.
    """
    model, processes, epochs = training.model, training.processes, schedule.epochs
    device = model.mean.device
    updates = math.ceil(len(train) / training.batch_size)
    images, labels, val_images = (from_dlpack(each).to(device) for each in (train.images, train.labels, val.images))
    for epoch in range(len(training.rows), epochs):
        # Taken at the middle of each update, so that no update at the start or the end has a learning rate of 0.
        lrs = [schedule.lr_at((epoch + (update + 0.5) / updates) / epochs) for update in range(updates)]
        if processes.count > 1:  # dropout draws other numbers in every process, and the same ones after resuming
            torch.manual_seed(hash((training.generator.initial_seed(), epoch, processes.rank)))
        train_loss, train_accuracy = train_epoch(training, images, labels, lrs)
        processes.follow_first(model.buffers())  # statistics that each gathers from its own images
        val_loss, val_accuracy = validate(training, val_images, val.labels)
        finite = [tensor.isfinite().all() for tensor in model.state_dict().values()]
        if not (math.isfinite(train_loss + (val_loss or 0.0)) and all(finite)):
            raise params_error(f"train.lr: {DIVERGED} in epoch {epoch + 1}, got lr {schedule.lr:g}; lower it")
        row: dict[str, Any] = {"epoch": epoch + 1, "train_loss": train_loss, "train_accuracy": train_accuracy}
        row |= {"val_loss": val_loss, "val_accuracy": val_accuracy, "lr": lrs[-1]}
        training.rows.append(row)
        yield row


def train_epoch(
    training: Training, images: torch.Tensor, labels: torch.Tensor, lrs: list[float]
) -> tuple[float, float]:
    """Train for an epoch, with a learning rate per update; mean loss and accuracy on the images that have a class."""
    loss_sum, correct, scored = 0.0, 0, 0
    order = torch.randperm(len(labels), generator=training.generator).to(labels.device)
    lr, size = iter(lrs), training.batch_size
    for batches in order.split(max(1, IMAGES_PER_SCORE // size) * size):
        shuffled = labels.index_select(0, batches)
        logits = torch.zeros(training.model.classes, len(batches), device=labels.device)
        parts = batches.split(size), shuffled.split(size), logits.split(size, dim=1)
        for batch, batch_labels, batch_logits in zip(*parts, strict=True):
            share = training.processes.share(len(batch))
            batch_images = images.index_select(0, batch[share])
            if training.augmentation:
                batch_images = training.augmentation(batch_images, training.generator, len(batch), share)
            batch_logits[:, share] = training.optimizer.step(
                training.gradient, batch_images, batch_labels[share], next(lr), len(batch)
            )
        training.processes.sum([logits])
        known = shuffled < training.model.classes
        if count := int(known.sum()):
            loss, accuracy = loss_and_accuracy(logits.T[known].cpu().numpy(), shuffled[known].cpu().numpy())
            loss_sum, correct, scored = loss_sum + loss * count, correct + round(accuracy * count), scored + count
    return loss_sum / scored, correct / scored


def validate(training: Training, images: torch.Tensor, labels: np.ndarray) -> tuple[float | None, float | None]:
    """Loss and accuracy on the validation images; None if there are none."""
    if len(labels) == 0:
        return None, None
    logits = torch.zeros(len(labels), training.model.classes, device=images.device)
    share = training.processes.share(len(labels))
    logits[share] = training.gradient.predict(images[share]).float()
    training.processes.sum([logits])
    return loss_and_accuracy(logits.cpu().numpy(), labels)
