"""The figures of sweeps and searches: validation errors by parameter."""

import warnings
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter
from optuna import Study
from optuna.visualization.matplotlib import plot_parallel_coordinate, plot_slice

from digits.figures.style import COLORS, new_figure, save_figure
from digits.foundation.stage import UserError
from digits.scoring import wilson_interval
from experiments.runs import SEED, Run


def errors(accuracies: Any) -> Any:
    """Errors in percent from accuracies in [0, 1], array-like; at least 0.01, for logarithmic axes."""
    return np.maximum(100 * (1 - np.asarray(accuracies)), 0.01)


def draw_runs(runs: Sequence[Run], x: str, by: str, path: Path) -> None:
    """Draw those of the runs that are like the first one; raises a `UserError` if they make no curve."""
    for name in (x, by):
        if name not in runs[0].params:
            raise UserError(f"{name}: must be a parameter, got none of that name in {runs[0].name}; see params.yaml")
    if x == by or not is_number(runs[0].params[x]):
        raise UserError(f"{x}: must be a numeric parameter other than --by; see --help")
    if "val_accuracy" not in runs[0].metrics:
        raise UserError("preprocess.val_size: must be above 0, got runs without validation images")
    table = comparable(runs, x, by)
    if table[x].nunique() < 2:
        raise UserError(
            f"{x}: must have two values or more in runs on the same images that differ in nothing but it, {by} and "
            f"{SEED}, got one; run some with `python tools/sweep.py -S`"
        )
    save_figure(path, draw_sweep(table, x, by))
    others = len(runs) - len(table)
    print(f"{path}: {len(table)} runs{f'; left out because they differ in other ways: {others}' if others else ''}")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def comparable(runs: Sequence[Run], x: str, by: str) -> pd.DataFrame:
    """A row for each run that differs from the first in `x`, `by` and the seed alone, with its validation accuracy."""
    key = runs[0].key_without(x, by, SEED)
    alike = [run for run in runs if run.key_without(x, by, SEED) == key and "val_accuracy" in run.metrics]
    rows = [(float(run.params[x]), str(run.params[by]), run.metrics["val_accuracy"], run.val_size) for run in alike]
    return pd.DataFrame(rows, columns=[x, by, "accuracy", "images"])


def draw_sweep(table: pd.DataFrame, x: str, by: str) -> Figure:
    """A dot per run, lines through the means over the seeds, and the 95 % interval by images of each mean."""
    figure = new_figure(8, 4.5, f"Validation errors by {x}: single seeds, their mean, 95 % interval by images")
    axes = figure.subplots()
    set_error_axis(axes)
    for color, (value, rows) in zip(cycle(COLORS), table.groupby(by), strict=False):
        mean = rows.groupby(x)["accuracy"].mean()
        axes.plot(rows[x], errors(rows["accuracy"]), ".", color=color, alpha=0.5)
        axes.plot(mean.index, errors(mean), color=color, label=f"{by} {value}")
        images = int(rows["images"].iloc[0])
        low, high = zip(*[wilson_interval(round(accuracy * images), images) for accuracy in mean], strict=True)
        axes.fill_between(mean.index, errors(high), errors(low), color=color, alpha=0.15)
    axes.set(xlabel=x, xscale="log" if table[x].min() > 0 else "linear")
    axes.xaxis.set_major_locator(FixedLocator(sorted(table[x].unique()), nbins=10))
    axes.xaxis.set_major_formatter("{x:g}")  # Matplotlib's own has TeX for a logarithmic axis
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    return figure


def draw_trials(study: Study, path: Path) -> None:
    """Draw the errors of complete trials by searched parameter, later trials in darker blue.

    A second file, NAME-parallel.png, has a line through the parameters of each trial, darker with fewer errors.
    """
    name = "validation errors, %"
    with warnings.catch_warnings():  # of Matplotlib, if a parameter has a single value
        warnings.simplefilter("ignore")
        lines = plot_parallel_coordinate(study, target=lambda trial: np.log10(errors(trial.value)), target_name=name)
        panels = plot_slice(study, target=lambda trial: errors(trial.value), target_name=name)
    first = panels if isinstance(panels, Axes) else panels[0]
    set_error_axis(first)  # all share it
    save_figure(path, cast(Figure, first.figure))
    figure = cast(Figure, lines.figure)
    figure.set_size_inches(2.2 * len(figure.axes), 4.8)
    lines.set_title("")
    lines.collections[0].set_cmap("viridis")  # Optuna's fades into the background
    lines.tick_params(axis="x", rotation=0)
    for axes in figure.axes[:2]:  # the errors, and the bar of their colours
        axes.yaxis.set_major_formatter(lambda exponent, _: f"{10**exponent:.3g}")
    save_figure(path.with_stem(f"{path.stem}-parallel"), figure)


def set_error_axis(axes: Axes) -> None:
    """Give axes a logarithmic scale of errors."""
    axes.set(ylabel="validation errors, %", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(which="both", color="#eeeeee")
