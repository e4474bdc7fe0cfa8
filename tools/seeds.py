"""What the seed of training changes, next to what other test images would change.

Gathers the last commit and all experiments, or those that are named, and takes together those that differ in train.seed
alone. To have such: dvc exp run --queue -S 'train.seed=range(0,5)' && dvc queue start
Command: python tools/seeds.py [--picture FILE] [REVISION ...]
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from experiments.figures import COLORS, errors, new_figure, save_figure
from experiments.runs import SEED, Run, gather
from experiments.statistics import wilson_interval
from foundation.command import Parser, run_command

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("revisions", nargs="*", metavar="REVISION", help="commits or experiments; default: HEAD, all")
    parser.add_argument("--picture", type=Path, help="draw the validation errors by epoch to this PNG")
    arguments = parser.parse_args()
    runs = gather(arguments.revisions)
    groups = by_recipe(runs)
    if not groups:
        sys.exit("error: train.seed: has to differ between runs alike in all else, got no two such; see --help")
    if arguments.picture and not all("val_accuracy" in run.metrics for group in groups for run in group):
        sys.exit("error: preprocess.val_size: has to be above 0 for a picture, got runs without validation images")
    for group in groups:
        print(title(group, runs[0]))
        print(table(group))
    if arguments.picture:
        save_figure(arguments.picture, draw_curves(groups, runs[0]))


def by_recipe(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs that differ in their seed alone, by seed, in groups of at least two; the best group first."""
    groups: dict[str, dict[int, Run]] = defaultdict(dict)  # a run that was repeated is still one seed
    for run in sorted(runs, key=lambda run: run.params[SEED]):
        groups[run.all_but(SEED)][run.params[SEED]] = run
    several = [list(group.values()) for group in groups.values() if len(group) > 1]
    return sorted(several, key=lambda group: -mean_of(group, "val_accuracy"))


def mean_of(group: Sequence[Run], metric: str) -> float:
    return float(np.mean([run.metrics.get(metric, np.nan) for run in group]))


def title(group: Sequence[Run], base: Run) -> str:
    """What sets a group apart from the first run, and which seeds it has."""
    seeds = ", ".join(str(run.params[SEED]) for run in group)
    return f"{group[0].differences(base) or f'parameters of {base.name}'}; seeds {seeds}"


def table(group: Sequence[Run]) -> str:
    """Mean, standard deviation and two intervals, in percent, of the accuracy on validation and on test images."""
    lines = [f"  {'accuracy, %':12}{'mean':>8}{'sd':>7}   {'95 % by seeds':18}95 % by images"]
    images = {"val": group[0].val_size, "test": int(group[0].metrics.get("images", 0))}
    for split, metric in (("val", "val_accuracy"), ("test", "accuracy")):
        if all(metric in run.metrics for run in group):
            values = np.array([run.metrics[metric] for run in group])
            right = round(values.mean() * images[split])
            both = interval_by_seeds(values), wilson_interval(right, images[split])
            by_seeds, by_images = (f"{100 * low:.2f} to {100 * high:.2f}" for low, high in both)
            mean, sd = 100 * values.mean(), 100 * values.std(ddof=1)
            lines.append(f"  {split:12}{mean:8.2f}{sd:7.2f}   {by_seeds:18}{by_images}")
    return "\n".join(lines) + "\n"


def interval_by_seeds(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % t interval of the mean of two accuracies or more: where the mean over all seeds may be."""
    from scipy.stats import sem, t

    margin = t.ppf(0.975, len(values) - 1) * sem(values)
    return max(0.0, values.mean() - margin), min(1.0, values.mean() + margin)


def draw_curves(groups: Sequence[Sequence[Run]], base: Run) -> Figure:
    """Validation errors by epoch: the mean over the seeds, and a band from the lowest to the highest."""
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
