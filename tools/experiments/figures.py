"""The figures of sweeps and searches: validation errors by parameter."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from optuna.trial import FrozenTrial, TrialState

from digits.figures.style import COLORS, new_figure, save_figure
from digits.scoring import wilson_interval
from experiments.runs import SEED, Run
from experiments.space import Space, is_number, is_searched

COLUMNS = 4


def errors(accuracies: Any) -> Any:
    """Errors in percent from accuracies in [0, 1], array-like; at least 0.01, for logarithmic axes."""
    return np.maximum(100 * (1 - np.asarray(accuracies)), 0.01)


def draw_runs(runs: Sequence[Run], x: str, by: str, path: Path) -> str | None:
    """Draw those of the runs that are like the first one; return the reason if they make no curve."""
    for name in (x, by):
        if name not in runs[0].params:
            return f"{name}: must be a parameter, got none of that name in {runs[0].name}; see params.yaml"
    if x == by or not is_number(runs[0].params[x]):
        return f"{x}: must be a numeric parameter other than --by; see --help"
    table = comparable(runs, x, by)
    if "val_accuracy" not in runs[0].metrics:
        return "preprocess.val_size: must be above 0, got runs without validation images"
    if table[x].nunique() < 2:
        other = len({run.params.get(x) for run in runs}) > 1
        problem = (
            "runs with other values differ in more than that" if other else "must have two values or more, got one"
        )
        return f"{x}: {problem}; run some with `python tools/sweep.py -S`"
    save_figure(path, draw_sweep(table, x, by))
    print(f"{path}: {len(table)} runs; left out because they differ in other ways: {len(runs) - len(table)}")
    return None


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
    axes.spines[["top", "right"]].set_visible(False)
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


def draw_trials(trials: Sequence[FrozenTrial], space: Space, name: str, path: Path) -> None:
    """Draw a panel per searched parameter; all share the axis of the errors."""
    searched = {parameter: entry for parameter, entry in space.items() if is_searched(entry)}
    columns = min(COLUMNS, len(searched))
    rows = -(-len(searched) // columns)
    title = f"{name}: validation errors of {len(trials)} trials by parameter"
    figure = new_figure(1.2 + 2.9 * columns, 0.7 + 3.3 * rows, title)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel, (parameter, entry) in zip(panels.flat, searched.items(), strict=False):
        draw_panel(panel, trials, parameter, entry)
    for panel in panels.flat[len(searched) :]:
        panel.remove()
    for panel in panels[:, 0]:
        panel.set_ylabel("validation errors, %")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False)
    save_figure(path, figure)


def draw_panel(panel: Axes, trials: Sequence[FrozenTrial], parameter: str, entry: Any) -> None:
    """Draw the errors of trials against one parameter."""
    panel.spines[["top", "right"]].set_visible(False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.value is not None]
    diverged = [trial for trial in trials if trial.value is None]
    best = max(complete, key=lambda trial: trial.value or 0.0, default=None)
    looks: list[tuple[list[FrozenTrial], str, dict[str, Any]]] = [
        (complete, "trial", {"color": COLORS[0], "alpha": 0.6, "s": 32, "linewidth": 0}),
        (pruned, "pruned", {"color": COLORS[2], "alpha": 0.6, "s": 14, "linewidth": 0}),
        ([best] if best else [], "the best", {"color": COLORS[-1], "s": 120, "marker": "*", "zorder": 3}),
    ]
    for chosen, label, look in looks:
        if not chosen:
            continue
        wrong = errors([trial.value for trial in chosen])
        panel.scatter(positions(chosen, parameter, entry), wrong, label=label, **look)
    if diverged:
        panel.scatter(
            positions(diverged, parameter, entry), [1] * len(diverged), transform=panel.get_xaxis_transform(),
            marker="x", color=COLORS[2], clip_on=False, label="loss diverged",
        )  # fmt: skip
    panel.set_xlabel(parameter)
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_formatter("")
    panel.grid(axis="y", alpha=0.3)
    if isinstance(entry, list):
        panel.set_xticks(range(len(entry)), [str(choice) for choice in entry])
        panel.set_xlim(-0.5, len(entry) - 0.5)
    elif entry.get("log", False):
        panel.set_xscale("log")
        panel.set_xlim(entry["low"] / 1.3, entry["high"] * 1.3)


def positions(trials: Sequence[FrozenTrial], parameter: str, entry: Any) -> list[float]:
    """Positions on a parameter's axis; trials with the same choice are spread out so that none hides another."""
    values = [trial.params[parameter] for trial in trials]
    if not isinstance(entry, list):
        return values
    shifts = [0.25 * np.sin(2.4 * trial.number) for trial in trials]
    return [entry.index(value) + shift for value, shift in zip(values, shifts, strict=True)]
