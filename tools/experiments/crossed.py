"""How certain is a difference in accuracy for other seeds and other images together?

Runs that differ in their seed are scored on the same images, and both are samples. So a value is modelled as the mean +
an effect of its seed + an effect of its image + a rest: the two-way crossed random-effects model, with which radiology
compares methods by readers who all see the same cases.
Sources: J. Cornfield and J. W. Tukey, Average values of mean squares in factorials, Annals of Mathematical Statistics
27 (1956); F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 2
(1946); B. D. Gallas, G. A. Pennello and K. J. Myers, Multireader multicase variance analysis for binary data, Journal
of the Optical Society of America A 24 (2007).
"""

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from experiments.statistics import LEVEL, Interval


class Crossed(NamedTuple):
    """Values of two or more seeds on two or more images: how many, their mean, and their mean squares."""

    seeds: int
    images: int
    mean: float
    ms_seeds: float
    ms_images: float
    ms_rest: float

    @property
    def sd(self) -> float:
        """The standard deviation between seeds of their mean over the images."""
        return math.sqrt(self.ms_seeds / self.images)

    @property
    def share_of_images(self) -> float | None:
        """The share in [0, 1] of the variance between seeds that is no more than the chance of these images, if any is.

        Source: K. Jordan, Calibrated chaos: variance between runs of neural network training is harmless and
        inevitable, arXiv 2304.01910 (2023).
        """
        return min(1.0, self.ms_rest / self.ms_seeds) if self.ms_seeds else None

    @property
    def variance_of_images(self) -> float:
        """The variance of the images' effects."""
        return max(0.0, self.ms_images - self.ms_rest) / self.seeds

    def margin(self, level: float = LEVEL) -> float:
        """Half the width of the interval of the mean, which misses it with probability `level`.

        The degrees of freedom leave out the rest, whose part is tiny. Where nothing varies, the rule of three holds:
        J. A. Hanley and A. Lippman-Hand, If nothing goes wrong, is everything all right? JAMA 249 (1983).
        """
        if not self.ms_images + self.ms_seeds:
            return -math.log(level) / self.images
        # A component of variance that is estimated below 0 counts as 0.
        total = max(self.ms_images + self.ms_seeds - self.ms_rest, self.ms_images, self.ms_seeds)
        parts = self.ms_images**2 / (self.images - 1) + self.ms_seeds**2 / (self.seeds - 1)
        return float(stdtrit(total**2 / parts, 1 - level / 2)) * math.sqrt(total / (self.seeds * self.images))

    def interval(self, level: float = LEVEL) -> Interval:
        """The mean -+ its margin, as far as it lies in [-1, 1]."""
        margin = self.margin(level)
        return max(-1.0, self.mean - margin), min(1.0, self.mean + margin)

    def images_needed(self, level: float = LEVEL) -> int:
        """How many images an interval without 0 takes at least, with any number of seeds; the mean is not 0."""
        quantile = float(stdtrit(self.images - 1, 1 - level / 2))
        return math.ceil(self.variance_of_images * (quantile / self.mean) ** 2)

    def needed(self, level: float = LEVEL) -> tuple[int | None, int | None]:
        """How many more seeds, if its interval is to exclude 0; if no number would do, how many images at least."""

        def suffice(seeds: int) -> bool:
            ms_images = self.ms_rest + seeds * self.variance_of_images
            return self._replace(seeds=seeds, ms_images=ms_images).margin(level) < abs(self.mean)

        if (images := self.images_needed(level)) >= self.images:
            return None, images
        return bisect_left(range(sys.maxsize), True, lo=self.seeds + 1, key=suffice) - self.seeds, None


def crossed(values: NDArray[np.integer]) -> Crossed:
    """The model of `values`, integers (seeds, images), two or more of each."""
    seeds, images = values.shape
    of_mean = int(values.sum()) ** 2 / values.size  # sums of squares, as are the next
    of_seeds = float((values.sum(axis=1) ** 2).sum() / images) - of_mean
    of_images = float((values.sum(axis=0) ** 2).sum() / seeds) - of_mean
    rest = float((values**2).sum()) - of_mean - of_seeds - of_images
    freedom = seeds - 1, images - 1, (seeds - 1) * (images - 1)
    # Rounding must not make a 0 negative.
    mean_squares = [max(0.0, each) / count for each, count in zip((of_seeds, of_images, rest), freedom, strict=True)]
    return Crossed(seeds, images, float(values.mean()), *mean_squares)


def sign_flip_test(differences: Sequence[int]) -> float:
    """The exact p of a paired test: of all ways to flip the signs, the share whose sum is at least as far from 0.

    Source: R. A. Fisher, The design of experiments (1935), section 21.
    """
    ways = Counter({0: 1})
    for difference in differences:
        flipped: Counter[int] = Counter()
        for total, count in ways.items():
            flipped[total + difference] += count
            flipped[total - difference] += count
        ways = flipped
    extreme = sum(count for total, count in ways.items() if abs(total) >= abs(sum(differences)))
    return extreme / (1 << len(differences))
