"""The look of the tools' figures."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcdefaults, rcParams
from matplotlib.figure import Figure

# Okabe and Ito's, which people with any colour blindness can tell apart.
COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999"]


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of `width` by `height` inches, 100 dots each."""
    rcdefaults()  # the user's own settings must not show
    rcParams["font.family"] = "DejaVu Sans"
    rcParams["axes.spines.top"] = rcParams["axes.spines.right"] = False
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure


def errors(accuracies: Any) -> Any:
    """Percent wrong of accuracies in [0, 1], an array or the like; never 0, for logarithmic axes."""
    return np.maximum(100 * (1 - np.asarray(accuracies)), 0.01)


def save_figure(path: Path, figure: Figure) -> None:
    """Write `figure` as a PNG, the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
