"""The figures of a trained classifier, drawn by evaluate: training curves, errors and saliency."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from digits.figures.style import COLORS, new_figure, tile

import numpy as np
from matplotlib.figure import Figure

ROWS, COLUMNS = 4, 8


def draw_most_wrong(images: np.ndarray, actual: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> Figure:
    """The errors that the model made with the highest confidence, the worst first.

    Args:
        images: uint8 (N, 28, 28).
        actual, predicted: int64 (N,).
        confidence: float (N,), the probability given to the predicted digit.
    """
    wrong = np.flatnonzero(actual != predicted)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][: ROWS * COLUMNS]
    title = f"Most wrong: {len(worst)} of {len(wrong):,} errors on {len(images):,} test images, actual → predicted"
    figure = new_figure(10, 5.7, title)
    axes = figure.subplots()
    shown = np.zeros((ROWS * COLUMNS, 28, 28), dtype=np.uint8)
    shown[: len(worst)] = images[worst]
    axes.imshow(255 - tile(shown.reshape(ROWS, COLUMNS, 28, 28), gap=10, fill=0), cmap="gray", vmin=0, vmax=255)
    for position, index in enumerate(worst):
        row, column = divmod(position, COLUMNS)
        text = f"{actual[index]} → {predicted[index]}   {confidence[index]:.1%}"
        axes.text(24 + 38 * column, 6 + 38 * row, text, ha="center", va="center")
    if len(worst) == 0:
        axes.text(0.5, 0.5, "no errors", transform=axes.transAxes, ha="center")
    axes.set_axis_off()
    return figure


def draw_confused(images: np.ndarray, actual: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> Figure:
    """For each pair of actual digit (row) and predicted digit (column), the error with the highest confidence."""
    gallery = np.zeros((10, 10, 28, 28), dtype=np.uint8)
    for index in np.argsort(confidence, kind="stable"):
        if actual[index] != predicted[index]:
            gallery[actual[index], predicted[index]] = images[index]
    figure = new_figure(7, 7, "One error of each kind: the most confident one")
    axes = figure.subplots()
    axes.imshow(255 - tile(gallery, gap=2, fill=0), cmap="gray", vmin=0, vmax=255)
    ticks, names = [16 + 30 * digit for digit in range(10)], list("0123456789")
    axes.set(xticks=ticks, xticklabels=names, xlabel="predicted digit", yticks=ticks, yticklabels=names)
    axes.set_ylabel("actual digit")
    axes.tick_params(length=0)
    for line in range(11):
        axes.axhline(30 * line + 0.5, color="#cccccc", linewidth=0.5)
        axes.axvline(30 * line + 0.5, color="#cccccc", linewidth=0.5)
    axes.spines[:].set_visible(False)
    return figure


def draw_saliency(saliency: np.ndarray) -> Figure:
    """Which pixels speak for each digit, and which against it.

    Args:
        saliency: float (10, 28, 28), from `mean_saliency`.
    """
    figure = new_figure(10, 4.2, "What the model looks at: ink that speaks for the digit (blue) and against it (red)")
    axes = figure.subplots()
    limit = float(np.abs(saliency).max()) or 1.0
    canvas = tile(saliency.reshape(2, 5, 28, 28), gap=4, fill=np.nan)
    drawn = axes.imshow(canvas, cmap="RdBu", vmin=-limit, vmax=limit)
    for digit in range(10):
        row, column = divmod(digit, 5)
        axes.text(6 + 32 * column, 6 + 32 * row, str(digit), ha="left", va="top", fontsize=12)
    axes.set_axis_off()
    figure.colorbar(
        drawn,
        ax=axes,
        label="change of the logit, less the mean of all,\nper standard deviation of the pixel",
        shrink=0.9,
    )
    return figure


def draw_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and accuracy by epoch.

    Args:
        rows: of metrics/train.csv; validation metrics are "" if there are no validation images.
    """
    figure = new_figure(5, 5.7, "Loss and accuracy by epoch")
    epochs = [row["epoch"] for row in rows]
    for axes, metric in zip(figure.subplots(2, 1, sharex=True), ("loss", "accuracy"), strict=True):
        for split, style in (("train", "-"), ("val", "--")):
            values = [math.nan if (value := row[f"{split}_{metric}"]) == "" else value for row in rows]
            if not all(map(math.isnan, values)):
                axes.plot(epochs, values, style, color=COLORS[0], label=split)
        axes.set_ylabel(metric)
        axes.grid(color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure
