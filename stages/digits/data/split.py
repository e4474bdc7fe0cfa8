"""Splits by class: download draws test images, preprocess the validation images."""

import numpy as np


def stratified_split(labels: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `size` items so that every label keeps its share, to within one item.

    Systematic sampling: shuffle, sort by label, take every (N / size)-th item.

    Args:
        labels: int (N,).
        size: how many to draw, 0 to N.
        seed: of the shuffle.

    Returns:
        Indices of the remaining items (N - size,) and of those drawn (size,), each int64, in ascending order.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    drawn = np.zeros(len(labels), dtype=bool)
    drawn[by_label[np.arange(size) * len(labels) // max(size, 1)]] = True
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)


def split_every_class(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a share of each class, so that both sides get at least one item of it.

    Args:
        labels: int (N,); every class has two items or more.
        share: of the items to draw, in (0, 1).
        seed: of the shuffle.

    Returns:
        Indices as of `stratified_split`.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        drawn[members[: np.clip(round(share * len(members)), 1, len(members) - 1)]] = True
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)
