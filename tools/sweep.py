"""Draw the validation errors of experiments against a parameter.

Example: python tools/sweep.py
         python tools/sweep.py --x train.epochs --by train.model

Takes the last commit and all experiments, or those named, and leaves out those
that differ in anything else but train.seed. Test images play no part.
"""

import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from experiments.figures import COLORS, errors, new_figure, save_figure
from experiments.runs import SEED, Run, gather
from experiments.statistics import wilson_interval
from foundation.command import Parser, run_command

import pandas as pd
from matplotlib.figure import Figure


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "revisions", nargs="*", metavar="REVISION", help="commits or experiments (default: HEAD and all experiments)"
    )
    parser.add_argument(
        "--x", default="train.lr", metavar="PARAMETER", help="put this number on the x axis (default: %(default)s)"
    )
    parser.add_argument(
        "--by",
        default="train.optimizer",
        metavar="PARAMETER",
        help="draw a curve for each value of this one (default: %(default)s)",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        default=Path("sweep.png"),
        metavar="FILE",
        help="draw to this PNG file (default: %(default)s)",
    )
    arguments = parser.parse_args()
    runs = gather(arguments.revisions)
    for name in (arguments.x, arguments.by):
        if name not in runs[0].params:
            sys.exit(f"error: {name}: has to be a parameter, got none of that name in {runs[0].name}; see params.yaml")
    if arguments.x == arguments.by or not is_number(runs[0].params[arguments.x]):
        sys.exit(f"error: {arguments.x}: has to be a numeric parameter other than --by; see --help")
    table = comparable(runs, arguments.x, arguments.by)
    if table[arguments.x].nunique() < 2:
        sys.exit(
            f"error: {arguments.x}: has to have two values or more, got one; run some with `dvc exp run --queue -S`"
        )
    save_figure(arguments.picture, draw_sweep(table, arguments.x, arguments.by))
    print(
        f"{arguments.picture}: {len(table)} runs; left out because they differ in other ways: {len(runs) - len(table)}"
    )


def is_number(value: Any) -> bool:
    """Whether a parameter is a number, even if it is text, as 1e-05 is to PyYAML."""
    try:
        return not isinstance(value, bool | list) and float(value) is not None
    except ValueError:
        return False


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


if __name__ == "__main__":
    run_command(main)
