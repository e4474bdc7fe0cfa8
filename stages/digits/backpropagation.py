"""The gradient of any network, by autograd."""

from digits.dataset import to_pixels
from digits.model import Classifier

import torch
from torch.nn import functional


class Backpropagation:
    """Sets `grad` of a model's parameters to the gradient of the mean cross-entropy.

    Args:
        model: its parameters get the gradients.
        label_smoothing: share of the probability, in [0, 1), that is spread over all classes.
        precision: float32; or bfloat16 where autocast takes it to be safe, weights and updates staying float32.
        channels_last: let images and weights of convolutions lie in memory with the channels innermost.
    """

    def __init__(self, model: Classifier, label_smoothing: float, precision: str, channels_last: bool) -> None:
        self.model = model.to(memory_format=torch.channels_last) if channels_last else model
        self.label_smoothing = label_smoothing
        self.bfloat16 = precision == "bfloat16"

    def gradient(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Set the gradients for a batch.

        Args:
            images: uint8 or float32 (N, 28, 28), 0 to 255.
            labels: int64 (N,).

        Returns:
            The logits, float32 (10, N).
        """
        self.model.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits: torch.Tensor = self.model(to_pixels(images)).float()
        functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing).backward()
        return logits.detach().T
