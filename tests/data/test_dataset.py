"""Data sets, their file, their split, and the bundled digits."""

from pathlib import Path

import numpy as np
import pytest

from digits.data.raw import read_raw, write_raw
from digits.data.split import split_every_class, stratified_split
from digits.dataset import pixel_statistics
from digits.foundation.stage import UserError
from samples import IMAGES, LABELS, MNIST, some_digits


def test_statistics_are_those_of_numpy() -> None:
    mean, std = pixel_statistics(IMAGES)
    assert mean == pytest.approx((IMAGES / 255).mean(), rel=1e-12)
    assert std == pytest.approx((IMAGES / 255).std(), rel=1e-12)


def test_data_sets_follow_one_another() -> None:
    digits, more = some_digits(0, 3), some_digits(3, 5)
    together = digits.extended(more, 2)
    np.testing.assert_array_equal(together.labels, [*digits.labels, *more.labels, *more.labels])
    np.testing.assert_array_equal(together.images[5:], more.images[[0, 1]])
    assert digits.extended(more, 0) is digits


def test_raw_data_survives_its_files(tmp_path: Path) -> None:
    written = MNIST, some_digits(0, 5), some_digits(5, 8)
    write_raw(tmp_path, *written)
    about, *read = read_raw(tmp_path)
    assert about == MNIST
    for dataset, expected in zip(read, written[1:], strict=True):
        assert np.array_equal(dataset.images, expected.images)
        assert np.array_equal(dataset.labels, expected.labels)
    (tmp_path / "dataset.json").write_text('{"name": "mnist"}')
    with pytest.raises(
        UserError, match=r"dataset.json: is damaged: classes: is missing; delete it and run `dvc repro`"
    ):
        read_raw(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 137, 1000, 1797])
def test_a_split_keeps_the_share_of_every_digit(size: int) -> None:
    rest, drawn = stratified_split(LABELS, size, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(LABELS)))
    assert len(drawn) == size
    expected = np.bincount(LABELS, minlength=10) * size / len(LABELS)
    assert np.abs(np.bincount(LABELS[drawn], minlength=10) - expected).max() <= 1


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_every_class_is_on_both_sides(share: float) -> None:
    labels = np.repeat([0, 1, 2], [2, 1000, 3])
    rest, drawn = split_every_class(labels, share, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(labels)))
    assert set(labels[rest]) == set(labels[drawn]) == {0, 1, 2}
    assert np.bincount(labels[drawn])[1] == 1000 * share


def test_a_split_follows_its_seed() -> None:
    splits = [stratified_split(LABELS, 100, seed)[1].tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_bundled_digits_have_the_format_of_mnist() -> None:
    assert (IMAGES.shape, str(IMAGES.dtype), str(LABELS.dtype)) == ((1797, 28, 28), "uint8", "int64")
    assert set(LABELS) == set(range(10))
    assert IMAGES[:, 4:24, 4:24].max() > 240
    assert IMAGES.sum() == IMAGES[:, 4:24, 4:24].sum()
