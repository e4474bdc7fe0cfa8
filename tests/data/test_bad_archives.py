"""Archives and the file beside them, intact or with anything in them: a message that helps, or what was packed."""

import gzip
import json
import math
import os
import re
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bad_input import little, many, refusal
from digits.data.idx import MAX_ITEMS, read_idx
from digits.data.raw import ARCHIVES, read_description, read_raw
from digits.foundation.stage import UserError
from samples import CLASSES, packed_idx

IMAGES = np.random.default_rng(0).integers(0, 4, size=(2, 28, 28), dtype=np.uint8)
CONTENT = struct.pack(">HBBIII", 0, 8, 3, *IMAGES.shape) + IMAGES.tobytes()
PLACES = st.integers(0, len(CONTENT))


def pack(content: bytes, **options: Any) -> bytes:
    return gzip.compress(content, mtime=0, **options)


# With a name and a comment in the header of its only member, which the checksum does not cover.
MEMBER = pack(CONTENT)
PACKED = MEMBER[:3] + b"\x18" + MEMBER[4:10] + b"images\0MNIST\0" + MEMBER[10:]


def read(folder: Path, packed: bytes) -> str:
    """Read an archive of these bytes: the refusal, or nothing where it holds just the images."""
    path = folder / "images.gz"
    path.write_bytes(packed)
    message = refusal(lambda: read_idx(path, (28, 28)), path)
    assert message or np.array_equal(read_idx(path, (28, 28)), IMAGES)
    return message


def test_what_is_packed_in_any_way_is_read(tmp_path: Path) -> None:
    for packed in (PACKED, MEMBER, pack(CONTENT, compresslevel=0), MEMBER + bytes(100), MEMBER + pack(b"")):
        assert not read(tmp_path, packed)


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"", "magic number must be 00000803, got nothing"),
        (b"<html>", "cannot be unpacked"),
        (pack(struct.pack(">HBBI", 0, 8, 1, 2) + b"12"), "magic number must be 00000803, got 00000801"),
        (pack(CONTENT[:10]), "ends inside its header"),
        (packed_idx(IMAGES[:, :, :27]), r"shape \(28, 28\), got \(28, 27\)"),
        (packed_idx(IMAGES[:0]), "1 to 1,000,000 items, got 0"),
        (pack(CONTENT[:-1]), "claims 1568 bytes, got 1567"),
        (pack(CONTENT + b"0"), "claims 1568 bytes, got more"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, packed: bytes, problem: str) -> None:
    assert re.search(problem, read(tmp_path, packed))


@many(50)
@given(st.lists(PLACES, max_size=5).map(sorted))
def test_several_members_are_one_stream(tmp_path: Path, cuts: list[int]) -> None:
    parts = zip([0, *cuts], [*cuts, len(CONTENT)], strict=True)
    assert not read(tmp_path, b"".join(pack(CONTENT[start:stop]) for start, stop in parts))


def test_what_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    assert all(read(tmp_path, PACKED[:length]) for length in range(len(PACKED)))
    lengths = [*range(20), *range(20, len(CONTENT), 50), len(CONTENT) - 1]
    assert all(read(tmp_path, pack(CONTENT[:length])) for length in lengths)


def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    for place in [*range(40), *range(40, len(PACKED) - 8, 7), *range(len(PACKED) - 8, len(PACKED))]:
        for bit in range(8):
            damaged = bytearray(PACKED)
            damaged[place] ^= 1 << bit
            # Besides the time, the system, the name and the comment, nothing may differ.
            assert read(tmp_path, bytes(damaged)) or 3 <= place < 24


@many(200)
@given(
    start=st.integers(0, len(PACKED)),
    length=st.integers(0, 30),
    inserted=st.binary(max_size=50),
    times=st.integers(1, 2),
)
def test_any_other_damage(tmp_path: Path, start: int, length: int, inserted: bytes, times: int) -> None:
    read(tmp_path, (PACKED[:start] + inserted + PACKED[start + length :]) * times)
    assert read(tmp_path, inserted)
    assert read(tmp_path, pack(inserted))


@many(150)
@given(st.binary(max_size=50), st.binary(max_size=50))
def test_what_follows_is_refused_unless_it_is_nothing(tmp_path: Path, inside: bytes, after: bytes) -> None:
    refused = read(tmp_path, pack(CONTENT + inside) + after)
    assert bool(refused) == bool(inside or after.strip(b"\0"))


SIZES = st.sampled_from([0, 1, 2, 28, 784, MAX_ITEMS, MAX_ITEMS + 1, 2**31, 2**32 - 1])


