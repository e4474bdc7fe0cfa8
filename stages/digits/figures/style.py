"""The style of the figures, and images arranged in a grid."""

from pathlib import Path

import numpy as np
from matplotlib import rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from digits.foundation.files import replacing

# The palette of Okabe and Ito, distinguishable with any kind of colour blindness, with a gray in place of its black.
COLORS = ["#0072b2", "#e69f00", "#999999", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]
ENLARGED = 8  # times, in `show_images`


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


def show_images(axes: Axes, images: np.ndarray, columns: int, gap: int) -> None:
    """Draw images, uint8 (N, 28, 28), as `tile` arranges them, dark on light.

    Enlarged before Matplotlib fits them, which then has no grays to compute: these would differ between processors.
    """
    sheet = tile(255 - images, columns, gap, fill=255)
    height, width = sheet.shape
    enlarged = sheet.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(enlarged, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=extent)


def tile(images: np.ndarray, columns: int, gap: int, fill: float) -> np.ndarray:
    """Arrange images, (N, H, W), in R rows, at least one, with `gap` pixels of `fill` between and around them.

    The result is (R (H + gap) + gap, columns (W + gap) + gap), of the images' type.
    """
    missing = -len(images) % columns if len(images) else columns
    padded = np.pad(images, ((0, missing), (gap, 0), (gap, 0)), constant_values=fill)
    _, height, width = padded.shape
    rows = padded.reshape(-1, columns, height, width).swapaxes(1, 2).reshape(-1, columns * width)
    return np.pad(rows, ((0, gap), (0, gap)), constant_values=fill)


def shorten(name: str, longest: int) -> str:
    """The name of a class in at most `longest` characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def shorten_both(first: str, second: str, longest: int) -> tuple[str, str]:
    """Two names in at most `longest` characters together, as complete as that allows."""
    room = max(longest // 2, longest - len(second))
    first = shorten(first, room)
    return first, shorten(second, longest - len(first))
