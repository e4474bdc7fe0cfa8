"""How often does the interval of tools/compare.py --seeds hold the true difference?

Example: python benchmarks/verdict_coverage.py

Simulates recipes whose true accuracies are known, each time on new images and
with new seeds, and rewrites the table in docs/is-the-difference-real.md.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bench import ROOT
from command import Parser
from doc_tables import write_table
from experiments.crossed import crossed
from tables import table

PAGE = ROOT / "docs/is-the-difference-real.md"
SEEDS = [3, 6, 10]
DRAWS = 2000


class Scenario(NamedTuple):
    """Two recipes: their true accuracies, and the standard deviation between seeds of each one's true accuracy.

    An image is classified correctly if its ease for both recipes, that for one of them, and chance, independent normal
    variates with these variances, add up to more than a threshold.
    """

    images: int
    accuracies: tuple[float, float]
    sd: float
    ease: float = 0.8
    own_ease: float = 0.1
    chance: float = 0.1


LINEAR = 0.97, 0.02, 0.01  # whose seeds differ on few images
SCENARIOS = [
    Scenario(10_000, (0.86, 0.86), 0.002, *LINEAR),
    Scenario(10_000, (0.86, 0.863), 0, *LINEAR),
    Scenario(10_000, (0.97, 0.975), 0.003),
    Scenario(10_000, (0.996, 0.996), 0),
    Scenario(10_000, (0.996, 0.996), 0.0002),
    Scenario(10_000, (0.996, 0.9965), 0.0002),
    Scenario(360, (0.86, 0.863), 0.002, *LINEAR),
    Scenario(360, (0.97, 0.97), 0),
    Scenario(360, (0.996, 0.9965), 0.0002),
]


def main() -> None:
    Parser(__doc__).parse_args()
    rows = []
    for scenario in SCENARIOS:
        accuracies = " and ".join(f"{100 * accuracy:.4g}" for accuracy in scenario.accuracies)
        found = [f"{100 * coverage(scenario, seeds, DRAWS):.1f}" for seeds in SEEDS]
        rows.append([f"{scenario.images:,}", accuracies, f"{100 * scenario.sd:.2g}", *found])
        print(*rows[-1], sep="  ", flush=True)
    header = ["images", "true accuracies, %", "sd between seeds", *(f"{seeds} seeds" for seeds in SEEDS)]
    write_table(PAGE, "coverage", table(header, rows, markdown=True))


def coverage(scenario: Scenario, seeds: int, draws: int) -> float:
    """The share of simulated experiments whose interval holds the true difference."""
    rng = np.random.default_rng(0)
    truth = scenario.accuracies[1] - scenario.accuracies[0]
    intervals = [crossed(differences(scenario, seeds, rng)).interval() for _ in range(draws)]
    return sum(low <= truth <= high for low, high in intervals) / draws


def differences(scenario: Scenario, seeds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Right answers of the second recipe less those of the first, int64 (seeds, images), in a simulated experiment."""
    ease = math.sqrt(scenario.ease) * rng.standard_normal(scenario.images)
    first, second = (
        answers(
            ease + math.sqrt(scenario.own_ease) * rng.standard_normal(scenario.images), accuracy, scenario, seeds, rng
        )
        for accuracy in scenario.accuracies
    )
    return second - first


def answers(
    ease: NDArray[np.float64], accuracy: float, scenario: Scenario, seeds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Whether each seed of a recipe of this accuracy gets images of this ease right, int64 (seeds, images)."""
    threshold = -ndtri(accuracy)
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    seed_sd = scenario.sd / density  # in units of ease
    shift = threshold * math.sqrt(1 + seed_sd**2) + seed_sd * rng.standard_normal((seeds, 1))
    right = np.tile(ease > threshold, (seeds, 1))
    near = np.abs(ease - threshold) < 6 * math.sqrt(scenario.chance)  # elsewhere chance is too small to matter
    chance = math.sqrt(scenario.chance) * rng.standard_normal((seeds, int(near.sum())))
    right[:, near] = ease[near] + chance > shift
    return right.astype(np.int64)


if __name__ == "__main__":
    main()
