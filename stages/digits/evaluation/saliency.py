"""Saliency: which pixels a classifier looks at."""

from collections.abc import Callable

import numpy as np

IMAGES_PER_CLASS = 100


def mean_saliency(
    slope: Callable[[np.ndarray, int], np.ndarray], images: np.ndarray, labels: np.ndarray, classes: int
) -> np.ndarray:
    """How much a typical change of each pixel is evidence for a class, averaged over its first 100 images.

    This is the derivative, with respect to the pixel, of the class's logit minus the mean logit (softmax ignores what
    all share), times the pixel's standard deviation over the images (a pixel that is always blank has no effect). For
    images, uint8 (N, 28, 28), and a class, `slope` gives the mean of that derivative, (28, 28). The labels are
    int64 (N,); the result is float64 (classes, 28, 28), 0 for a class without images.
    """
    saliency = np.zeros((classes, 28, 28))
    for label in np.unique(labels).tolist():
        saliency[label] = slope(images[labels == label][:IMAGES_PER_CLASS], label)
    with np.errstate(invalid="ignore"):  # a slope may be infinite, which evaluate refuses
        saliency *= pixel_deviations(images)
    return saliency


def pixel_deviations(images: np.ndarray) -> np.ndarray:
    """The standard deviation of each pixel, float64 (28, 28) in [0, 0.5], over images, uint8 (N, 28, 28), N > 0."""
    total = images.sum(axis=0, dtype=np.int64)  # of integers, and so exact, like the sum of the squares
    squares = np.square(images, dtype=np.uint16).sum(axis=0, dtype=np.int64)
    deviations: np.ndarray = np.sqrt(squares * len(images) - total * total) / (len(images) * 255)
    return deviations
