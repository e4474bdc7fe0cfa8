"""Archives: written, read back, and damaged in every way."""

import gzip
import struct
from pathlib import Path

from conftest import CLASSES
from digits.data.idx import MAX_BLOCK, read_idx, write_idx
from digits.data.raw import read_description, read_raw
from digits.foundation.stage import UserError

import numpy as np
import pytest

IMAGES = np.random.default_rng(0).integers(0, 256, size=(5, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], dtype=np.uint8)


def pack(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def header(*shape: int, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape)


def test_what_is_written_is_read_and_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_idx(tmp_path / name, IMAGES)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert np.array_equal(read_idx(tmp_path / "a", (28, 28)), IMAGES)


@pytest.mark.parametrize("length", [1, MAX_BLOCK - 8, MAX_BLOCK - 7, 3 * MAX_BLOCK])
def test_what_is_written_does_not_depend_on_a_compressor(tmp_path: Path, length: int) -> None:
    labels = np.arange(length, dtype=np.uint8) % 10
    write_idx(tmp_path / "labels", labels)
    assert np.array_equal(read_idx(tmp_path / "labels", ()), labels)
    assert labels.tobytes()[: MAX_BLOCK - 8] in (tmp_path / "labels").read_bytes()


WHOLE = header(5, 28, 28) + IMAGES.tobytes()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "magic number has to be 00000803, got nothing"),
        (b"<html>", "cannot be unpacked"),
        (pack(WHOLE)[:-9], "cannot be unpacked"),
        (pack(WHOLE)[:1000] + b"\x00" + pack(WHOLE)[1001:], "cannot be unpacked"),
        (pack(b""), "got nothing"),
        (pack(header(5) + LABELS.tobytes()), "magic number has to be 00000803, got 00000801"),
        (pack(header(5, 28, 28, kind=13) + IMAGES.tobytes()), "got 00000d03"),
        (pack(WHOLE[:10]), "ends inside its header"),
        (pack(header(5, 28, 27) + IMAGES[:, :, :27].tobytes()), "shape .28, 28., got .28, 27."),
        (pack(header(6, 28, 28) + IMAGES.tobytes()), "claims 4704 bytes, got 3920"),
        (pack(header(2**32 - 1, 28, 28)), "1 to 1,000,000 items, got 4,294,967,295"),
        (pack(WHOLE + b"\x00"), "claims 3920 bytes, got more"),
    ],
)
def test_a_damaged_archive_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "archive.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=problem) as caught:
        read_idx(path, (28, 28))
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing; `dvc repro`"):
        read_idx(tmp_path / "nothing.gz", ())
    with pytest.raises(UserError, match="is missing; `dvc repro`"):
        read_description(tmp_path)


def write_raw(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    write_idx(folder / "train-images-idx3-ubyte.gz", images)
    write_idx(folder / "train-labels-idx1-ubyte.gz", labels)
    return folder


def test_images_and_labels_together(tmp_path: Path) -> None:
    dataset = read_raw(write_raw(tmp_path, IMAGES, LABELS), "train", CLASSES)
    assert dataset.images.dtype == np.uint8
    assert dataset.labels.tolist() == LABELS.tolist()
    assert dataset.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("images", "labels", "problem"),
    [
        (IMAGES, LABELS[:4], "got 5 for 4"),
        (IMAGES[:0], LABELS[:0], "1 to 1,000,000 items, got 0"),
        (IMAGES, LABELS + 5, "labels have to be 0 to 9, got 10"),
        (LABELS, IMAGES, "magic number"),
    ],
)
def test_archives_that_do_not_belong_together(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        read_raw(write_raw(tmp_path, images, labels), "train", CLASSES)
