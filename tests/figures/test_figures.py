"""The figures in plots/."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from conftest import ROOT, Run
from digits.dataset import Description
from digits.figures.classifier import draw_confused, draw_curves, draw_most_wrong, draw_saliency
from digits.figures.data import draw_data
from digits.figures.style import ENLARGED, save_figure, shorten_both, tile
from digits.known_datasets import PUBLISHED
from samples import ACTUAL, CONFIDENCE, IMAGES, MNIST, PREDICTED

IMAGES = IMAGES[:500]
DIGITS = MNIST.classes
MANY = [f"{n} dollars$ and some more" for n in range(22)]
FOLDER = Description(name="folder", classes=MANY, pictures="whole")
NAMES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
CURVES = [{"epoch": epoch, **dict.fromkeys(NAMES, 0.1 * epoch)} for epoch in (1, 2, 3)]
SALIENCY = np.random.default_rng(0).normal(size=(10, 28, 28))


def test_tiles_stand_in_rows_and_columns() -> None:
    tiles = tile(np.arange(5).reshape(5, 1, 1), 3, gap=1, fill=9)
    assert tiles.tolist() == [[9] * 7, [9, 0, 9, 1, 9, 2, 9], [9] * 7, [9, 3, 9, 4, 9, 9, 9], [9] * 7]


FIGURES: dict[str, Callable[[], Figure]] = {
    "data": lambda: draw_data(MNIST, IMAGES, {"train": ACTUAL, "val": ACTUAL[:0], "test": ACTUAL[:9]}),
    "most wrong": lambda: draw_most_wrong(IMAGES, ACTUAL, PREDICTED, CONFIDENCE, DIGITS),
    "no errors": lambda: draw_most_wrong(IMAGES, ACTUAL, ACTUAL, CONFIDENCE, DIGITS),
    "confused": lambda: draw_confused(IMAGES, ACTUAL, PREDICTED, CONFIDENCE, DIGITS),
    "nothing confused": lambda: draw_confused(IMAGES, ACTUAL, ACTUAL, CONFIDENCE, DIGITS),
    "curves": lambda: draw_curves(CURVES),
    "curves without validation": lambda: draw_curves([{**row, "val_loss": "", "val_accuracy": ""} for row in CURVES]),
    "saliency": lambda: draw_saliency(SALIENCY, DIGITS),
    "data of 22 classes": lambda: draw_data(FOLDER, IMAGES, {"train": ACTUAL, "val": ACTUAL[:9]}),
    "most wrong of 22": lambda: draw_most_wrong(IMAGES, 2 * ACTUAL, 2 * PREDICTED, CONFIDENCE, MANY),
    "confused of 22": lambda: draw_confused(IMAGES, 2 * ACTUAL, 2 * PREDICTED, CONFIDENCE, MANY),
    "saliency of 3": lambda: draw_saliency(SALIENCY[:3], MANY[:3]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_a_title_and_are_not_blank(tmp_path: Path, name: str) -> None:
    figure = FIGURES[name]()
    assert figure.get_suptitle()
    save_figure(tmp_path / "figure", figure)
    with Image.open(tmp_path / "figure") as image:
        assert image.format == "PNG"
        assert "Software" not in image.info
        assert image.width <= 1100
        assert len(set(image.convert("L").get_flattened_data())) > 20


def test_the_most_wrong_are_the_most_confident_errors() -> None:
    texts = [text.get_text() for text in draw_most_wrong(IMAGES, ACTUAL, PREDICTED, CONFIDENCE, DIGITS).axes[0].texts]
    wrong = np.flatnonzero(ACTUAL != PREDICTED)
    worst = wrong[CONFIDENCE[wrong].argmax()]
    assert texts[0] == f"{ACTUAL[worst]} → {PREDICTED[worst]}   {CONFIDENCE[worst]:.1%}"
    assert len(texts) == 32


def test_names_of_classes_are_complete_where_they_fit() -> None:
    clothes = PUBLISHED["fashion-mnist"].about.classes
    axes = draw_confused(IMAGES, ACTUAL, PREDICTED, CONFIDENCE, clothes).axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels(), draw_saliency(SALIENCY, clothes).axes[0].texts):
        assert [label.get_text() for label in labels] == clothes
    assert shorten_both("Bag", "T-shirt or top", 17) == ("Bag", "T-shirt or top")
    assert shorten_both("Ankle boot", "T-shirt or top", 17) == ("Ankle b…", "T-shirt …")


def test_each_confusion_is_in_its_cell() -> None:
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    images[0], images[1], images[2] = 50, 100, 200
    figure = draw_confused(images, np.array([7, 7, 3]), np.array([2, 2, 3]), np.array([0.5, 0.9, 1.0]), DIGITS)
    canvas = 255 - np.asarray(figure.axes[0].images[0].get_array())[::ENLARGED, ::ENLARGED]
    cell = canvas[2 + 30 * 7 : 30 + 30 * 7, 2 + 30 * 2 : 30 + 30 * 2]
    assert (cell == 100).all()
    assert canvas.sum() == cell.sum()


def test_the_backend_of_a_notebook_of_another_environment_does_not_matter(run: Run) -> None:
    command = "import digits, matplotlib; print(matplotlib.get_backend())"
    assert run(ROOT / "stages", "python", "-c", command, MPLBACKEND="module://nowhere") == "agg\n"
