"""The figure of the data set, drawn by preprocess."""

import numpy as np
from matplotlib.figure import Figure

from digits.dataset import Description
from digits.figures.style import COLORS, new_figure, shorten, show_images

COLUMNS = 12


def draw_data(about: Description, images: np.ndarray, labels: dict[str, np.ndarray]) -> Figure:
    """The first training images of each class, next to the number of images per class in each split.

    The images are those of the training split, uint8 (N, 28, 28), the labels those of each split, int64 (N,).
    """
    classes = len(about.classes)
    title = f"{about.name}: training images by class, and how many there are in each split"
    figure = new_figure(11, 1.2 + 0.35 * classes, title)
    sheet, counts = figure.subplots(1, 2, width_ratios=[1.25, 1], sharey=True)
    shown = np.zeros((classes, COLUMNS, 28, 28), dtype=np.uint8)
    for label in range(classes):
        chosen = images[labels["train"] == label][:COLUMNS]
        shown[label, : len(chosen)] = chosen
    show_images(sheet, shown.reshape(-1, 28, 28), COLUMNS, gap=2)
    rows = 16 + 30 * np.arange(classes)
    sheet.set(yticks=rows, yticklabels=[shorten(name, 16) for name in about.classes], xticks=[])
    sheet.tick_params(length=0)
    sheet.spines[:].set_visible(False)

    for index, (split, values) in enumerate(labels.items()):
        numbers, position = np.bincount(values, minlength=classes), rows + 8 * (index - 1)
        counts.barh(position, numbers, 8, color=COLORS[index], label=f"{split}: {len(values):,}")
    counts.set(xlabel="images")
    counts.tick_params(axis="y", length=0)
    counts.spines[["top", "right"]].set_visible(False)
    counts.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return figure
