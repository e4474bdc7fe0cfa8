"""The look of the tools' figures."""
# ruff: noqa: E402 - missing packages are reported before they are imported

import sys
from pathlib import Path
from typing import Any

from foundation.command import require

require("matplotlib", "numpy")

import numpy as np
from matplotlib import rcdefaults, rcParams
from matplotlib.figure import Figure

# Okabe and Ito's palette, distinguishable with any kind of colour blindness.
COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999"]


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of `width` by `height` inches, 100 dots each."""
    rcdefaults()  # whatever the user has set in a matplotlibrc
    rcParams["font.family"] = "DejaVu Sans"
    rcParams["axes.spines.top"] = rcParams["axes.spines.right"] = False
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure


def errors(accuracies: Any) -> Any:
    """Errors in percent from accuracies in [0, 1], array-like; at least 0.01, for logarithmic axes."""
    return np.maximum(100 * (1 - np.asarray(accuracies)), 0.01)


def save_figure(path: Path, figure: Figure) -> None:
    """Write `figure` as a PNG, the same bytes every time; exits with an error if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", metadata={"Software": None})
    except OSError as error:
        sys.exit(f"error: {path}: cannot be written, got {error.strerror}")
