"""Predictions and how good they are."""

import math

from digits.data.dataset import to_pixels

import torch
from torch import nn


@torch.inference_mode()
def predict(model: nn.Module, images: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Logits, float32 (N, 10), of images, uint8 (N, 28, 28), `batch_size` at a time, in evaluation mode."""
    was_training = model.training
    model.eval()
    logits = torch.cat([model(to_pixels(batch)) for batch in images.split(batch_size)])
    model.train(was_training)
    return logits


def loss_and_accuracy(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Mean cross-entropy per image, in nats, and accuracy: the share of images whose largest logit is the label's.

    Args:
        logits: float32 (N, 10), N > 0.
        labels: int64 (N,).
    """
    logits, labels = logits.cpu(), labels.cpu()
    # With so few classes, log-softmax is much faster along the first dimension, argmax along the last.
    log_likelihoods = logits.T.contiguous().log_softmax(dim=0).gather(0, labels[None])
    correct = logits.contiguous().argmax(dim=1) == labels
    return -log_likelihoods.double().mean().item(), correct.double().mean().item()


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
