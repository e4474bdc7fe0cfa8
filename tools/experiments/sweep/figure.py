"""The validation errors of experiments against one of their parameters."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from experiments.figures import COLORS, errors, new_figure, save_figure
from experiments.runs import SEED, Run
from experiments.search.space import is_number
from experiments.statistics import wilson_interval

import pandas as pd
from matplotlib.figure import Figure


def draw(runs: Sequence[Run], x: str, by: str, path: Path) -> str | None:
    """Draw those of the runs that are like the first one; return the reason if they make no curve."""
    for name in (x, by):
        if name not in runs[0].params:
            return f"{name}: has to be a parameter, got none of that name in {runs[0].name}; see params.yaml"
    if x == by or not is_number(runs[0].params[x]):
        return f"{x}: has to be a numeric parameter other than --by; see --help"
    table = comparable(runs, x, by)
    if "val_accuracy" not in runs[0].metrics:
        return "preprocess.val_size: has to be above 0, got runs without validation images"
    if table[x].nunique() < 2 <= len({run.params.get(x) for run in runs}):
        return (
            f"{x}: runs with other values of it differ in more than that, such as the training images; run some with "
            "`python tools/sweep.py -S`"
        )
    if table[x].nunique() < 2:
        return f"{x}: has to have two values or more, got one; run some with `python tools/sweep.py -S`"
    save_figure(path, draw_sweep(table, x, by))
    print(f"{path}: {len(table)} runs; left out because they differ in other ways: {len(runs) - len(table)}")
    return None


def comparable(runs: Sequence[Run], x: str, by: str) -> pd.DataFrame:
    """A row for each run that differs from the first in `x`, `by` and the seed alone, with its validation accuracy."""
    key = runs[0].key_without(x, by, SEED)
    alike = [run for run in runs if run.key_without(x, by, SEED) == key and "val_accuracy" in run.metrics]
    rows: list[dict[str, Any]] = [
        {
            x: float(run.params[x]),
            by: str(run.params[by]),
            "accuracy": run.metrics["val_accuracy"],
            "images": run.val_size,
        }
        for run in alike
    ]
    return pd.DataFrame(rows, columns=[x, by, "accuracy", "images"])


def draw_sweep(table: pd.DataFrame, x: str, by: str) -> Figure:
    """A dot per run, lines through the means over the seeds, and the 95 % interval by images of each mean."""
    figure = new_figure(8, 4.5, f"Validation errors by {x}: single seeds, their mean, 95 % interval by images")
    axes = figure.subplots()
    for color, (value, rows) in zip(cycle(COLORS), table.groupby(by), strict=False):
        mean = rows.groupby(x)["accuracy"].mean()
        axes.plot(rows[x], errors(rows["accuracy"]), ".", color=color, alpha=0.5)
        axes.plot(mean.index, errors(mean), color=color, label=f"{by} {value}")
        images = int(rows["images"].iloc[0])
        low, high = zip(*[wilson_interval(round(accuracy * images), images) for accuracy in mean], strict=True)
        axes.fill_between(mean.index, errors(high), errors(low), color=color, alpha=0.15)
    axes.set(xlabel=x, ylabel="validation errors, %", xscale="log" if table[x].min() > 0 else "linear", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(which="both", color="#eeeeee")
    axes.legend(frameon=False)
    return figure
