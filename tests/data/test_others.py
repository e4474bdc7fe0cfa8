"""Shapes that are no digits."""

import numpy as np

from digits.data.others import FONTS, LIKE_DIGITS, other_shapes
from samples import CLASSES, MNIST


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
