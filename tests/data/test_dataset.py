"""Data sets, their file, their split, and the bundled digits."""

from pathlib import Path

import numpy as np
import pytest

from digits.data.raw import ARCHIVE_NAMES, ARCHIVES, copy_archives, read_description, read_raw, write_raw
from digits.data.split import split_every_class, stratified_split
from digits.dataset import Dataset, load_dataset, pixel_statistics, save_dataset
from digits.foundation.stage import UserError
from digits.foundation.tensors import write_tensors
from samples import CLASSES, IMAGES, LABELS, MNIST, packed_idx, some_digits


def test_statistics_are_those_of_numpy() -> None:
    mean, std = pixel_statistics(IMAGES)
    assert mean == pytest.approx((IMAGES / 255).mean(), rel=1e-12)
    assert std == pytest.approx((IMAGES / 255).std(), rel=1e-12)


@pytest.mark.parametrize("count", [0, 3])
def test_a_data_set_survives_its_file(tmp_path: Path, count: int) -> None:
    dataset = Dataset(IMAGES[:count], np.arange(count))
    save_dataset(tmp_path / "a", dataset)
    loaded = load_dataset(str(tmp_path / "a"), CLASSES, allow_empty=True)  # text is a path, too
    assert np.array_equal(loaded.images, dataset.images)
    assert np.array_equal(loaded.labels, dataset.labels)
    assert len(loaded) == count


def test_data_sets_follow_one_another() -> None:
    digits, more = some_digits(0, 3), some_digits(3, 5)
    together = digits.extended(more, 2)
    np.testing.assert_array_equal(together.labels, [*digits.labels, *more.labels, *more.labels])
    np.testing.assert_array_equal(together.images[5:], more.images[[0, 1]])
    assert digits.extended(more, 0) is digits


def test_raw_data_replaces_that_of_another_kind(tmp_path: Path) -> None:
    folder, archives = tmp_path / "raw", tmp_path / "archives"
    archives.mkdir()
    digits = {"train": some_digits(0, 5), "test": some_digits(5, 8)}
    for split, (labels_name, images_name) in ARCHIVES.items():
        (archives / labels_name).write_bytes(packed_idx(digits[split].labels))
        (archives / images_name).write_bytes(packed_idx(digits[split].images))
    for names in ({*ARCHIVE_NAMES}, {"train.safetensors", "test.safetensors"}, {*ARCHIVE_NAMES}):
        if "train.safetensors" in names:
            write_raw(folder, MNIST, digits["train"], digits["test"])
        else:
            copy_archives(archives, folder, MNIST)
        assert {path.name for path in folder.iterdir()} == {*names, "dataset.json"}
        assert read_description(folder) == MNIST
        for split, expected in digits.items():
            found = read_raw(folder, split, CLASSES)
            np.testing.assert_array_equal(found.images, expected.images, strict=True)
            np.testing.assert_array_equal(found.labels, expected.labels, strict=True)


def test_a_damaged_data_set_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="is missing"):
        load_dataset(path, CLASSES)
    path.write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"is damaged: .*header"):
        load_dataset(path, CLASSES)
    images = np.zeros((2, 28, 28), np.float32)
    for tensors, problem in [
        ({"images": images}, r"expected images and labels, got images float32 \(2, 28, 28\)"),
        ({"images": images, "labels": images[0, 0]}, r"expected images, .* and labels, int64 .N,., got "),
        ({"images": IMAGES[:2], "labels": np.array([3, 10])}, "labels must be 0 to 9, got 3 to 10"),
        ({"images": IMAGES[:0], "labels": np.arange(0)}, "expected images, got none"),
    ]:
        write_tensors(path, tensors)
        with pytest.raises(UserError, match=problem):
            load_dataset(path, CLASSES)


@pytest.mark.parametrize("size", [0, 1, 137, 1000, 1797])
def test_a_split_keeps_the_share_of_every_digit(size: int) -> None:
    labels = LABELS
    rest, drawn = stratified_split(labels, size, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(labels)))
    assert len(drawn) == size
    expected = np.bincount(labels, minlength=10) * size / len(labels)
    assert np.abs(np.bincount(labels[drawn], minlength=10) - expected).max() <= 1


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
