"""Tensors, their file, their split, and the bundled digits."""

from pathlib import Path

from digits.data.dataset import Dataset, load_dataset, pixel_statistics, save_dataset
from digits.data.optdigits import load_optdigits
from digits.data.split import stratified_split
from digits.foundation.stage import UserError
from digits.foundation.tensors import write_tensors

import numpy as np
import pytest

ARRAYS = load_optdigits()


def test_statistics_are_those_of_numpy() -> None:
    mean, std = pixel_statistics(ARRAYS[0])
    assert mean == pytest.approx((ARRAYS[0] / 255).mean(), rel=1e-12)
    assert std == pytest.approx((ARRAYS[0] / 255).std(), rel=1e-12)


@pytest.mark.parametrize("count", [0, 3])
def test_a_data_set_survives_its_file(tmp_path: Path, count: int) -> None:
    dataset = Dataset(ARRAYS[0][:count], np.arange(count))
    save_dataset(tmp_path / "a", dataset)
    loaded = load_dataset(tmp_path / "a", allow_empty=True)
    assert np.array_equal(loaded.images, dataset.images)
    assert np.array_equal(loaded.labels, dataset.labels)
    assert len(loaded) == count


def test_a_damaged_data_set_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="is missing"):
        load_dataset(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"is damaged: .*header"):
        load_dataset(path)
    write_tensors(path, {"images": np.zeros((2, 28, 28), np.float32)})
    with pytest.raises(UserError, match=r"expected images and labels, got images float32 \(2, 28, 28\)"):
        load_dataset(path)
    write_tensors(path, {"images": np.zeros((2, 28, 28), np.float32), "labels": np.zeros(2, np.float32)})
    with pytest.raises(UserError, match=r"expected images, .* and labels, int64 .N,., got "):
        load_dataset(path)
    save_dataset(path, Dataset(ARRAYS[0][:2], np.array([3, 10])))
    with pytest.raises(UserError, match="labels have to be 0 to 9, got 3 to 10"):
        load_dataset(path)
    save_dataset(path, Dataset(ARRAYS[0][:0], np.arange(0)))
    with pytest.raises(UserError, match="expected images, got none"):
        load_dataset(path)


@pytest.mark.parametrize("size", [0, 1, 137, 1000, 1797])
def test_a_split_keeps_the_share_of_every_digit(size: int) -> None:
    labels = ARRAYS[1]
    rest, drawn = stratified_split(labels, size, seed=0)
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(len(labels)))
    assert len(drawn) == size
    expected = np.bincount(labels, minlength=10) * size / len(labels)
    assert np.abs(np.bincount(labels[drawn], minlength=10) - expected).max() <= 1


def test_a_split_follows_its_seed() -> None:
    splits = [stratified_split(ARRAYS[1], 100, seed)[1].tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_bundled_digits_have_the_format_of_mnist() -> None:
    images, labels = ARRAYS
    assert images.shape == (1797, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert set(labels) == set(range(10))
    assert images[:, 4:24, 4:24].max() > 240
    images = images.copy()
    images[:, 4:24, 4:24] = 0
    assert images.max() == 0
