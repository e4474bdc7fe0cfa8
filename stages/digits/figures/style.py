"""The look of the figures, and images of digits arranged in them."""

from pathlib import Path

from digits.foundation.files import replacing

import numpy as np
from matplotlib import rcdefaults, rcParams
from matplotlib.figure import Figure

# Blue and orange of Okabe and Ito, which people with any colour blindness can tell apart, and a third grey in between.
COLORS = ["#0072b2", "#e69f00", "#999999"]


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of `width` by `height` inches, 100 dots each."""
    # The user's own settings must not show; DejaVu Sans comes with matplotlib, so neither do the machine's fonts.
    rcdefaults()
    rcParams["font.family"] = "DejaVu Sans"
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure


def save_figure(path: Path, figure: Figure) -> None:
    """Write `figure` as a PNG, the same bytes every time."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def tile(images: np.ndarray, gap: int, fill: float) -> np.ndarray:
    """Arrange images, (R, C, H, W), in R rows and C columns, `gap` pixels of `fill` between and around them.

    Returns:
        (R (H + gap) + gap, C (W + gap) + gap), of the images' type.
    """
    rows, columns, height, width = images.shape
    padded = np.full((rows, columns, height + gap, width + gap), fill, dtype=images.dtype)
    padded[:, :, gap:, gap:] = images
    canvas = padded.transpose(0, 2, 1, 3).reshape(rows * (height + gap), columns * (width + gap))
    return np.pad(canvas, ((0, gap), (0, gap)), constant_values=fill)
