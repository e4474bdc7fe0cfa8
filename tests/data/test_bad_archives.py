"""The archives and the name beside them with anything in them: a message that helps, or what was packed."""

import gzip
import math
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

from bad_input import little, many, refusal
from conftest import CLASSES
from digits.data.idx import MAX_ITEMS, read_idx, write_idx
from digits.data.raw import read_description, read_raw

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@many(100)
@given(st.lists(PLACES, max_size=5).map(sorted))
def test_several_members_are_one_stream(tmp_path: Path, cuts: list[int]) -> None:
    parts = zip([0, *cuts], [*cuts, len(CONTENT)], strict=True)
    assert not read(tmp_path, b"".join(pack(CONTENT[start:stop]) for start, stop in parts))


def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(len(PACKED)):
        assert read(tmp_path, PACKED[:length])


def test_content_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    for length in [*range(20), *range(20, len(CONTENT), 50), len(CONTENT) - 1]:
        assert read(tmp_path, pack(CONTENT[:length]))


def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    for place in [*range(40), *range(40, len(PACKED) - 8, 7), *range(len(PACKED) - 8, len(PACKED))]:
        for bit in range(8):
            damaged = bytearray(PACKED)
            damaged[place] ^= 1 << bit
            # Besides the time, the system, the name and the comment, nothing may differ.
            assert read(tmp_path, bytes(damaged)) or 3 <= place < 24


@many(500)
@given(
    start=st.integers(0, len(PACKED)), length=st.integers(0, 30), inserted=st.binary(max_size=30), again=st.booleans()
)
def test_any_other_damage(tmp_path: Path, start: int, length: int, inserted: bytes, again: bool) -> None:
    damaged = PACKED[:start] + inserted + PACKED[start + length :]
    read(tmp_path, damaged + damaged if again else damaged)


@many(300)
@given(st.binary(max_size=50), st.binary(max_size=50))
def test_what_follows_is_refused_unless_it_is_nothing(tmp_path: Path, inside: bytes, after: bytes) -> None:
    refused = read(tmp_path, pack(CONTENT + inside) + after)
    assert bool(refused) == bool(inside or after.strip(b"\0"))


SIZES = st.sampled_from([0, 1, 2, 28, 784, MAX_ITEMS, MAX_ITEMS + 1, 2**31, 2**32 - 1])


@many(500)
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


@many(200)
@given(st.binary(max_size=200))
def test_no_archive_at_all(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content)
    assert read(tmp_path, pack(content))


MILLIONS = zlib.compressobj(9, zlib.DEFLATED, 31)
ZEROS = MILLIONS.compress(bytes(2**24)) + MILLIONS.flush()
BOMBS = {
    "zeros": ZEROS * 600,
    "the right images, then zeros": MEMBER + ZEROS * 600,
    "the right header, then zeros": pack(CONTENT[:16]) + ZEROS * 600,
    "a header that promises 4 billion images": pack(struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 28, 28)) + ZEROS * 600,
    "one that promises images without pixels": pack(struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 0, 0)) + ZEROS * 600,
    "one that promises all that it may": pack(struct.pack(">HBBIII", 0, 8, 3, MAX_ITEMS, 28, 28)) + ZEROS * 600,
    "a name without end": MEMBER[:3] + b"\x08" + MEMBER[4:10] + b"a" * 2_000_000,
    "members without end": pack(b"") * 50_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_archive_that_unpacks_to_10_gigabytes_costs_little(tmp_path: Path, name: str) -> None:
    may_hold = MAX_ITEMS * 28 * 28 / 1e6 if "all" in name else 0
    with little(seconds=20, megabytes=may_hold + 50):
        assert read(tmp_path, BOMBS[name])


@many(200)
@given(st.lists(st.integers(0, 9) | st.sampled_from([10, 127, 128, 255]), min_size=1, max_size=4))
def test_labels_that_do_not_fit(tmp_path: Path, labels: list[int]) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", IMAGES)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array(labels, dtype=np.uint8))
    fewer = len(labels) != len(IMAGES)
    where = tmp_path / f"train-{'images-idx3' if fewer else 'labels-idx1'}-ubyte.gz"
    assert bool(refusal(lambda: read_raw(tmp_path, "train", CLASSES), where)) == (fewer or max(labels) > 9)


@many(300)
@given(
    st.binary(max_size=200)
    | st.sampled_from(
        [
            b"",
            b"mnist",
            b"\xff",
            b"[]",
            b"{}",
            b'{"name": "mnist", "classes": ["0"], "pictures": "strokes"}',
            b'{"name": "mnist", "classes": ["0", "0"], "pictures": "strokes"}',
            b'{"name": "mnist", "classes": ["0", "\\u001b[2J"], "pictures": "strokes"}',
            b'{"name": "mnist", "classes": ["0", ""], "pictures": "strokes"}',
            b'{"name": "mnist", "classes": [0, 1], "pictures": "strokes"}',
            b'{"name": "emnist", "classes": ["0", "1"], "pictures": "strokes"}',
            b'{"name": "mnist", "classes": ["0", "1"], "pictures": "other"}',
        ]
    )
)
def test_any_description_of_a_data_set(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    assert refusal(lambda: read_description(tmp_path), tmp_path / "dataset.json")


def test_a_description_without_end(tmp_path: Path) -> None:
    with (tmp_path / "dataset.json").open("wb") as file:
        file.truncate(10**10)  # takes no space on the disk
    with little(seconds=5, megabytes=10):
        assert refusal(lambda: read_description(tmp_path), tmp_path / "dataset.json")
