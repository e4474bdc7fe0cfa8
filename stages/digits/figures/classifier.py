"""The figures of a trained classifier, drawn by evaluate: training curves, errors and saliency."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from digits.figures.style import COLORS, new_figure, shorten, shorten_both, show_images, tile

ROWS, COLUMNS = 4, 8  # of the most wrong
MOST_CLASSES = 20  # in the gallery of confusions; with more, an image would have a few pixels
SALIENCY_COLUMNS = 5


def draw_most_wrong(
    images: np.ndarray, actual: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, names: Sequence[str]
) -> Figure:
    """The errors that the model made with the highest confidence, the worst first.

    The images are uint8 (N, 28, 28), actual and predicted classes int64 (N,), confidences, the probabilities given to
    the predicted classes, float (N,).
    """
    wrong = np.flatnonzero(actual != predicted)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][: ROWS * COLUMNS]
    title = f"Most wrong: {len(worst)} of {len(wrong):,} errors on {len(images):,} test images, actual → predicted"
    figure = new_figure(10, 0.9 + 1.2 * max(1, math.ceil(len(worst) / COLUMNS)), title)
    axes = figure.subplots()
    show_images(axes, images[worst], COLUMNS, gap=10)
    short = max(map(len, names)) <= 2  # long names leave no room for the confidence
    for position, index in enumerate(worst):
        row, column = divmod(position, COLUMNS)
        pair = " → ".join(shorten_both(names[actual[index]], names[predicted[index]], 18))
        text = f"{pair}   {confidence[index]:.1%}" if short else pair
        axes.text(24 + 38 * column, 6 + 38 * row, text, ha="center", va="center", fontsize=10 if short else 7)
    if len(worst) == 0:
        axes.text(0.5, 0.5, "no errors", transform=axes.transAxes, ha="center")
    axes.set_axis_off()
    return figure


def draw_confused(
    images: np.ndarray, actual: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, names: Sequence[str]
) -> Figure:
    """For each pair of actual class (row) and predicted class (column), the error with the highest confidence.

    If there are too many classes to see anything, it is that for those with the most errors.
    """
    wrong = actual != predicted
    errors = np.bincount(actual[wrong], minlength=len(names)) + np.bincount(predicted[wrong], minlength=len(names))
    chosen = np.sort(np.argsort(-errors, kind="stable")[:MOST_CLASSES])
    gallery = np.zeros((len(names), len(names), 28, 28), dtype=np.uint8)
    by_confidence = np.argsort(confidence, kind="stable")
    for index in by_confidence[wrong[by_confidence]]:  # so the most confident error of each kind remains
        gallery[actual[index], predicted[index]] = images[index]
    what = "the most confident one" if len(chosen) == len(names) else f"{len(chosen)} classes with the most errors"
    figure = new_figure(7, 7, f"One error of each kind: {what}")
    axes = figure.subplots()
    show_images(axes, gallery[np.ix_(chosen, chosen)].reshape(-1, 28, 28), len(chosen), gap=2)
    ticks, labels = 16 + 30 * np.arange(len(chosen)), [shorten(names[label], 16) for label in chosen]
    axes.set(xticks=ticks, xlabel="predicted", yticks=ticks, yticklabels=labels, ylabel="actual")
    axes.set_xticklabels(labels, rotation=90 if max(map(len, labels)) > 2 else 0)
    axes.tick_params(length=0)
    for line in range(len(chosen) + 1):
        axes.axhline(30 * line + 0.5, color="#cccccc", linewidth=0.5)
        axes.axvline(30 * line + 0.5, color="#cccccc", linewidth=0.5)
    axes.spines[:].set_visible(False)
    return figure


def draw_saliency(saliency: np.ndarray, names: Sequence[str]) -> Figure:
    """Which pixels speak for each class, and which against it, by `mean_saliency`, float (classes, 28, 28)."""
    columns = min(len(names), SALIENCY_COLUMNS)
    rows = math.ceil(len(names) / columns)
    title = "What the model looks at: pixels that speak for a class (blue) and against it (red)"
    figure = new_figure(10, max(3.4, 0.4 + 1.9 * rows), title)
    axes = figure.subplots()
    limit = float(np.abs(saliency).max()) or 1.0
    drawn = axes.imshow(tile(saliency, columns, gap=4, fill=np.nan), cmap="RdBu", vmin=-limit, vmax=limit)
    for label, name in enumerate(names):
        row, column = divmod(label, columns)
        axes.text(6 + 32 * column, 6 + 32 * row, shorten(name, 16), ha="left", va="top", fontsize=12)
    axes.set_axis_off()
    unit = "change of the logit, less the mean of all,\nper standard deviation of the pixel"
    figure.colorbar(drawn, ax=axes, label=unit, shrink=0.9, aspect=10 * rows)
    return figure


def draw_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and accuracy by epoch, the rows of metrics/train.csv; without validation images, their metrics are ""."""
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
