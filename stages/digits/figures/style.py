"""The style of the figures, and images of digits arranged in a grid."""

from pathlib import Path

from digits.foundation.files import replacing

import numpy as np
from matplotlib import rcdefaults, rcParams
from matplotlib.figure import Figure

# Blue and orange from the colour-blind-safe palette of Okabe and Ito, and a gray.
COLORS = ["#0072b2", "#e69f00", "#999999"]


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of `width` by `height` inches at 100 dpi."""
    # Independent of the user's settings and of installed fonts: DejaVu Sans comes with matplotlib.
    rcdefaults()
    rcParams["font.family"] = "DejaVu Sans"
    rcParams["text.parse_math"] = False  # a class may be named in dollars
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure


def save_figure(path: Path, figure: Figure) -> None:
    """Write `figure` as a PNG, the same bytes every time."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def tile(images: np.ndarray, gap: int, fill: float) -> np.ndarray:
    """Arrange images, (R, C, H, W), in R rows and C columns with `gap` pixels of `fill` between and around them.

    Returns:
        (R (H + gap) + gap, C (W + gap) + gap), of the images' type.
    """
    rows, columns, height, width = images.shape
    padded = np.full((rows, columns, height + gap, width + gap), fill, dtype=images.dtype)
    padded[:, :, gap:, gap:] = images
    canvas = padded.transpose(0, 2, 1, 3).reshape(rows * (height + gap), columns * (width + gap))
    return np.pad(canvas, ((0, gap), (0, gap)), constant_values=fill)


def shorten(name: str, longest: int) -> str:
    """The name of a class in at most `longest` characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
