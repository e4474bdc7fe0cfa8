"""The figure of the data set, drawn by preprocess."""

from digits.figures.style import COLORS, new_figure, tile

import numpy as np
from matplotlib.figure import Figure

COLUMNS = 12


def draw_data(name: str, images: np.ndarray, labels: dict[str, np.ndarray]) -> Figure:
    """The first training images of each digit, next to the number of images per digit in each split.

    Args:
        name: of the data set.
        images: uint8 (N, 28, 28), of the training split.
        labels: int64 (N,), by split.
    """
    figure = new_figure(11, 4.6, f"{name}: training images by digit, and how many there are in each split")
    sheet, counts = figure.subplots(1, 2, width_ratios=[1.25, 1])
    digits = np.zeros((10, COLUMNS, 28, 28), dtype=np.uint8)
    for digit in range(10):
        chosen = images[labels["train"] == digit][:COLUMNS]
        digits[digit, : len(chosen)] = chosen
    sheet.imshow(255 - tile(digits, gap=2, fill=0), cmap="gray", vmin=0, vmax=255, aspect="equal")
    sheet.set(yticks=[16 + 30 * digit for digit in range(10)], yticklabels=list("0123456789"), xticks=[])
    sheet.set_ylabel("digit")
    sheet.tick_params(length=0)
    sheet.spines[:].set_visible(False)

    for index, (split, values) in enumerate(labels.items()):
        label, position = f"{split}: {len(values):,}", np.arange(10) + 0.27 * (index - 1)
        counts.bar(position, np.bincount(values, minlength=10), 0.27, color=COLORS[index], label=label)
    counts.set(xticks=range(10), xlabel="digit", ylabel="images")
    counts.spines[["top", "right"]].set_visible(False)
    counts.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3)
    return figure
