"""Splits by class: download draws test images, preprocess the validation images."""

import numpy as np


def stratified_split(labels: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `size` of N items, 0 to N, with these labels, int (N,), so that each keeps its share, to within one item.

    Systematic sampling: shuffle, sort by label, take every (N / size)-th item. The result is the indices of the items
    that remain and of those drawn, both int64 and in ascending order.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    drawn = np.zeros(len(labels), dtype=bool)
    drawn[by_label[np.arange(size) * len(labels) // max(size, 1)]] = True
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)


def split_every_class(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a share, in (0, 1), of each class, which has two items or more, so that both sides get at least one of it.

    The labels and the result are like those of `stratified_split`.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    drawn = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        drawn[members[: np.clip(round(share * len(members)), 1, len(members) - 1)]] = True
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)
