"""Softmax regression in exact arithmetic: the same bits on every computer, for training and for evaluation."""

import math

import numpy as np

from digits.models import exact

WEIGHT_BITS = 34
PIXEL_BITS = 8
PIXELS = 28 * 28  # fewer than 2^10, so a sum over them takes 34 + 8 + 10 = 52 bits
SLOPE_BITS = 34  # for batches of up to 2^11 images, with which a sum over images takes 34 + 8 + 11 = 53 bits
BLOCK = 4096  # images at a time: they take 26 MB as float64


class SoftmaxRegression:
    """Logits and slopes, by matrix products of whole numbers, which have no rounding.

    The scaling and normalisation of the pixels are left out of the products,
    W (v / 255 - mean) / std = (W v) / (255 std) - (W 1) mean / std, so these are of the image values v, 0 to 255. The
    weight, float32 (classes, 784), and the bias, float32 (classes,), are shared with the caller, who may change them;
    `mean` and `std` are those of the pixels, in [0, 1].
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray, mean: float, std: float) -> None:
        self.weight, self.bias = weight, bias
        self.scale, self.shift = 1 / (255 * std), -mean / std

    def whole_weights(self) -> np.ndarray:
        """The weights, float64 (classes, 784), rounded to 34 bits of the largest."""
        unit = math.ldexp(1, exact.power_above(self.weight) - WEIGHT_BITS)
        return exact.rounded(self.weight.astype(np.float64), unit)

    def logits(self, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Logits, float64 (classes, N), of image values, float64 (N, 784), 0 to 255; both arguments are whole."""
        logits: np.ndarray = weight @ values.T
        logits *= self.scale
        logits += (self.bias + self.shift * weight.sum(axis=1) if self.shift else self.bias)[:, None]
        return logits

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Logits, float32 (N, classes), of images, uint8 (N, 28, 28); infinite where float32 has no such number."""
        weight = self.whole_weights()
        with np.errstate(over="ignore", invalid="ignore"):
            blocks = [self.logits(to_values(images[part]), weight).astype(np.float32) for part in in_blocks(images)]
        return np.concatenate(blocks, axis=1).T

    def slope(self, images: np.ndarray, label: int) -> np.ndarray:
        """What `mean_saliency` asks for, float32 (28, 28): the same for all images, the weights."""
        weight = self.whole_weights()
        slope = (weight[label] - weight.sum(axis=0) / len(weight)) * (255 * self.scale)
        with np.errstate(over="ignore"):
            rounded: np.ndarray = slope.astype(np.float32)
        return rounded.reshape(28, 28)

    def slope_sums(
        self, images: np.ndarray, labels: np.ndarray, targets: np.ndarray, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits, float64 (classes, N), and two sums over the images that give the gradient of the cross-entropy.

        With respect to the logits, the gradient is P - Y, with P the softmax and Y the targets: the slopes. Summed are
        slope times value, float64 (classes, 784), and slope, float64 (classes,).
        Source: C. M. Bishop, Pattern Recognition and Machine Learning (2006), equation 4.109.

        The images, uint8 or float32 (N, 28, 28), 0 to 255, are rounded to whole numbers. They are a batch of
        `batch_size`, at most 2^25, or a part of it; sums over its parts add up without rounding. The labels are
        int64 (N,), the targets, float64 (classes, labels), the probabilities of all classes (row) for each label
        (column).
        """
        unit, weight = slope_unit(batch_size), self.whole_weights()
        weight_sums, bias_sums, logits = np.zeros(self.weight.shape), np.zeros(len(self.bias)), []
        for part in in_blocks(images):
            values = to_values(images[part])
            logits.append(self.logits(values, weight))
            _, exponentials, totals = exact.softmax(logits[-1])
            exponentials /= totals
            exponentials -= targets[:, labels[part]]
            slopes = exact.rounded(exponentials, unit)
            weight_sums += slopes @ values
            bias_sums += slopes.sum(axis=1)
        return np.concatenate(logits, axis=1), weight_sums, bias_sums


def slope_unit(batch_size: int) -> float:
    """What slopes are rounded to, so that sums over a batch of their products with image values are exact.

    Raises a `ValueError` if the batch is larger than 2^25, with which slopes would keep fewer than 20 bits.
    """
    if batch_size > 2**25:
        raise ValueError(f"at most 2^25 images can be summed exactly, got {batch_size:,}")
    return math.ldexp(1, -min(SLOPE_BITS, exact.EXACT_BITS - PIXEL_BITS - exact.bits_of(batch_size)))


def to_values(images: np.ndarray) -> np.ndarray:
    """Images, uint8 or float32 (N, 28, 28), as whole numbers, float64 (N, 784)."""
    values = images.reshape(len(images), PIXELS).astype(np.float64)
    return values if images.dtype == np.uint8 else np.rint(values)


def in_blocks(images: np.ndarray) -> list[slice]:
    """The parts of so many images, at most `BLOCK` in each."""
    return [slice(start, start + BLOCK) for start in range(0, max(1, len(images)), BLOCK)]
