"""The changed images are what their names say, and the docs show the results."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import off_data_set as benchmark
from doc_tables import with_table
from samples import some_digits

DIGITS = [Image.fromarray(image) for image in some_digits(0, 10).images]


def test_the_page_shows_what_was_measured() -> None:
    text = benchmark.PAGE.read_text(encoding="utf-8")
    table = benchmark.accuracies_table(pd.read_csv(benchmark.RESULTS))
    assert text == with_table(text, "off data set", table)


def test_every_kind_of_images_is_there_for_every_model() -> None:
    results = pd.read_csv(benchmark.RESULTS)
    kinds = {*benchmark.CHANGES, "scikit-learn's digits"}
    assert {(row.images, row.format) for row in results.itertuples()} == {
        (kind, name) for kind in kinds for name in (benchmark.ORIGINAL, benchmark.CONVERTED)
    }
    assert results.groupby("model").size().eq(2 * len(kinds)).all()
    assert ((results["low"] <= results["accuracy"]) & (results["accuracy"] <= results["high"])).all()


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("MNIST's test images", 1, 1),
        ("turned by 15°", 0.9, 1.1),
        ("moved to anywhere", 1, 1),
        ("strokes 1 pixel thinner", 0.2, 0.9),
        ("strokes 2 pixels thicker", 1.2, 3),
        ("noisy", 1.05, 3),
    ],
)
def test_a_change_leaves_as_much_ink_as_it_says(name: str, least: float, most: float) -> None:
    for digit in DIGITS:
        changed = np.asarray(benchmark.CHANGES[name](digit, np.random.default_rng(0)), float)
        assert changed.shape == (28, 28)
        assert least <= changed.sum() / np.asarray(digit, float).sum() <= most


def test_a_refused_image_counts_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = SimpleNamespace(
        dataset="mnist",
        probabilities=lambda images: np.eye(10)[np.zeros(len(images), int)],
        knows=lambda images: np.arange(len(images)) != 1,
    )
    # The first is read, the second looks like nothing that the model knows, on the third there is nothing.
    images = np.stack([*map(np.asarray, DIGITS[:2]), np.zeros((28, 28), np.uint8)])
    condition = benchmark.Condition("some", images, np.array([0, 0, 0]))
    original, converted = benchmark.measure({"one": model}, [condition])
    assert (original["accuracy"], converted["accuracy"], converted["refused"]) == (1.0, pytest.approx(1 / 3), 2)
    monkeypatch.setattr(benchmark, "Recognizer", lambda _: SimpleNamespace(dataset="kmnist"))
    with pytest.raises(SystemExit, match="must be trained on MNIST, got other;"):
        benchmark.open_models([Path("models/other.onnx")])


def test_dark_on_light_is_the_opposite() -> None:
    changed = benchmark.CHANGES["dark on light"](DIGITS[0], np.random.default_rng(0))
    assert np.array_equal(np.asarray(changed), 255 - np.asarray(DIGITS[0]))
