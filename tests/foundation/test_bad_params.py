"""params.yaml with anything in it: a message that helps, or the values that it says, in their ranges."""

import copy
import math
import operator
from collections.abc import Callable
from contextlib import chdir
from functools import reduce
from pathlib import Path
from typing import Any

from bad_input import little, many, refusal
from conftest import ROOT
from digits.foundation.params import Section, read_params
from digits.training.params import TrainParams
from download import DownloadParams
from evaluate import EvaluateParams
from preprocess import PreprocessParams

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

SECTIONS: dict[str, type[Section]] = {
    "download": DownloadParams,
    "preprocess": PreprocessParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
}
GOOD: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())

Check = Callable[[Any], bool]


def whole(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def real(low: float, high: float, *, without_low: bool = False, without_high: bool = False) -> Check:
    def check(value: Any) -> bool:
        if type(value) is not float and type(value) is not int:
            return False
        return low <= value <= high and not (without_low and value == low) and not (without_high and value == high)

    return check


def one_of(*names: str) -> Check:
    return lambda value: type(value) is str and value in names


def truth(value: Any) -> bool:
    return type(value) is bool


def texts(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


SEED, SHARE = whole(0, 2**32 - 1), real(0, 1, without_high=True)
NETWORK = {"width": whole(1, 4096), "depth": whole(1, 32), "dropout": SHARE}
# What params.yaml says of every value, in another way than the stages have it.
ALLOWED: dict[tuple[str, ...], Check] = {
    ("download", "dataset"): one_of("mnist", "fashion-mnist", "kmnist", "optdigits", "folder"),
    ("download", "mirrors", "mnist"): texts,
    ("download", "mirrors", "fashion-mnist"): texts,
    ("download", "mirrors", "kmnist"): texts,
    ("download", "optdigits", "test_size"): whole(11, 1786),
    ("download", "optdigits", "seed"): SEED,
    ("download", "folder", "path"): lambda value: type(value) is str and value != "",
    ("download", "folder", "pictures"): one_of("whole", "strokes"),
    ("download", "folder", "test_share"): real(0, 1, without_low=True, without_high=True),
    ("download", "folder", "seed"): SEED,
    ("preprocess", "val_size"): whole(0, 10**9),
    ("preprocess", "seed"): SEED,
    ("preprocess", "drawings"): whole(0, 10**4),
    ("train", "model"): one_of("logistic", "mlp", "lenet5", "cnn"),
    **{("train", network, name): check for network in ("mlp", "cnn") for name, check in NETWORK.items()},
    ("train", "normalize"): truth,
    ("train", "augment"): one_of("none", "affine", "elastic", "handwriting"),
    ("train", "affine", "degrees"): real(0, 180),
    ("train", "affine", "shift"): real(0, 28),
    ("train", "affine", "scale"): SHARE,
    ("train", "affine", "shear"): real(0, 2),
    ("train", "elastic", "alpha"): real(0, 1000),
    ("train", "elastic", "sigma"): real(0.5, 28),
    ("train", "handwriting", "share"): real(0, 1),
    ("train", "handwriting", "stroke"): real(0, 1),
    ("train", "handwriting", "noise"): real(0, 1),
    ("train", "optimizer"): one_of("sgd", "adam", "adamw", "lbfgs"),
    ("train", "sgd", "momentum"): SHARE,
    ("train", "sgd", "nesterov"): truth,
    ("train", "lr"): real(0, 1e38, without_low=True),
    ("train", "schedule"): one_of("constant", "linear", "cosine", "step"),
    ("train", "step", "size"): whole(1, 10**6),
    ("train", "step", "gamma"): real(0, 1, without_low=True),
    ("train", "warmup"): SHARE,
    ("train", "weight_decay"): real(0, 1e38),
    ("train", "label_smoothing"): SHARE,
    ("train", "batch_size"): whole(1, 10**6),
    ("train", "epochs"): whole(1, 10**6),
    ("train", "seed"): SEED,
    ("train", "arithmetic"): one_of("portable", "native"),
    ("train", "precision"): one_of("float32", "bfloat16"),
    ("train", "channels_last"): truth,
    ("train", "device"): one_of("auto", "cpu", "cuda", "mps"),
    ("train", "processes"): whole(1, 10**4),
    ("train", "threads"): whole(0, 256),
    ("evaluate", "batch_size"): whole(1, 10**6),
    ("evaluate", "bins"): whole(2, 100),
}
GROUPS = {path[:-1] for path in ALLOWED}


def leaves(values: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of nested mappings by its path."""
    if not isinstance(values, dict):
        return {path: values}
    return {place: leaf for key, value in values.items() for place, leaf in leaves(value, (*path, key)).items()}


def read(folder: Path, section: str, text: str | bytes) -> tuple[str, dict[tuple[str, ...], Any]]:
    """Read `section` where params.yaml has `text`: the refusal, or the values, which have to be allowed ones."""
    (folder / "params.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    found: list[Section] = []
    with chdir(folder):
        message = refusal(lambda: found.append(read_params(section, SECTIONS[section])), "params.yaml")
    if message:
        assert section in message or "cannot be read" in message
        return message, {}
    values = leaves(found[0].model_dump(by_alias=True), (section,))
    assert values.keys() == {path for path in ALLOWED if path[0] == section}
    for path, value in values.items():
        assert ALLOWED[path](value), (path, value)
    return "", values


def test_the_table_covers_every_parameter() -> None:
    assert set(leaves(GOOD)) == set(ALLOWED)
    assert all(ALLOWED[path](value) for path, value in leaves(GOOD).items())


NUMBERS = [*(sign * n + step for n in (0, 1, 2, 10, 28, 32, 100, 180, 256, 1000, 1787, 4096) for sign in (1, -1)
           for step in (-1, 0, 1)), 10**6 + 1, 10**9, 10**9 + 1, 2**32 - 1, 2**32, 2**63, 2**64, -(2**63), 10**400,
           0.5, 0.1, -0.0, 1e-5, 1e38, 1e39, 5e-324, 1.7e308, math.nan, math.inf, -math.inf]  # fmt: skip
WORDS = [*"ynYN~=<-?:&*!|>%@`", "", "yes", "no", "on", "off", "null", "nan", ".nan", "inf", "-.Inf", "1e400", "1e-05",
         "1_0", "0x10", "0b1", "0o7", "1:30", "٣", "½", "1e٣", " 1", "1\n", "2026-13-01", "MNIST", "mnist ", "cnn\n",
         "\x1b[31mred", "\u202egnp.exe", "\x00", "\x7f", "\x85", "\ud800", "\U0010ffff", "é", "🙂",
         "a" * 5000]  # fmt: skip
SCALARS = (
    st.sampled_from([*NUMBERS, *WORDS, True, False, None])
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=8)
    | st.dates()
    | st.datetimes()
)
# What safe YAML can say: as keys it takes everything but lists and mappings.
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4) | st.sets(SCALARS, max_size=2)
    ),
    max_leaves=8,
)
ORDINARY = st.sampled_from(
    [*NUMBERS, *(word for word in WORDS if word.isascii()), "mnist", "cnn", "adam", "linear", []]
)


def place(values: dict[str, Any], path: tuple[str, ...]) -> dict[Any, Any]:
    """The mapping that holds the last key of `path`."""
    return reduce(operator.getitem, path[:-1], values)


def dump(values: Any) -> str:
    return yaml.safe_dump(values, allow_unicode=True)


def check_value(folder: Path, path: tuple[str, ...], value: Any) -> None:
    """Where a parameter has `value`, it has to be read as such or to be refused by its name."""
    values = copy.deepcopy({path[0]: GOOD[path[0]]})
    place(values, path)[path[-1]] = value
    message, found = read(folder, path[0], dump(values))
    if ALLOWED[path](value):
        assert found[path] == value
    elif message:
        assert ".".join(path) in message
    else:  # text that is a number in scientific notation
        assert isinstance(value, str)
        assert found[path] == float(value)
        assert value.isascii()


@pytest.mark.parametrize(
    "path", ["train.lr", "train.normalize", "preprocess.val_size", "evaluate.bins", "download.dataset"]
)
def test_every_odd_value_of_a_parameter_of_each_type(tmp_path: Path, path: str) -> None:
    for value in [*NUMBERS, *WORDS, True, False, None, [], {}]:
        check_value(tmp_path, tuple(path.split(".")), value)


@many(800)
@given(path=st.sampled_from(list(ALLOWED)), value=ORDINARY | VALUES)
def test_any_value_of_any_parameter(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    check_value(tmp_path, path, value)


@many(400)
@given(path=st.sampled_from([*ALLOWED, *GROUPS]), key=SCALARS, value=VALUES, data=st.data())
def test_missing_and_unknown_parameters(
    tmp_path: Path, path: tuple[str, ...], key: Any, value: Any, data: st.DataObject
) -> None:
    values = copy.deepcopy({path[0]: GOOD[path[0]]})
    group = place(values, path)
    if data.draw(st.booleans()):
        del group[path[-1]]
    elif len(path) > 1 and key not in group:
        group[key] = value
    else:
        group[path[-1]] = value
    message, found = read(tmp_path, path[0], dump(values))
    assert message or found[path] == value


FRAGMENTS = ["!!int ", "!!float ", "!!bool ", "!!null ", "!!timestamp ", "!!binary ", "!!set ", "!!omap ", "!!pairs ",
             "!!str ", "!!python/object/apply:os.mkdir ", "!!python/name:os.system ", "!x ", "!%1b%5b31m ", "!!merge ",
             "!!value ", "&a ", "*a ", "&a", "*b ", "<<: ", "=: ", "0x_", "0b_", "9" * 5000, "0x" + "f" * 5000,
             "2026-13-01", "2026-01-01 99:00:00", '"\\ud800"', '"\\U00110000"', '"\\x1b"', "{}", "[]", "[1]", "{a: 1}",
             "\n", "\n  ", "  ", ": ", "lr: ", "mlp: ", "- ", "? ", ", ", "[", "]", "{", "}", "#", "|\n  ", ">\n  ",
             "'", '"', "%YAML 9.9\n", "%TAG ! tag:x,2000:\n", "\n---\n", "\n...\n", "\t", "\ufeff", "\x00", "\x85",
             "\u202e", "1", "x", "é", "~", "train: ", "\ntrain:\n  "]  # fmt: skip


@many(1500)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9).map("".join))
def test_any_yaml(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "train", f"train: {text}")[0]
    read(tmp_path, "preprocess", f"preprocess: {{val_size: {text}, seed: 0, drawings: 0}}")


COMMITTED = dump(GOOD).encode()


@many(600)
@given(
    section=st.sampled_from(list(SECTIONS)),
    cuts=st.lists(
        st.tuples(
            st.integers(0, len(COMMITTED)),
            st.integers(0, 20),
            st.binary(max_size=4) | st.sampled_from(FRAGMENTS).map(str.encode),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_any_damage_to_the_file(tmp_path: Path, section: str, cuts: list[tuple[int, int, bytes]]) -> None:
    content = COMMITTED
    for start, length, inserted in cuts:
        content = content[:start] + inserted + content[start + length :]
    read(tmp_path, section, content)


LAUGHS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGES = "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 30))
HOSTILE: dict[str, str | bytes] = {
    "aliases that stand for 9 ** 29 words, as the section": f"l0: &l0 lol\n{LAUGHS}preprocess: *l29",
    "as a value": f"l0: &l0 lol\n{LAUGHS}preprocess: {{val_size: *l29, seed: 0}}",
    "as an unknown value": f"l0: &l0 lol\n{LAUGHS}preprocess: {{val_size: 0, seed: 0, x: *l29}}",
    "merge keys that stand for 9 ** 29 entries": f"m0: &m0 {{a: 1}}\n{MERGES}preprocess: *m29",
    "a list in itself": "preprocess: {val_size: &a [*a], seed: 0}",
    "a section in itself": "preprocess: &a {val_size: *a, seed: *a}",
    "deep lists": f"preprocess: {'[' * 50_000}",
    "deep mappings": f"preprocess: {'{a: ' * 20_000}",
    "deep keys": f"preprocess: {'? ' * 30_000}",
    "deep blocks": f"preprocess: {'- ' * 30_000}",
    "balanced": f"preprocess: {{seed: 0, val_size: {'[' * 5000}{']' * 5000}}}",
    "a huge number": f"preprocess: {{seed: 0, val_size: 0x{'f' * 80_000}}}",
    "more than a huge number": f"preprocess: {{seed: 0, val_size: [[0x{'f' * 80_000}]]}}",
    "a long text": f"preprocess: {{seed: 0, val_size: {'a' * 90_000}}}",
    "a long key": f"preprocess: {{seed: 0, val_size: 0, {'a' * 90_000}: 0}}",
    "thousands of keys": f"preprocess: {{{', '.join(f'k{n}: 0' for n in range(8000))}}}",
    "thousands of wrong items": f"preprocess: {{seed: 0, val_size: [{'0, ' * 20_000}]}}",
    "a file without end": f"preprocess: {{seed: 0, val_size: 0}} #{'a' * 2_000_000}",
    "a key that stands twice": "preprocess: {seed: 0, val_size: 1, seed: 2}",
    "a section that stands twice": "preprocess: {seed: 0, val_size: 1}\npreprocess: {seed: 0, val_size: 2}",
    "two documents": "preprocess: {seed: 0, val_size: 1}\n---\npreprocess: {seed: 0, val_size: 1}",
    "escape codes in a key": r'preprocess: {seed: 0, val_size: 0, "\e[2J\u202e": 0}',
    "escape codes in a value": r'preprocess: {seed: 0, val_size: "\e[2J\u202e"}',
    "escape codes in a tag": "preprocess: {seed: 0, val_size: !%1b%5b2J 0}",
    "UTF-16": "preprocess: {seed: 0, val_size: 1}".encode("utf-16"),
    "no UTF-8": b"preprocess: {seed: 0, val_size: 1} # \xff",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_little_cost(tmp_path: Path, name: str) -> None:
    with little(seconds=20, megabytes=100):
        assert read(tmp_path, "preprocess", HOSTILE[name])[0]


def test_a_file_that_calls_python_does_not(tmp_path: Path) -> None:
    for tag in ("object/apply", "object/new", "object", "name", "module"):
        assert read(tmp_path, "train", f"train: !!python/{tag}:os.mkdir ['{tmp_path}/made']")[0]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffpreprocess: {seed: 3, val_size: 3, drawings: 3}",
        "preprocess: {seed: &n 3, val_size: *n, drawings: 3}",
        "preprocess:\r\n  seed: 3\r\n  val_size: 3\r\n  drawings: 3\r\n",
        "%YAML 1.1\n---\npreprocess: {seed: 3, val_size: !!int '3', drawings: 3}\n...\n",
        "a: &a {seed: 3, val_size: 3, drawings: 3}\npreprocess: *a",
    ],
)
def test_unusual_files_that_say_what_they_should(tmp_path: Path, text: str) -> None:
    assert set(read(tmp_path, "preprocess", text)[1].values()) == {3}