@many(200)
@given(
    magic=st.tuples(st.sampled_from([0, 0, 0, 1]), st.just(0), st.sampled_from([8, 8, 9, 13]), st.integers(0, 5)),
    shape=st.lists(SIZES, max_size=5) | st.sampled_from([[2, 28, 28], [1, 28, 28], [784], [1], [2]]),
    length=st.sampled_from([0, 1, 2, 784, 1568, 1569]),
)
def test_any_header(tmp_path: Path, magic: tuple[int, ...], shape: list[int], length: int) -> None:
    header = struct.pack(f">4B{len(shape)}I", *magic, *shape)
    path = tmp_path / "archive.gz"
    path.write_bytes(pack(header + bytes(length)))
    for item_shape in ((28, 28), ()):
        if not refusal(partial(read_idx, path, item_shape), path):
            array = read_idx(path, item_shape)
            assert (magic, shape) == ((0, 0, 8, array.ndim), list(array.shape))
            assert math.prod(shape) == length > 0
            assert not array.any()


ZEROS = pack(bytes(2**24)) * 600


def promising(*shape: int) -> bytes:
    return pack(struct.pack(">HBBIII", 0, 8, 3, *shape))


BOMBS = {
    "zeros": ZEROS,
    "the right images, then zeros": MEMBER + ZEROS,
    "the right header, then zeros": pack(CONTENT[:16]) + ZEROS,
    "a header that promises 4 billion images": promising(2**32 - 1, 28, 28) + ZEROS,
    "one that promises images without pixels": promising(2**32 - 1, 0, 0) + ZEROS,
    "one that promises all that it may": promising(MAX_ITEMS, 28, 28) + ZEROS,
    "a name without end": MEMBER[:3] + b"\x08" + MEMBER[4:10] + b"a" * 2_000_000,
    "members without end": pack(b"") * 50_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_archive_that_unpacks_to_10_gigabytes_costs_little(tmp_path: Path, name: str) -> None:
    may_hold = MAX_ITEMS * 28 * 28 / 1e6 if "all" in name else 0
    with little(seconds=20, megabytes=may_hold + 50):
        assert read(tmp_path, BOMBS[name])


def write_archives(folder: Path, images: np.ndarray, labels: np.ndarray) -> tuple[Path, Path]:
    labels_path, images_path = (folder / name for name in ARCHIVES["train"])
    labels_path.write_bytes(packed_idx(labels))
    images_path.write_bytes(packed_idx(images))
    return labels_path, images_path


def test_images_and_labels_together(tmp_path: Path) -> None:
    for read_both in (lambda: read_raw(tmp_path, "train", CLASSES), lambda: read_description(tmp_path)):
        with pytest.raises(UserError, match="is missing; `dvc repro`"):
            read_both()
    write_archives(tmp_path, IMAGES, np.array([3, 9]))
    dataset = read_raw(tmp_path, "train", CLASSES)
    assert dataset.images.dtype == np.uint8
    assert dataset.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.images, IMAGES)
    assert dataset.labels.tolist() == [3, 9]


@many(100)
@given(st.lists(st.integers(0, 9) | st.sampled_from([10, 127, 128, 255]), min_size=1, max_size=4))
def test_labels_that_do_not_fit(tmp_path: Path, labels: list[int]) -> None:
    labels_path, images_path = write_archives(tmp_path, IMAGES, np.array(labels))
    fewer = len(labels) != len(IMAGES)
    where = images_path if fewer else labels_path
    assert bool(refusal(lambda: read_raw(tmp_path, "train", CLASSES), where)) == (fewer or max(labels) > 9)


RIGHT = {"name": "mnist", "classes": ["0", "1"], "pictures": "strokes"}
WRONG: list[dict[str, Any]] = [
    *({"classes": value} for value in (["0"], ["0", "0"], ["0", "\x1b[2J"], ["0", ""], [0, 1])),
    {"name": "MNIST\n"},
    {"pictures": "other"},
    {"more": 1},
]


@many(100)
@given(
    st.binary(max_size=200)
    | st.sampled_from([b"", b"mnist", b"\xff", b"[]", b"{}", *(json.dumps(RIGHT | wrong).encode() for wrong in WRONG)])
)
def test_any_description_of_a_data_set(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(RIGHT))
    assert read_description(tmp_path).model_dump() == RIGHT
    path.write_bytes(content)
    assert refusal(lambda: read_description(tmp_path), path)


def test_a_description_without_end(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.touch()
    os.truncate(path, 10**10)  # takes no space on the disk
    with little(seconds=5, megabytes=10):
        assert refusal(lambda: read_description(tmp_path), path)
