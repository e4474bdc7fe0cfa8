"""Runs that differ in their seed alone, and how much they differ in accuracy."""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from scipy.special import stdtrit

from digits.scoring import wilson_interval
from experiments.runs import SEED, Run

METRICS = {"val": "val_accuracy", "test": "accuracy"}


def by_recipe(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of two or more runs that differ in their seed alone, each sorted by seed.

    The group with the best validation accuracy comes first, those without validation images last.
    """
    groups: dict[str, dict[int, Run]] = defaultdict(dict)  # a repeated run still counts as one seed
    for run in sorted(runs, key=lambda run: run.params[SEED]):
        groups[run.key_without(SEED)][run.params[SEED]] = run
    several = [list(group.values()) for group in groups.values() if len(group) > 1]
    return sorted(several, key=lambda group: -fmean(run.metrics.get(METRICS["val"], 0) for run in group))


def title(group: Sequence[Run], base: Run) -> str:
    """How a group differs from the first run, and which seeds it has."""
    differences = [f"{name}={value}" for name, value in group[0].changes(base).items()]
    if group[0].inputs != base.inputs:
        differences.append("other code or data")
    seeds = ", ".join(str(run.params[SEED]) for run in group)
    return f"{' '.join(differences) or f'parameters of {base.name}'}; seeds {seeds}"


def splits_of(group: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """By split, "val" or "test": the runs' accuracies, their mean and standard deviation, and two intervals."""
    splits = {}
    images = {"val": group[0].val_size, "test": int(group[0].metrics.get("images", 0))}
    for split, metric in METRICS.items():
        if all(metric in run.metrics for run in group):
            accuracies = [run.metrics[metric] for run in group]
            mean = fmean(accuracies)
            splits[split] = {
                "images": images[split],
                "accuracies": accuracies,
                "mean": mean,
                "sd": stdev(accuracies),
                "interval_by_seeds": interval_by_seeds(accuracies),
                "interval_by_images": wilson_interval(round(mean * images[split]), images[split]),
            }
    return splits


def interval_by_seeds(accuracies: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean over all seeds, from the accuracies of two or more of them."""
    count, mean = len(accuracies), fmean(accuracies)
    margin = float(stdtrit(count - 1, 0.975)) * stdev(accuracies) / math.sqrt(count)
    return max(0.0, mean - margin), min(1.0, mean + margin)


def as_json(group: Sequence[Run], base: Run) -> dict[str, Any]:
    """A group with all its numbers, unrounded."""
    return {
        "params": group[0].changes(base),
        "same_code_and_data": group[0].inputs == base.inputs,
        "runs": [run.name for run in group],
        "seeds": [run.params[SEED] for run in group],
        **splits_of(group),
    }
