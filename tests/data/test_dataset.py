"""Data sets, their split, the bundled digits, and shapes that are no digits."""

import numpy as np
import pytest

from digits.data.others import FONTS, LIKE_DIGITS, other_shapes
from digits.data.split import split_every_class, stratified_split
from digits.dataset import pixel_statistics
from samples import CLASSES, IMAGES, LABELS, MNIST, some_digits


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


@pytest.mark.parametrize("size", [0, 1, 137, 1000, 1797])
def test_a_split_keeps_the_share_of_every_digit_and_follows_its_seed(size: int) -> None:
    rest, drawn = stratified_split(LABELS, size, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(LABELS)))
    assert len(drawn) == size
    expected = np.bincount(LABELS, minlength=10) * size / len(LABELS)
    assert np.abs(np.bincount(LABELS[drawn], minlength=10) - expected).max() <= 1
    again, other = (stratified_split(LABELS, size, seed)[1].tolist() for seed in (0, 1))
    assert again == drawn.tolist()
    assert (other == again) == (size in (0, len(LABELS)))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_every_class_is_on_both_sides(share: float) -> None:
    labels = np.repeat([0, 1, 2], [2, 1000, 3])
    rest, drawn = split_every_class(labels, share, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(labels)))
    assert set(labels[rest]) == set(labels[drawn]) == {0, 1, 2}
    assert np.bincount(labels[drawn])[1] == 1000 * share


def test_bundled_digits_have_the_format_of_mnist() -> None:
    assert (IMAGES.shape, str(IMAGES.dtype), str(LABELS.dtype)) == ((1797, 28, 28), "uint8", "int64")
    assert set(LABELS) == set(range(10))
    assert IMAGES[:, 4:24, 4:24].max() > 240
    assert IMAGES.sum() == IMAGES[:, 4:24, 4:24].sum()


def test_letters_lie_as_digits_do() -> None:
    others = other_shapes(MNIST.classes)
    assert set(others.labels) == {CLASSES}
    letters = others.images
    assert letters.shape == (4 * len(FONTS) * (52 - len(LIKE_DIGITS)), 28, 28)
    assert letters.dtype == np.uint8
    assert len(np.unique(letters.reshape(len(letters), -1), axis=0)) == len(letters)
    for letter in letters:
        rows, columns = (np.flatnonzero(letter.any(axis=axis)) for axis in (1, 0))
        assert max(int(places[-1] - places[0]) + 1 for places in (rows, columns)) == 20
        assert all(abs(places[0] + places[-1] - 27) <= 1 for places in (rows, columns))


def test_other_classes_have_none() -> None:
    assert len(other_shapes(["shirt", "bag"])) == 0
