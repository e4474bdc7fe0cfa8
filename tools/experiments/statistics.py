"""How sure one can be of a difference between two classifiers that judged the same images.

Only images that one of them gets right and the other wrong tell which is better: `gained` is how many only the second
gets right, `lost` how many only the first does. Everything here is two-sided.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

LEVEL = 0.05  # a smaller p is evidence
POWER = 0.8  # share of the cases in which a difference should be seen
Z = NormalDist().inv_cdf(1 - LEVEL / 2)

Interval = tuple[float, float]


class Comparison(NamedTuple):
    """What there is to tell two classifiers apart by; p may be corrected for several comparisons."""

    images: int
    changed: int  # predictions, right or wrong
    gained: int
    lost: int
    p: float

    @property
    def difference(self) -> float:
        """The second's accuracy less the first's."""
        return (self.gained - self.lost) / self.images


def compare(judged: Sequence[tuple[int, int, int]]) -> Comparison:
    """Compare by the actual, the first's and the second's digit of each image."""
    right = [(first == actual, second == actual) for actual, first, second in judged]
    gained, lost = right.count((False, True)), right.count((True, False))
    changed = sum(first != second for _, first, second in judged)
    return Comparison(len(right), changed, gained, lost, mcnemar_test(gained, lost))


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p's that take account of how many there are."""
    p_values = holm([comparison.p for comparison in comparisons])
    return [comparison._replace(p=p) for comparison, p in zip(comparisons, p_values, strict=True)]


def wilson_interval(right: int, images: int) -> Interval:
    """The 95 % score interval of an accuracy.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    center = (right + Z * Z / 2) / (images + Z * Z)
    margin = Z / (images + Z * Z) * math.sqrt(right * (images - right) / images + Z * Z / 4)
    return max(0.0, center - margin), min(1.0, center + margin)


def mcnemar_test(gained: int, lost: int) -> float:
    """The exact p of McNemar's test: how likely fair coins are to share out the images as unevenly as this.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
    Psychometrika 12 (1947); with the binomial distribution in place of the normal one.
    """
    from scipy.stats import binomtest  # here, since it takes a second that `--help` need not wait for

    return 1.0 if gained == lost else float(binomtest(gained, gained + lost).pvalue)


def difference_interval(gained: int, lost: int, images: int) -> Interval:
    """The 95 % interval of the second's accuracy less the first's: Wald's, with an image added to each of the counts.

    It covers well from few images on, and with it a p near 0.05 and an interval that ends near 0 go together.
    Source: D. G. Bonett and R. M. Price, Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data, Journal of Educational and Behavioral Statistics 37 (2012).
    """
    up, down, total = gained + 1, lost + 1, images + 2
    center = (up - down) / total
    margin = Z * math.sqrt(((up + down) / total - center**2) / total)
    return max(-1.0, center - margin), min(1.0, center + margin)


def images_needed(discordant: float, difference: float, level: float = LEVEL) -> int:
    """The images it takes to see a difference of accuracies, not 0, in 80 % of the cases.

    Args:
        discordant: share of the images that only one of the two gets right.
        level: what p has to be below.

    Source: R. J. Connor, Sample size for testing differences in proportions for the paired-sample design,
    Biometrics 43 (1987).
    """
    chance, power = NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(POWER)
    root = chance * math.sqrt(discordant) + power * math.sqrt(discordant - difference**2)
    return math.ceil((root / difference) ** 2)


def detectable_difference(discordant: int, images: int, level: float = LEVEL) -> float | None:
    """The difference of accuracies that is seen in 80 % of the cases; None if there are too few images for any.

    Args:
        discordant: how many of the images only one of the two gets right.

    Source: Connor's formula, above, solved for the difference.
    """
    chance, power = NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(POWER)
    fewest = math.ceil((chance + power) ** 2)  # with fewer, not even if only one of the two gets them right
    if images < fewest:
        return None
    share = max(discordant, fewest) / images
    root = chance * math.sqrt(images) + power * math.sqrt(images - chance**2 + power**2)
    return math.sqrt(share) * root / (images + power**2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p corrected, so that in 95 % of the cases none below 0.05 is there by chance.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. of Statistics 6 (1979).
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def verdict(first: str, second: str, found: Comparison, comparisons: int) -> str:
    """A sentence to act on, about one of several comparisons of classifiers with these names."""
    images = f"{found.images:,} test images"
    if found.changed == 0:
        return f"{second} predicts the same as {first} for each of the {images}."
    if found.p < LEVEL:
        better, more = ("better", "more") if found.difference > 0 else ("worse", "fewer")
        count = f"{abs(found.gained - found.lost):,} {more} of {images} right"
        return f"{second} is {better} than {first}: it gets {count}, more than chance among images explains."
    discordant, level = found.gained + found.lost, LEVEL / comparisons  # Holm's method asks that of the smallest p
    no_evidence = f"No evidence of a difference between {second} and {first}: "
    seen = detectable_difference(discordant, found.images, level)
    if seen is None:
        return f"{no_evidence}{images} are too few to see any."
    no_evidence += f"with {images} one of about {100 * seen:.2f} points would be seen (80 % power); "
    if found.difference == 0:
        return f"{no_evidence}here, as many were gained as lost."
    needed = float(f"{images_needed(discordant / found.images, found.difference, level):.2g}")
    return f"{no_evidence}if the true one is the {100 * abs(found.difference):.2f} seen, it takes about {needed:,.0f}."
