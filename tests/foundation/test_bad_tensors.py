"""Models and data sets with anything in their files: a message that helps, or the tensors that were saved."""

import copy
import errno
import json
import math
import os
import re
import struct
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from bad_input import CHARACTERS, little, many, refusal
from digits.dataset import load_dataset
from digits.foundation.files import replacing
from digits.foundation.tensors import read_tensors, write_tensors
from digits.models.classifier import predict, restore
from digits.models.model_file import load_model, save_model
from samples import CLASSES, MNIST, some_tensors
from small_networks import NETWORKS, build, info_of

ABOUT = MNIST.model_dump()
IMAGES, _ = some_tensors(0, 5)
READERS = load_model, partial(load_dataset, classes=CLASSES)
Files = dict[str, tuple[bytes, dict[str, torch.Tensor], torch.Tensor]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The file of a model of each kind, what it holds, and its logits for some digits."""
    path = tmp_path_factory.mktemp("good") / "model"
    found = {}
    for name, options in NETWORKS.items():
        model = build(name)
        save_model(path, model.arrays(), info_of(name, options))
        found[name] = path.read_bytes(), dict(model.state_dict()), predict(model, IMAGES, 5)
    return found


def load(path: Path, logits: torch.Tensor) -> str:
    """Read a model: the refusal, or nothing where it predicts the same as the one that was saved."""
    message = refusal(lambda: load_model(path), path)
    if not message:
        model = load_model(path)
        assert model.info.architecture in NETWORKS
        assert len(model.info.dataset.classes) == CLASSES  # their names could be any
        assert torch.equal(predict(restore(model), IMAGES, 5), logits)
    return message


def test_a_cut_off_file_is_refused_and_a_damaged_header_found_or_harmless(tmp_path: Path, files: Files) -> None:
    content, _, logits = files["mlp"]
    path = tmp_path / "model"
    header = 8 + int.from_bytes(content[:8], "little")
    for end in [*range(0, header, 5), *range(header, len(content), 999)]:
        path.write_bytes(content[:end])
        assert refusal(lambda: load_model(path), path)
    for place in [*range(20), *range(20, header, 3)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        load(path, logits)


DIMENSIONS = st.integers(-1, 3) | st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64 - 1, 10**30])
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F32", "U8", "I64", "BF16", "F8_E4M3", "F4", "C64", "BOOL", "?\x1b[2J"]),
        "shape": st.lists(DIMENSIONS, max_size=3),
        "data_offsets": st.lists(st.sampled_from([0, 0, 1, 4, 8, 2**63]), min_size=2, max_size=2).map(sorted),
    }
)
NAME = st.sampled_from(["images", "labels", "mean", "std", "layers.1.bias", "", "\x1b[2J", "__metadata__"])
HEADER = st.dictionaries(
    NAME, ENTRY | st.none() | st.dictionaries(NAME, st.text(CHARACTERS + "\0", max_size=3) | st.integers(), max_size=2)
)


@many(100)
@given(header=HEADER, data=st.binary(max_size=8), length=st.none() | st.sampled_from([0, 1, 10**8, 2**63, 2**64 - 1]))
def test_any_header(tmp_path: Path, header: dict[str, Any], data: bytes, length: int | None) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "file"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    assert all(refusal(partial(read, path), path) for read in READERS)
    if not refusal(lambda: read_tensors(path), path):
        tensors, _ = read_tensors(path)
        assert sum(tensor.nbytes for tensor in tensors.values()) == len(data)


def changes(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensor with another type, another shape, or a number that is not finite."""
    for kind in ("float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"):
        yield tensor.to(getattr(torch, kind))
    flat = tensor.flatten()
    yield from (tensor[None], flat.reshape(-1, 1, 1, 1, 1), torch.cat([flat, flat]), flat[:0])
    yield tensor.movedim(0, -1).contiguous() if tensor.ndim > 1 else tensor[None]
    for value in (math.nan, math.inf, -math.inf):
        yield torch.cat([flat[:-1].float(), torch.tensor([value])]).reshape(tensor.shape)


def network_of(name: str, options: Any = None, /, **about: Any) -> str:
    return json.dumps({"architecture": name, "options": options or {}, "dataset": ABOUT | about})


def metadata_of(network: str) -> dict[str, str]:
    return {"model": network_of(network, NETWORKS[network])}


def test_tensors_of_another_kind_and_missing_extra_and_exchanged_ones_are_refused(tmp_path: Path, files: Files) -> None:
    path, network = tmp_path / "model", "cnn"
    _, state, _ = files[network]
    for name in ["mean", "std", *(name for name in state if re.match(r"layers\.(0|2|20)\.", name))]:
        tensor = state[name]
        for changed in changes(tensor):
            if changed.dtype != tensor.dtype or changed.shape != tensor.shape or not changed.isfinite().all():
                save_file(state | {name: changed}, path, metadata_of(network))
                assert f"{name} " in refusal(lambda: load_model(path), path)

    others = [
        *({key: tensor for key, tensor in state.items() if key != name} for name in state),
        *(state | {name: torch.zeros(1)} for name in ("extra", "", "\x1b[2J", "a" * 50_000)),
        *(other for name, (_, other, _) in files.items() if name != network),
        *(state | {"std": torch.tensor(value)} for value in (0.0, -0.0, -1.0)),
        {},
    ]
    for tensors in others:
        save_file(tensors, path, metadata_of(network))
        assert refusal(lambda: load_model(path), path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(CHARACTERS + "\0", max_size=5)
    | st.sampled_from([10**9, 10**400, 4097, 64, 33, 0, 2, 2.0, "1", "mlp", "cnn\n", "mnist", "MNIST", "\x1b[2J"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["width", "depth", "self"]), inner),
    max_leaves=6,
)  # fmt: skip
FIELDS = json.loads(network_of("mlp", NETWORKS["mlp"]))


@many(100)
@given(field=st.sampled_from([*FIELDS, *NETWORKS["mlp"], "extra", "all"]), value=JSON, removed=st.booleans())
def test_any_metadata(tmp_path: Path, files: Files, field: str, value: Any, removed: bool) -> None:
    _, state, logits = files["mlp"]
    info: dict[str, Any] = copy.deepcopy(FIELDS)
    changed = info["options"] if field in NETWORKS["mlp"] else info
    changed[field] = value
    if removed:
        del changed[field]
    path = tmp_path / "model"
    save_file(state, path, {"model": json.dumps(value if field == "all" else info)})
    load(path, logits)


HOSTILE = {
    "deep lists": "[" * 1_000_000,
    "deep mappings": '{"options":' * 100_000,
    "deep options": network_of("logistic").replace("{}", "[" * 10**5 + "]" * 10**5),
    "long": json.dumps({"architecture": "a" * 5_000_000}),
    "thousands of keys": json.dumps({f"k{n}": n for n in range(100_000)}),
    "a number of a million digits": network_of("mlp", {"width": 0}).replace("0", "9" * 10**6),
    "a trillion weights": network_of("mlp", {"width": 4096, "depth": 32, "dropout": 0.0}),
    "300 gigabytes of weights": network_of("cnn", {"width": 4096, "depth": 32, "dropout": 0.0}),
    "one class": network_of("logistic", classes=["0"]),
    "a class with escape codes": network_of("logistic", classes=[*"012345678", "\x1b[2J"]),
    "a million classes": network_of("logistic", classes=[str(n) for n in range(10**6)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_is_refused_at_little_cost(tmp_path: Path, files: Files, name: str) -> None:
    path = tmp_path / "model"
    save_file(files["logistic"][1], path, {"model": HOSTILE[name]})
    with little(seconds=10, megabytes=100):
        assert refusal(lambda: load_model(path), path)


@pytest.mark.parametrize("name", ["", "missing"])
def test_what_is_no_file_of_tensors_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert all(refusal(partial(read, named), path) for read in READERS for named in (path, str(path)))


def test_a_lack_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    write_tensors(tmp_path / "file", {"a": np.zeros(1)})
    monkeypatch.setattr("mmap.mmap", lack)
    with pytest.raises(OSError, match="Cannot allocate memory") as caught:
        read_tensors(tmp_path / "file")
    assert caught.value.filename == str(tmp_path / "file")


SHAPES = [(), (0,), (1,), (2,), (2, 1), (0, 28, 28), (2, 28, 28), (2, 28, 27), (2, 784), (2, 1, 28, 28)]
DTYPES = [torch.uint8, torch.int64, torch.int32, torch.float32, torch.bool]
RIGHT = {"images": ((2, 28, 28), torch.uint8), "labels": ((2,), torch.int64)}
EMPTY = {"images": ((0, 28, 28), torch.uint8), "labels": ((0,), torch.int64)}
ODD_LABELS = [-1, 0, 9, 10, 127, 256, -(2**63), 2**63 - 1]


def test_data_sets_of_any_shape_type_and_label(tmp_path: Path) -> None:
    path = tmp_path / "file"
    kinds = [EMPTY, *(RIGHT | {name: kind} for name in (*RIGHT, "more") for kind in product(SHAPES, DTYPES))]
    for tensors, label in [*((each, 0) for each in kinds), *((RIGHT, label) for label in ODD_LABELS)]:
        save_file({name: torch.full(shape, label).to(dtype) for name, (shape, dtype) in tensors.items()}, path)
        for allow_empty in (False, True):
            fits = (tensors == RIGHT and 0 <= label <= 9) or (tensors == EMPTY and allow_empty)
            message = refusal(partial(load_dataset, path, CLASSES, allow_empty=allow_empty), path)
            assert bool(message) != fits, (tensors, label)


def test_files_are_those_of_safetensors(tmp_path: Path, files: Files) -> None:
    for network, (content, state, logits) in files.items():
        save_file(state, tmp_path / "theirs", metadata_of(network))
        assert (tmp_path / "theirs").read_bytes() == content
        assert not load(tmp_path / "theirs", logits)
        assert load_model(tmp_path / "theirs").info == info_of(network, NETWORKS[network])


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(path, {"a": np.zeros(1)})
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as temporary:
        temporary.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
