"""What does another seed change, and what would other test images change?

Example: python tools/seeds.py --picture seeds.png

Takes the last commit and all experiments, or those named, and groups those that
differ in train.seed alone. To run some:
python tools/sweep.py -S 'train.seed=range(0,5)'
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from experiments.figures import COLORS, errors, new_figure, save_figure
from experiments.runs import SEED, Run, gather
from experiments.statistics import wilson_interval
from foundation.command import Parser, png_file, run_command

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "revisions", nargs="*", metavar="REVISION", help="commits or experiments (default: HEAD and all experiments)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with accuracies as fractions")
    parser.add_argument(
        "--picture", type=png_file, metavar="FILE", help="draw validation errors by epoch to this PNG file"
    )
    arguments = parser.parse_args()
    runs = gather(arguments.revisions)
    groups = by_recipe(runs)
    if not groups:
        sys.exit(
            "error: train.seed: has to differ between runs that are otherwise alike, got no two such; run some with "
            "`python tools/sweep.py -S 'train.seed=range(0,5)'`"
        )
    if arguments.picture and not all("val_accuracy" in run.metrics for group in groups for run in group):
        sys.exit("error: preprocess.val_size: has to be above 0 for a picture, got runs without validation images")
    if arguments.json:
        print(json.dumps([as_json(group, runs[0]) for group in groups], indent=2))
    else:
        for group in groups:
            print(title(group, runs[0]))
            print(table(group))
    if arguments.picture:
        save_figure(arguments.picture, draw_curves(groups, runs[0]))


def by_recipe(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of two or more runs that differ in their seed alone, each sorted by seed; the best group first."""
    groups: dict[str, dict[int, Run]] = defaultdict(dict)  # a repeated run still counts as one seed
    for run in sorted(runs, key=lambda run: run.params[SEED]):
        groups[run.key_without(SEED)][run.params[SEED]] = run
    several = [list(group.values()) for group in groups.values() if len(group) > 1]
    # Last those without validation images.
    return sorted(several, key=lambda group: np.nan_to_num(mean_of(group, "val_accuracy")), reverse=True)


def mean_of(group: Sequence[Run], metric: str) -> float:
    return float(np.mean([run.metrics.get(metric, np.nan) for run in group]))


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
    for split, metric in (("val", "val_accuracy"), ("test", "accuracy")):
        if all(metric in run.metrics for run in group):
            values = np.array([run.metrics[metric] for run in group])
            splits[split] = {
                "images": images[split],
                "accuracies": values.tolist(),
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)),
                "interval_by_seeds": interval_by_seeds(values),
                "interval_by_images": wilson_interval(round(values.mean() * images[split]), images[split]),
            }
    return splits


def as_json(group: Sequence[Run], base: Run) -> dict[str, Any]:
    """A group with all its numbers, unrounded."""
    return {
        "params": group[0].changes(base),
        "same_code_and_data": group[0].inputs == base.inputs,
        "runs": [run.name for run in group],
        "seeds": [run.params[SEED] for run in group],
        **splits_of(group),
    }


def table(group: Sequence[Run]) -> str:
    """Mean, standard deviation and two intervals, in percent, of the accuracy on validation and on test images."""
    lines = [f"  {'accuracy, %':12}{'mean':>8}{'sd':>7}   {'95 % by seeds':18}95 % by images"]
    for split, found in splits_of(group).items():
        intervals = (found["interval_by_seeds"], found["interval_by_images"])
        by_seeds, by_images = (f"{100 * low:.2f} to {100 * high:.2f}" for low, high in intervals)
        lines.append(f"  {split:12}{100 * found['mean']:8.2f}{100 * found['sd']:7.2f}   {by_seeds:18}{by_images}")
    return "\n".join(lines) + "\n"


def interval_by_seeds(values: np.ndarray) -> tuple[float, float]:
    """The 95 % t interval of the mean over all seeds, from the accuracies of two or more of them."""
    from scipy.stats import sem, t

    margin = t.ppf(0.975, len(values) - 1) * sem(values)
    return max(0.0, float(values.mean() - margin)), min(1.0, float(values.mean() + margin))


def draw_curves(groups: Sequence[Sequence[Run]], base: Run) -> Figure:
    """Validation errors by epoch: the mean over the seeds in a band from the lowest to the highest."""
    figure = new_figure(8, 4.5, "Validation errors by epoch: mean over the seeds, lowest and highest")
    axes = figure.subplots()
    for color, group in zip(cycle(COLORS), groups, strict=False):
        epochs = group[0].curves["epoch"]
        wrong = errors([run.curves["val_accuracy"] for run in group])
        axes.plot(epochs, wrong.mean(axis=0), color=color, label=title(group, base))
        axes.fill_between(epochs, wrong.min(axis=0), wrong.max(axis=0), color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel="validation errors, %", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(which="both", color="#eeeeee")
    axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    run_command(main)
