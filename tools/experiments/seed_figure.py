"""The figure of the validation errors of runs that differ in their seed alone."""

import csv
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from digits.figures.style import COLORS, new_figure, save_figure
from experiments.figures import errors
from experiments.runs import Run
from experiments.seed_groups import title


def draw(groups: Sequence[Sequence[Run]], base: Run, path: Path) -> None:
    """Draw validation errors by epoch: the mean over the seeds in a band from the lowest to the highest.

    Raises:
        OSError: the file cannot be written.
    """
    figure = new_figure(8, 4.5, "Validation errors by epoch: mean over the seeds, lowest and highest")
    axes = figure.subplots()
    for color, group in zip(cycle(COLORS), groups, strict=False):
        curves = errors([[float(row["val_accuracy"]) for row in csv.DictReader(run.csv.splitlines())] for run in group])
        epochs = range(1, 1 + curves.shape[1])
        axes.plot(epochs, curves.mean(axis=0), color=color, label=title(group, base))
        axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="epoch", ylabel="validation errors, %", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(which="both", color="#eeeeee")
    axes.legend(frameon=False, fontsize=8)
    save_figure(path, figure)
