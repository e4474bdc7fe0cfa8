"""One recipe against another, over several seeds of each: numbers, tables, and what follows from them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.crossed import Crossed, crossed, sign_flip_test
from experiments.predictions import Group, model_of, read_groups
from experiments.statistics import BETTER, LEVEL, NO_EVIDENCE, WORSE, holm
from tables import labels, percents, probability, table

NOTES = "sd: between seeds; by images: how much of their variance is no more than chance among these images."
NOTES_OF_DIFFERENCES = (
    "Differences are on the seeds of both. Intervals are for other seeds and other images; of several, all hold with "
    "95 % probability. p: exact paired test by seed, for these images alone (Holm: corrected for the number of rows)."
)


class Difference(NamedTuple):
    """A group against the first on the seeds of both: the model, the error of its interval, and p alone and by Holm."""

    name: str
    seeds: list[int]
    model: Crossed
    level: float
    p: float
    p_holm: float

    @property
    def verdict(self) -> str:
        """What the interval says of the group."""
        low, high = self.model.interval(self.level)
        return BETTER if low > 0 else WORSE if high < 0 else NO_EVIDENCE

    @property
    def needed(self) -> tuple[int | None, int | None]:
        """How many more seeds would make it evidence; if no number would, how many images that takes at least."""
        if self.verdict != NO_EVIDENCE or not self.model.mean:
            return None, None
        return self.model.needed(self.level)


def report_seeds(revisions: Sequence[str], markdown: bool) -> tuple[dict[str, Any], list[str]]:
    """Groups, and each against the first, as for JSON, and as tables and paragraphs; raises what `read_groups` does."""
    groups = read_groups(revisions)
    found = differences(groups)
    return as_json(groups, found), report(groups, found, markdown)


def differences(groups: Mapping[str, Group]) -> list[Difference]:
    """Each group against the first; the intervals hold together (Bonferroni)."""
    (_, first), *others = groups.items()
    shared = [[seed for seed in other if seed in first] for _, other in others]
    values = [
        np.array([other[1][seed] - first[seed] for seed in seeds]) for other, seeds in zip(others, shared, strict=True)
    ]
    p_values = [sign_flip_test(each.sum(axis=1).tolist()) for each in values]
    return [
        Difference(name, seeds, crossed(each), LEVEL / len(others), p, p_holm)
        for (name, _), seeds, each, p, p_holm in zip(others, shared, values, p_values, holm(p_values), strict=True)
    ]


def as_json(groups: Mapping[str, Group], found: Sequence[Difference]) -> dict[str, Any]:
    """All numbers of the report, unrounded: accuracies and their differences are fractions."""
    return {
        "images": model_of(groups[next(iter(groups))]).images,
        "groups": [
            {
                "name": name,
                "seeds": [*group],
                "accuracies": [correct.mean() for correct in group.values()],
                "accuracy": model.mean,
                "sd": model.sd,
                "share_of_images": model.share_of_images,
            }
            for name, group in groups.items()
            for model in [model_of(group)]
        ],
        "comparisons": [{"baseline": next(iter(groups)), **numbers(item)} for item in found],
    }


def numbers(found: Difference) -> dict[str, Any]:
    """`level` and `p` are those of the comparison alone; what is needed is None if the verdict needs nothing."""
    low, high = found.model.interval(found.level)
    return {
        "name": found.name,
        "verdict": found.verdict,
        "seeds": found.seeds,
        "difference": found.model.mean,
        "difference_low": low,
        "difference_high": high,
        "level": found.level,
        "p": found.p,
        "p_holm": found.p_holm,
        **dict(zip(("more_seeds", "images_needed"), found.needed, strict=True)),
    }


def report(groups: Mapping[str, Group], found: Sequence[Difference], markdown: bool) -> list[str]:
    """Accuracies, differences from the first group, and what follows from them: paragraphs and tables."""
    models = [model_of(group) for group in groups.values()]
    first, *others = names = labels([*groups], markdown)
    header = [f"{models[0].images:,} test images", "seeds", "accuracy, %", "sd", "by images"]
    rows = [[name, *cells(model)] for name, model in zip(names, models, strict=True)]
    accuracies = table(header, rows, markdown=markdown)
    if not found:
        return [accuracies, NOTES]
    interval, p = ("95 % together", "p (Holm)") if len(found) > 1 else ("95 % interval", "p")
    shown = [item._replace(name=name) for item, name in zip(found, others, strict=True)]
    compared = table(
        [f"against {first}", "points", interval, "seeds", p], [row(item) for item in shown], markdown=markdown
    )
    return [accuracies, compared, *[conclusion(first, item) for item in shown], f"{NOTES} {NOTES_OF_DIFFERENCES}"]


def cells(model: Crossed) -> list[str]:
    """The number of seeds, mean and standard deviation of the accuracy in percent, and the share of the images."""
    share = "" if model.share_of_images is None else f"{100 * model.share_of_images:.0f} %"
    return [str(model.seeds), f"{100 * model.mean:.2f}", f"{100 * model.sd:.2f}", share]


def row(found: Difference) -> list[str]:
    """The difference in points of accuracy, its interval, the seeds, and p if it could be below 0.05 at all."""
    enough = 1 + math.ceil(math.log2(1 / found.level))
    p = probability(found.p_holm) if len(found.seeds) >= enough else f"{enough}+ seeds"
    interval = percents(found.model.interval(found.level), "+")
    return [found.name, f"{100 * found.model.mean:+.2f}", interval, str(len(found.seeds)), p]


def conclusion(first: str, found: Difference) -> str:
    """The verdict as a sentence to act on."""
    second, points = found.name, f"{100 * abs(found.model.mean):.2f} points"
    if found.verdict != NO_EVIDENCE:
        higher = "higher" if found.verdict == BETTER else "lower"
        return (
            f"{second} is {found.verdict} than {first}: its mean accuracy over {len(found.seeds)} seeds is {points} "
            f"{higher}, more than chance among seeds and images explains."
        )
    no_evidence = f"No evidence of a difference between {second} and {first}"
    seeds, images = found.needed
    if seeds:
        return (
            f"{no_evidence}: if the {points} seen here are the true difference, about {seeds:,} more "
            f"{'seed' if seeds == 1 else 'seeds'} would be evidence in half of all cases."
        )
    if images:
        return (
            f"{no_evidence}: no number of seeds would make the {points} seen here evidence; it takes more test images, "
            f"at least about {float(f'{images:.2g}'):,.0f}."
        )
    reason = "gains and losses cancel out here" if found.model.ms_images else "they get the same images right"
    return f"{no_evidence}: {reason}."
