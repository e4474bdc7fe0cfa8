"""Archives and the file beside them, intact or with anything in them: a message that helps, or what was packed."""

import gzip
import math
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
    members = pack(CONTENT[:9]) + pack(b"") + pack(CONTENT[9:])
    for packed in (PACKED, MEMBER, pack(CONTENT, compresslevel=0), MEMBER + bytes(100), members):
        assert not read(tmp_path, packed)


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"", r"1 to 1,000,000 items of bytes, each of shape \(28, 28\), got nothing"),
        (b"<html>", "cannot be unpacked"),
        (packed_idx(np.zeros(2)), "items of bytes, .*, got 00000801000000020000"),
        (pack(CONTENT[:10]), "items of bytes, .*, got 00000803000000020000;"),
        (packed_idx(IMAGES[:, :, :27]), "items of bytes, .*, got 00000803000000020000001c0000001b"),
        (packed_idx(IMAGES[:0]), "items of bytes, .*, got 00000803000000000000001c"),
        (pack(CONTENT[:-1]), "claims 1568 bytes, got 1567"),
        (pack(CONTENT + b"0"), "claims 1568 bytes, got more"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, packed: bytes, problem: str) -> None:
    assert re.search(problem, read(tmp_path, packed))


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
    "the right images, then zeros": MEMBER + ZEROS,
    "the right header, then zeros": pack(CONTENT[:16]) + ZEROS,
    "a header that promises 4 billion images": promising(2**32 - 1, 28, 28) + ZEROS,
    "one that promises all that it may": promising(MAX_ITEMS, 28, 28) + ZEROS,
    "a name without end": MEMBER[:3] + b"\x08" + MEMBER[4:10] + b"a" * 2_000_000,
    "members without end": pack(b"") * 50_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_archive_that_unpacks_to_10_gigabytes_costs_little(tmp_path: Path, name: str) -> None:
    may_hold = MAX_ITEMS * 28 * 28 / 1e6 if "all" in name else 0
    with little(seconds=20, megabytes=may_hold + 50):
        assert read(tmp_path, BOMBS[name])


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    for read_file in (lambda: read_raw(tmp_path, "train", CLASSES), lambda: read_description(tmp_path)):
        with pytest.raises(UserError, match="is missing; `dvc repro`"):
            read_file()
    (tmp_path / "dataset.json").write_text('{"name": "mnist"}')
    assert refusal(lambda: read_description(tmp_path), tmp_path / "dataset.json")


@many(100)
@given(st.lists(st.integers(0, 9) | st.sampled_from([10, 127, 128, 255]), min_size=1, max_size=4))
def test_labels_that_do_not_fit(tmp_path: Path, labels: list[int]) -> None:
    labels_path, images_path = (tmp_path / name for name in ARCHIVES["train"])
    labels_path.write_bytes(packed_idx(np.array(labels)))
    images_path.write_bytes(packed_idx(IMAGES))
    fewer = len(labels) != len(IMAGES)
    where = images_path if fewer else labels_path
    assert bool(refusal(lambda: read_raw(tmp_path, "train", CLASSES), where)) == (fewer or max(labels) > 9)
