"""Digits that others wrote are read upright, light on dark and with their labels, and the page shows the results."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import savemat

import other_writers as benchmark
from doc_tables import with_table
from off_data_set import CONVERTED, ORIGINAL

CORNER = np.zeros((16, 16))  # ink at the upper right
CORNER[1, 14] = 255


def check(images: np.ndarray, labels: np.ndarray, expected: list[int]) -> None:
    assert labels.tolist() == expected
    assert images.dtype == np.uint8
    assert np.array_equal(images, [CORNER] * len(expected))


def test_usps_is_upright(tmp_path: Path) -> None:
    pixels = CORNER.reshape(256, 1) / 127.5 - 1
    labels = {3: 2 * np.eye(10)[:, 3:4] - 1, 0: 2 * np.eye(10)[:, :1] - 1}
    parts = {"train_patterns": pixels, "train_labels": labels[3], "test_patterns": pixels, "test_labels": labels[0]}
    savemat(tmp_path / "usps.mat", parts)
    check(*benchmark.read_usps(tmp_path / "usps.mat")[1:], [3, 0])


def test_the_tenth_digit_of_all_usps_is_0(tmp_path: Path) -> None:
    columns = np.broadcast_to(CORNER.T.reshape(256, 1, 1), (256, 2, 10)).astype(np.uint8)
    savemat(tmp_path / "usps.mat", {"data": columns})
    check(*benchmark.read_usps_all(tmp_path / "usps.mat")[1:], [digit % 10 for digit in range(1, 11) for _ in range(2)])


def test_optdigits_is_upright(tmp_path: Path) -> None:
    (tmp_path / "rows.dat").write_text(",".join("0" * 14 + "8" + "0" * 49) + ",7\n" + ",".join("0" * 64) + ",0\n")
    _, images, labels = benchmark.read_optdigits(tmp_path / "rows.dat")
    assert labels.tolist() == [7, 0]
    assert np.argwhere(images).tolist() == [[0, 1, 6]]
    assert images.dtype == np.uint8
    assert images.max() == 128  # of 255, as 8 is of 16


def test_pens_write_from_the_top(tmp_path: Path) -> None:
    """From the upper left to the right, and down."""
    (tmp_path / "rows.dat").write_text("  0, 100, 100, 100," + " 100, 0," * 6 + " 7\n")
    _, images, labels = benchmark.read_pendigits(tmp_path / "rows.dat")
    assert labels.tolist() == [7]
    assert images.shape == (1, benchmark.SIDE, benchmark.SIDE)
    assert [images[0][place] for place in [(10, 35), (35, 60)]] == [255, 255]
    assert [images[0][place] for place in [(35, 10), (60, 35)]] == [0, 0]


def test_every_data_set_is_there_for_every_model() -> None:
    results = pd.read_csv(benchmark.RESULTS)
    kinds = {"USPS", "USPS, stretched", "optdigits", "pendigits"}
    assert {(row.images, row.format) for row in results.itertuples()} == set(product(kinds, (ORIGINAL, CONVERTED)))
    assert results.groupby("model").size().eq(2 * len(kinds)).all()
    assert ((results["low"] <= results["accuracy"]) & (results["accuracy"] <= results["high"])).all()


def test_the_page_shows_what_was_measured() -> None:
    text = benchmark.PAGE.read_text(encoding="utf-8")
    assert text == with_table(text, "other writers", benchmark.intervals_table(pd.read_csv(benchmark.RESULTS)))
