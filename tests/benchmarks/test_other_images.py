"""Images other than MNIST's, changed or by other writers: they are what they say, and the pages show the results."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

import off_data_set
import other_writers
from doc_tables import with_table
from samples import some_digits

DIGITS = [Image.fromarray(image) for image in some_digits(0, 10).images]
CORNER = np.zeros((16, 16))  # ink at the upper right
CORNER[1, 14] = 255


@pytest.mark.parametrize(
    ("page", "path", "name", "table", "kinds"),
    [
        (
            off_data_set.PAGE,
            off_data_set.RESULTS,
            "off data set",
            off_data_set.accuracies_table,
            {*off_data_set.CHANGES, "scikit-learn's digits"},
        ),
        (
            off_data_set.WRITERS_PAGE,
            off_data_set.WRITERS_RESULTS,
            "other writers",
            off_data_set.intervals_table,
            {"USPS", "USPS, stretched", "optdigits", "pendigits"},
        ),
    ],
    ids=["off data set", "other writers"],
)
def test_the_page_shows_all_results(
    page: Path, path: Path, name: str, table: Callable[[pd.DataFrame], str], kinds: set[str]
) -> None:
    results, text = pd.read_csv(path), page.read_text(encoding="utf-8")
    assert text == with_table(text, name, table(results))
    formats = off_data_set.ORIGINAL, off_data_set.CONVERTED
    assert {(row.images, row.format) for row in results.itertuples()} == set(product(kinds, formats))
    assert results.groupby("model").size().eq(2 * len(kinds)).all()
    assert ((results["low"] <= results["accuracy"]) & (results["accuracy"] <= results["high"])).all()


def test_a_change_leaves_as_much_ink_as_it_says() -> None:
    for name, least, most in [
        ("MNIST's test images", 1, 1),
        ("turned by 15°", 0.9, 1.1),
        ("moved to anywhere", 1, 1),
        ("strokes 1 pixel thinner", 0.2, 0.9),
        ("strokes 2 pixels thicker", 1.2, 3),
        ("noisy", 1.05, 3),
    ]:
        for digit in DIGITS:
            changed = np.asarray(off_data_set.CHANGES[name](digit, np.random.default_rng(0)), float)
            assert changed.shape == (28, 28)
            assert least <= changed.sum() / np.asarray(digit, float).sum() <= most, name
    changed = np.asarray(off_data_set.CHANGES["dark on light"](DIGITS[0], np.random.default_rng(0)))
    assert np.array_equal(changed, 255 - np.asarray(DIGITS[0]))


def test_a_refused_image_counts_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = SimpleNamespace(
        dataset="mnist",
        probabilities=lambda images: np.eye(10)[np.zeros(len(images), int)],
        knows=lambda images: np.arange(len(images)) != 1,
    )
    # The first is read, the second looks like nothing that the model knows, on the third there is nothing.
    images = np.stack([*map(np.asarray, DIGITS[:2]), np.zeros((28, 28), np.uint8)])
    condition = other_writers.Condition("some", images, np.array([0, 0, 0]))
    original, converted = off_data_set.measure({"one": model}, [condition])
    assert (original["accuracy"], converted["accuracy"], converted["refused"]) == (1.0, pytest.approx(1 / 3), 2)
    monkeypatch.setattr(off_data_set, "Recognizer", lambda _: SimpleNamespace(dataset="kmnist"))
    with pytest.raises(SystemExit, match="must be trained on MNIST, got other;"):
        off_data_set.open_models([Path("models/other.onnx")])


def test_usps_is_upright_and_the_tenth_digit_of_all_of_it_is_0(tmp_path: Path) -> None:
    pixels, digits = CORNER.reshape(256, 1) / 127.5 - 1, 2 * np.eye(10) - 1
    train = {"train_patterns": pixels, "train_labels": digits[:, [3]]}
    test = {"test_patterns": pixels, "test_labels": digits[:, [0]]}
    columns = np.broadcast_to(CORNER.T.reshape(256, 1, 1), (256, 2, 10)).astype(np.uint8)
    for read, content, expected in [
        (other_writers.read_usps, train | test, [3, 0]),
        (other_writers.read_usps_all, {"data": columns}, [digit % 10 for digit in range(1, 11) for _ in range(2)]),
    ]:
        savemat(tmp_path / "usps.mat", content)
        _, images, labels = read(tmp_path / "usps.mat")
        assert labels.tolist() == expected
        assert images.dtype == np.uint8
        assert np.array_equal(images, [CORNER] * len(expected))


def test_optdigits_is_upright(tmp_path: Path) -> None:
    (tmp_path / "rows.dat").write_text(",".join("0" * 14 + "8" + "0" * 49) + ",7\n" + ",".join("0" * 64) + ",0\n")
    _, images, labels = other_writers.read_optdigits(tmp_path / "rows.dat")
    assert labels.tolist() == [7, 0]
    assert np.argwhere(images).tolist() == [[0, 1, 6]]
    assert images.dtype == np.uint8
    assert images.max() == 128  # of 255, as 8 is of 16


def test_pens_write_from_the_top(tmp_path: Path) -> None:
    """From the upper left to the right, and down."""
    (tmp_path / "rows.dat").write_text("  0, 100, 100, 100," + " 100, 0," * 6 + " 7\n")
    _, images, labels = other_writers.read_pendigits(tmp_path / "rows.dat")
    assert labels.tolist() == [7]
    assert images.shape == (1, other_writers.SIDE, other_writers.SIDE)
    assert [images[0][place] for place in [(10, 35), (35, 60)]] == [255, 255]
    assert [images[0][place] for place in [(35, 10), (60, 35)]] == [0, 0]
