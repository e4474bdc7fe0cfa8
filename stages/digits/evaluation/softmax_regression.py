"""Softmax regression, scored and explained by NumPy: importing PyTorch would take longer than all the rest."""

import numpy as np

from digits.models.model_file import Model


class SoftmaxRegression:
    """A trained model of the architecture logistic.

    It computes in float64, with the normalisation of the pixels folded into the weights, and rounds to float32, where
    numbers that are too large for other users of the model become infinite.
    """

    def __init__(self, model: Model) -> None:
        weight, bias, mean, std = (
            model.tensors[name].astype(np.float64) for name in ("layers.1.weight", "layers.1.bias", "mean", "std")
        )
        self.weight = weight / std
        self.bias = bias - mean * self.weight.sum(axis=1)

    def predict(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        """Logits, float32 (N, classes), of images, uint8 (N, 28, 28), `batch_size` at a time."""
        starts = range(0, len(images), batch_size)
        return np.concatenate([self._logits(images[start : start + batch_size]) for start in starts])

    def slope(self, images: np.ndarray, label: int) -> np.ndarray:
        """What `mean_saliency` asks for: the same for all images, the weights."""
        return _round((self.weight[label] - self.weight.mean(axis=0)).reshape(28, 28))

    def _logits(self, images: np.ndarray) -> np.ndarray:
        return _round(images.reshape(len(images), -1) / 255 @ self.weight.T + self.bias)


def _round(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
