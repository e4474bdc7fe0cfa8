"""The figure of a search: validation errors against each parameter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.figures import COLORS, errors, new_figure, save_figure
from experiments.search.space import Space, is_searched

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from optuna.trial import FrozenTrial, TrialState

COLUMNS = 4


def draw(trials: Sequence[FrozenTrial], space: Space, name: str, path: Path) -> None:
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
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.value is not None]
    diverged = [trial for trial in trials if trial.value is None]
    best = max(complete, key=lambda trial: trial.value or 0.0, default=None)
    styles: list[tuple[list[FrozenTrial], str, dict[str, Any]]] = [
        (complete, "trial", {"color": COLORS[0], "alpha": 0.6, "s": 32, "linewidth": 0}),
        (pruned, "pruned", {"color": "#888888", "alpha": 0.6, "s": 14, "linewidth": 0}),
        ([best] if best else [], "the best", {"color": COLORS[5], "s": 120, "marker": "*", "zorder": 3}),
    ]
    for chosen, label, style in styles:
        if not chosen:
            continue
        wrong = errors([trial.value for trial in chosen])
        panel.scatter(positions(chosen, parameter, entry), wrong, label=label, **style)
    if diverged:
        panel.scatter(
            positions(diverged, parameter, entry), [1] * len(diverged), transform=panel.get_xaxis_transform(),
            marker="x", color=COLORS[6], clip_on=False, label="loss diverged",
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
