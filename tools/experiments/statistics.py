"""How certain is the difference between two classifiers that were scored on the same images?

Only the images that one of them gets right and the other wrong tell which is better: `gained` is how many only the
second gets right, `lost` how many only the first. All tests and intervals are two-sided.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from scipy.special import bdtr

LEVEL = 0.05  # a smaller p counts as evidence
POWER = 0.8  # probability with which a difference should be detected
Z = NormalDist().inv_cdf(1 - LEVEL / 2)

BETTER, WORSE, SAME, NO_EVIDENCE = "better", "worse", "same predictions", "no evidence of a difference"

Interval = tuple[float, float]


class Comparison(NamedTuple):
    """The counts in which two classifiers differ, and the p of McNemar's test, possibly corrected."""

    images: int
    changed: int  # images whose predictions differ, right or wrong
    gained: int
    lost: int
    p: float

    @property
    def difference(self) -> float:
        """The second's accuracy minus the first's."""
        return (self.gained - self.lost) / self.images

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the difference."""
        return difference_interval(self.gained, self.lost, self.images)

    @property
    def verdict(self) -> str:
        """What p says of the second."""
        if self.changed == 0:
            return SAME
        if self.p >= LEVEL:
            return NO_EVIDENCE
        return BETTER if self.difference > 0 else WORSE


def compare(judged: Sequence[tuple[str, str, str]]) -> Comparison:
    """Compare two classifiers by the actual class, the first's and the second's prediction for each image."""
    correct = [(first == actual, second == actual) for actual, first, second in judged]
    gained, lost = correct.count((False, True)), correct.count((True, False))
    changed = sum(first != second for _, first, second in judged)
    return Comparison(len(correct), changed, gained, lost, mcnemar_test(gained, lost))


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with their p corrected by Holm's method."""
    p_values = holm([comparison.p for comparison in comparisons])
    return [comparison._replace(p=p) for comparison, p in zip(comparisons, p_values, strict=True)]


def mcnemar_test(gained: int, lost: int) -> float:
    """The exact p of McNemar's test: how likely fair coins are to split the images at least as unevenly as this.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
    Psychometrika 12 (1947); with the binomial distribution in place of the normal one.
    """
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def difference_interval(gained: int, lost: int, images: int) -> Interval:
    """The 95 % interval of the second's accuracy minus the first's: Wald's, with one image added to each count.

    Its coverage is good even for few images, and where p is near 0.05 it ends near 0.
    Source: D. G. Bonett and R. M. Price, Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data, Journal of Educational and Behavioral Statistics 37 (2012).
    """
    up, down, total = gained + 1, lost + 1, images + 2
    center = (up - down) / total
    margin = Z * math.sqrt(((up + down) / total - center**2) / total)
    return max(-1.0, center - margin), min(1.0, center + margin)


def images_needed(discordant: float, difference: float, level: float = LEVEL) -> int:
    """The number of images with which a test at this level detects a difference in accuracy, not 0, with 80 % power.

    `discordant` is the share of the images that only one of the two gets right.
    Source: R. J. Connor, Sample size for testing differences in proportions for the paired-sample design,
    Biometrics 43 (1987).
    """
    z_level, z_power = NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(POWER)
    root = z_level * math.sqrt(discordant) + z_power * math.sqrt(discordant - difference**2)
    return math.ceil((root / difference) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected so that, with 95 % probability, none is below 0.05 by chance.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. of Statistics 6 (1979).
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def conclusion(first: str, second: str, found: Comparison, comparisons: int) -> str:
    """The verdict as a sentence to act on; `comparisons` is how many of them p was corrected for."""
    images = f"{found.images:,} test images"
    if found.verdict == SAME:
        return f"{second} predicts the same as {first} for each of the {images}."
    if found.verdict != NO_EVIDENCE:
        more = "more" if found.verdict == BETTER else "fewer"
        count = f"{abs(found.gained - found.lost):,} {more} of {images} correct"
        return f"{second} is {found.verdict} than {first}: it gets {count}, more than chance among images explains."
    no_evidence = f"No evidence of a difference between {second} and {first}"
    if found.difference == 0:
        return f"{no_evidence}: gains and losses cancel out here."
    level = LEVEL / comparisons  # that Holm asks of the smallest p
    needed = float(f"{images_needed((found.gained + found.lost) / found.images, found.difference, level):.2g}")
    seen = f"{100 * abs(found.difference):.2f} points seen here"
    return f"{no_evidence}: to confirm the {seen} takes about {needed:,.0f} images (80 % power)."
