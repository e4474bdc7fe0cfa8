"""Networks, scored and explained by PyTorch."""

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from digits.models.classifier import predict, restore, to_pixels
from digits.models.model_file import Model


class Network:
    """The `Scorer` of a trained model of any architecture, on one thread, with `batch_size` images at a time."""

    def __init__(self, model: Model, batch_size: int) -> None:
        torch.set_num_threads(1)
        self.classifier, self.batch_size = restore(model), batch_size

    def predict(self, images: np.ndarray) -> np.ndarray:
        return predict(self.classifier, from_dlpack(images), self.batch_size).numpy()

    def slope(self, images: np.ndarray, label: int) -> np.ndarray:
        pixels = to_pixels(from_dlpack(images)).requires_grad_()
        logits = self.classifier(pixels)
        (gradient,) = torch.autograd.grad((logits[:, label] - logits.mean(dim=1)).sum(), pixels)
        slope: np.ndarray = gradient.mean(dim=(0, 1)).numpy()
        return slope
