"""How good predictions are, and the lines in which train says so, which tools that run it read."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from digits.models.exact import exact_mean, log, softmax

DIVERGED = "the loss is no longer finite"  # in the error with which train ends
# The line about an epoch: its number and the validation accuracy.
PROGRESS = re.compile(r"epoch +(\d+)/.* val loss \S+ acc (\S+) ")


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities, float64 (N, classes), in exact arithmetic; not finite if the logits are not."""
    # With so few classes, NumPy takes a fraction of the time if they come first.
    by_class = np.ascontiguousarray(logits.T, dtype=np.float64)
    shifted, _, totals = softmax(by_class)
    logarithms: np.ndarray = shifted - log(totals)
    return logarithms.T


def loss_and_accuracy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy per image, in nats, and accuracy: the share of images whose largest logit is the label's.

    The logits are float (N, classes), N > 0, the labels int64 (N,).
    """
    log_likelihoods = log_softmax(logits)[np.arange(len(labels)), labels]
    correct = logits.argmax(axis=1) == labels
    return 0.0 - exact_mean(log_likelihoods), correct.mean().item()


def score(correct: int, images: int) -> dict[str, Any]:
    """The accuracy, its 95 % interval `accuracy_low` to `accuracy_high`, and the numbers of `errors` and `images`."""
    low, high = wilson_interval(correct, images)
    accuracy = {"accuracy": correct / images, "accuracy_low": low, "accuracy_high": high}
    return accuracy | {"errors": images - correct, "images": images}


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion, `trials` > 0.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    z = 1.959963984540054  # 97.5 % quantile of the normal distribution
    proportion = successes / trials
    center = proportion + z * z / (2 * trials)
    margin = z * math.sqrt(proportion * (1 - proportion) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (center - margin) / scale), min(1.0, (center + margin) / scale)


def progress(row: Mapping[str, Any], epochs: int, seconds: float) -> str:
    """A line of at most 80 characters about an epoch, which `PROGRESS` matches if there are validation images."""
    val = f"  val loss {row['val_loss']:.4f} acc {row['val_accuracy']:.4f}" if row["val_loss"] is not None else ""
    epoch = f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"
    return f"{epoch}  train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.4f}{val}  {seconds:.1f} s"
