"""params.yaml with anything in it: a message that helps, or the values that it says, which fit together."""

import copy
import math
from collections.abc import Callable
from contextlib import chdir, suppress
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import parse_yaml as dvc_parse_yaml
from hypothesis import given
from hypothesis import strategies as st

from bad_input import little, many, refusal
from conftest import BASELINE, ROOT
from digits.foundation.params import Section, read_params
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import flattened, parse_lock, parse_yaml
from digits.training.params import TrainParams, refuse_conflicts
from download import DownloadParams
from evaluate import EvaluateParams
from preprocess import PreprocessParams

SECTIONS: dict[str, type[Section]] = {
    "download": DownloadParams,
    "preprocess": PreprocessParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
}
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"train": BASELINE}
GOOD = {section: PARAMS[section] for section in SECTIONS}


@dataclass(frozen=True)
class Number:
    """Numbers from `low` to `high`, but for some of them; a float may be written as a whole number."""

    kind: type
    low: float
    high: float
    without: tuple[float, ...] = ()

    def __call__(self, value: Any) -> bool:
        return type(value) in (self.kind, int) and self.low <= value <= self.high and value not in self.without

    def edges(self) -> list[Any]:
        """The ends of the range with their neighbours, and something of another type."""
        ends = (self.low, self.high)
        if self.kind is int:
            return [end + step for end in ends for step in (-1, 0, 1)] + [self.low + 0.5, True]
        return [*ends, math.nextafter(self.low, -math.inf), math.nextafter(self.high, math.inf), True]


@dataclass(frozen=True)
class OneOf:
    names: tuple[str, ...]

    def __call__(self, value: Any) -> bool:
        return type(value) is str and value in self.names

    def edges(self) -> list[Any]:
        return [*self.names, self.names[0].upper(), f"{self.names[0]} ", [self.names[0]], "", 0]


def truth(value: Any) -> bool:
    return type(value) is bool


def texts(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


whole, real = partial(Number, int), partial(Number, float)
SHARE = real(0, 1, without=(1,))
NETWORK = {"width": whole(1, 4096), "depth": whole(1, 32), "dropout": SHARE}
ALIKE: list[tuple[Callable[[Any], bool], str]] = [
    (truth, "train.normalize train.sgd.nesterov train.channels_last"),
    (texts, "download.mirrors.mnist download.mirrors.fashion-mnist download.mirrors.kmnist"),
    (whole(0, 2**32 - 1), "download.optdigits.seed download.folder.seed preprocess.seed train.seed"),
    (whole(1, 10**6), "train.step.size train.batch_size train.epochs evaluate.batch_size"),
    (SHARE, "train.small_cnn.dropout train.affine.scale train.sgd.momentum train.warmup train.label_smoothing"),
    (real(0, 1), "train.handwriting.share train.handwriting.stroke train.handwriting.noise train.others"),
]
# What params.yaml says of every value, in another way than the stages have it.
ALLOWED: dict[str, Callable[[Any], bool]] = {
    **{path: check for check, paths in ALIKE for path in paths.split()},
    "download.dataset": OneOf(("mnist", "fashion-mnist", "kmnist", "optdigits", "folder")),
    "download.optdigits.test_size": whole(11, 1786),
    "download.folder.path": lambda value: type(value) is str and value != "",
    "download.folder.pictures": OneOf(("whole", "strokes")),
    "download.folder.test_share": real(0, 1, without=(0, 1)),
    "preprocess.val_size": whole(0, 10**9),
    "preprocess.drawings": whole(0, 10**4),
    "train.model": OneOf(("logistic", "mlp", "lenet5", "small_cnn", "cnn")),
    "train.small_cnn.width": whole(1, 4096),
    **{f"train.{network}.{name}": check for network in ("mlp", "cnn") for name, check in NETWORK.items()},
    "train.augment": OneOf(("none", "affine", "elastic", "handwriting")),
    "train.affine.degrees": real(0, 180),
    "train.affine.shift": real(0, 28),
    "train.affine.shear": real(0, 2),
    "train.elastic.alpha": real(0, 1000),
    "train.elastic.sigma": real(0.5, 28),
    "train.optimizer": OneOf(("sgd", "adam", "adamw", "lbfgs")),
    "train.lr": real(0, 1e38, without=(0,)),
    "train.schedule": OneOf(("constant", "linear", "cosine", "step")),
    "train.step.gamma": real(0, 1, without=(0,)),
    "train.weight_decay": real(0, 1e38),
    "train.arithmetic": OneOf(("portable", "native")),
    "train.precision": OneOf(("float32", "bfloat16")),
    "train.device": OneOf(("auto", "cpu", "cuda", "mps")),
    "train.processes": whole(1, 10**4),
    "train.threads": whole(0, 256),
    "evaluate.bins": whole(2, 100),
}
GROUPS = {path.rpartition(".")[0] for path in ALLOWED}


def read(folder: Path, section: str, text: str | bytes) -> tuple[str, dict[str, Any]]:
    """Read `section` where params.yaml has `text`: the refusal, or the values, which must be allowed ones."""
    (folder / "params.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    found: list[Section] = []
    with chdir(folder):
        message = refusal(lambda: found.append(read_params(section, SECTIONS[section])), "params.yaml")
    if message:
        assert section in message or "cannot be read" in message
        return message, {}
    values = dict(flattened({section: found[0].model_dump(by_alias=True)}))
    assert values.keys() == {path for path in ALLOWED if path.startswith(f"{section}.")}
    for path, value in values.items():
        assert ALLOWED[path](value), (path, value)
    return "", values


def test_the_table_covers_every_parameter() -> None:
    good = dict(flattened(GOOD))
    assert set(good) == set(ALLOWED)
    assert all(ALLOWED[path](value) for path, value in good.items())


MISSING = object()
ODD: list[Any] = [0, 1, -1, 10**400, 2**64, -0.0, 1e-5, 1e39, math.nan, math.inf, -math.inf, True, False, None, [], {},
       "", "yes", "on", "null", ".nan", "-.Inf", "1e400", "1e-05", "+3", "1_0", "0x10", "0o7", "1:30", "٣", "1e٣", " 1",
       "1\n", "2026-13-01", "MNIST", "cnn\n", "*", "&", "=", "<", "\x1b[31mred", "\u202egnp.exe", "\x00", "\x85",
       "\ud800", "\U0010ffff", "a" * 5000]  # fmt: skip


def dump(values: Any) -> str:
    return yaml.safe_dump(values, allow_unicode=True)


def read_with(folder: Path, group: str, key: Any, value: Any) -> tuple[str, dict[str, Any]]:
    """Read a section of good values but for one key of a group, which has `value`, or is `MISSING`."""
    section = group.partition(".")[0]
    values = copy.deepcopy({section: GOOD[section]})
    mapping = reduce(dict.__getitem__, group.split("."), values)
    mapping[key] = value
    if value is MISSING:
        del mapping[key]
    return read(folder, section, dump(values))


def check_value(folder: Path, path: str, value: Any) -> None:
    """Where a parameter has `value`, it must be read as such or be refused by its name."""
    group, _, name = path.rpartition(".")
    message, found = read_with(folder, group, name, value)
    if ALLOWED[path](value):
        assert found[path] == value
    elif message:
        assert path in message
    else:  # text to PyYAML, which wrote it, and a number to DVC
        assert isinstance(value, str)
        assert found[path] == dvc_parse_yaml(f"a: {value}", "params.yaml")["a"]


def test_the_edges_of_every_range_and_choice(tmp_path: Path) -> None:
    edges = {path: check.edges() for path, check in ALLOWED.items() if isinstance(check, Number | OneOf)}
    assert len(edges) > 40
    for path, values in edges.items():
        for value in values:
            check_value(tmp_path, path, value)


PATHS = "download.folder.test_share train.normalize preprocess.val_size download.dataset download.mirrors.mnist"


@pytest.mark.parametrize("path", PATHS.split())
def test_odd_values_of_a_parameter_of_each_type(tmp_path: Path, path: str) -> None:
    for value in ODD:
        check_value(tmp_path, path, value)


def test_missing_and_unknown_parameters(tmp_path: Path) -> None:
    for path in {*ALLOWED, *GROUPS} - {*SECTIONS}:
        group, _, name = path.rpartition(".")
        assert f"{path}: is missing" in read_with(tmp_path, group, name, MISSING)[0]
    for group in GROUPS:
        for key in ("x", "\x1b[2J", "a" * 5000, 3, None, True):
            assert read_with(tmp_path, group, key, 0)[0]


FRAGMENTS = ["!!int ", "!!float ", "!!bool ", "!!null ", "!!timestamp ", "!!binary ", "!!set ", "!!omap ", "!!pairs ",
             "!!str ", "!!python/object/apply:os.mkdir ", "!!python/name:os.system ", "!x ", "!%1b%5b31m ", "!!merge ",
             "!!value ", "&a ", "*a ", "&a", "*b ", "<<: ", "=: ", "0x_", "0b_", "9" * 5000, "0x" + "f" * 5000,
             "2026-13-01", "2026-01-01 99:00:00", '"\\ud800"', '"\\U00110000"', '"\\x1b"', "{}", "[]", "[1]", "{a: 1}",
             "\n", "\n  ", "  ", ": ", "lr: ", "mlp: ", "- ", "? ", ", ", "[", "]", "{", "}", "#", "|\n  ", ">\n  ",
             "'", '"', "%YAML 9.9\n", "%TAG ! tag:x,2000:\n", "\n---\n", "\n...\n", "\t", "\ufeff", "\x00", "\x85",
             "\u202e", "1", "x", "é", "~", "train: ", "\ntrain:\n  "]  # fmt: skip


@many(100)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9).map("".join))
def test_any_yaml(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "train", f"train: {text}")[0]
    read(tmp_path, "preprocess", f"preprocess: {{val_size: {text}, seed: 0, drawings: 0}}")


LOCK = ["stages:", "\n  train:", "\n    cmd: x", "\n    deps:", "\n    - path: a", "\n      md5: b", "\n    params:",
        "\n      params.yaml:", "\n        train:", "\n    outs: "]  # fmt: skip


@many(100)
@given(st.lists(st.sampled_from(LOCK) | st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_any_lock(text: str) -> None:
    with suppress(UserError):
        assert isinstance(parse_lock(text, "a"), dict)


def test_yaml_is_read_as_dvc_reads_it_and_a_lock_may_name_what_has_no_hash() -> None:
    words = "010 09 -010 0o17 0x1f -0b11 +3 1_0 1__0 0 -0 yes no on Off true FALSE tRue 1:30 1e-05 1. .5 -.inf ~ Null"
    for word in words.split():
        assert repr(parse_yaml(f"a: {word}")) == repr(dvc_parse_yaml(f"a: {word}", "params.yaml")), word
    assert parse_lock("stages: {a: {cmd: x, deps: [{path: 'ds://b'}]}}", "here")["a"].deps == {"ds://b": ""}


LAUGHS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGES = "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 30))
HOSTILE: dict[str, str | bytes] = {
    "nothing": "",
    "a section that is a number": "preprocess: 1",
    "aliases that stand for 9 ** 29 words": f"l0: &l0 lol\n{LAUGHS}preprocess: *l29",
    "merge keys that stand for 9 ** 29 entries": f"m0: &m0 {{a: 1}}\n{MERGES}preprocess: *m29",
    "a section in itself": "preprocess: &a {val_size: *a, seed: *a}",
    "deep lists": f"preprocess: {'[' * 10_000}",
    "deep blocks": f"preprocess: {'- ' * 30_000}",
    "a huge number": f"preprocess: {{seed: 0, val_size: [[0x{'f' * 80_000}]]}}",
    "a long text": f"preprocess: {{seed: 0, val_size: {'a' * 90_000}}}",
    "a long key": f"preprocess: {{seed: 0, val_size: 0, {'a' * 90_000}: 0}}",
    "thousands of keys": f"preprocess: {{{', '.join(f'k{n}: 0' for n in range(5000))}}}",
    "a file without end": f"preprocess: {{seed: 0, val_size: 0}} #{'a' * 2_000_000}",
    "a key that stands twice": "preprocess: {seed: 0, val_size: 1, drawings: 0, seed: 2}",
    "two documents": "preprocess: {seed: 0, val_size: 1, drawings: 0}\n---\npreprocess: {seed: 0, val_size: 1}",
    "escape codes in a key": r'preprocess: {seed: 0, val_size: 0, drawings: 0, "\e[2J\u202e": 0}',
    "escape codes in a tag": "preprocess: {seed: 0, val_size: !%1b%5b2J 0, drawings: 0}",
    "no UTF-8": b"preprocess: {seed: 0, val_size: 1, drawings: 0} # \xff",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_little_cost(tmp_path: Path, name: str) -> None:
    with little(seconds=5, megabytes=100):
        assert read(tmp_path, "preprocess", HOSTILE[name])[0]


def test_unusual_files_and_numbers_that_say_what_they_should(tmp_path: Path) -> None:
    for text in (
        "\ufeffpreprocess: {seed: 3, val_size: 3, drawings: 3}",
        "preprocess:\r\n  seed: 3\r\n  val_size: 3\r\n  drawings: 3\r\n",
        "%YAML 1.1\n---\npreprocess: {seed: &n 3, val_size: !!int '3', drawings: 3}\n...\n",
    ):
        assert set(read(tmp_path, "preprocess", text)[1].values()) == {3}
    for number in ("1e-05", "1.0e-5", "1", "0.1", "1E2", "+3"):
        text = dump({"train": BASELINE}).replace("\n  lr: 0.001\n", f"\n  lr: {number}\n")
        assert read(tmp_path, "train", text)[1]["train.lr"] == float(number)


def test_all_problems_come_in_one_message(tmp_path: Path) -> None:
    values = BASELINE | {"lr": -1, "epoch": 3, "zzz": 1, "seed": "two"}
    values["cnn"] = {"widht": 3, "width": 3, "depth": 1, "dropout": 0}
    del values["epochs"]
    message, _ = read(tmp_path, "train", dump({"train": values}))
    assert message.splitlines()[:-1] == [
        "params.yaml: ",
        "  train.cnn.widht: is unknown",
        "  train.lr: should be greater than 0, got -1",
        "  train.epochs: is missing",
        "  train.seed: should be a valid integer, got 'two'",
        "  train.epoch: is unknown",
        "  train.zzz: is unknown",
    ]


LBFGS = {"optimizer": "lbfgs"}
NATIVE = {"arithmetic": "native", "precision": "bfloat16", "channels_last": True}
NESTEROV = {"momentum": 0.0, "nesterov": True}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (LBFGS | {"model": "cnn", "lr": 1}, ["model: the optimizer lbfgs trains logistic only, got cnn"]),
        (LBFGS | {"augment": "affine", "lr": 1e7, "processes": 2}, ["augment: lbfgs", "processes: lbfgs", "lr: lbfgs"]),
        (LBFGS | {"schedule": "step", "warmup": 0.1}, ["schedule: lbfgs", "warmup: lbfgs"]),
        (NATIVE, ["precision: the model logistic", "channels_last: the model logistic"]),
        (NATIVE | {"model": "mlp"}, ["channels_last: the model mlp"]),
        (
            {"model": "cnn", "precision": "bfloat16", "device": "cuda", "channels_last": True, "threads": 0},
            ["precision: portable", "device: portable", "channels_last: portable", "threads: portable"],
        ),
        ({"threads": 0}, []),
        ({"augment": "affine", "threads": 0}, ["threads: portable"]),
        (LBFGS | {"threads": 0}, ["threads: portable"]),
        ({"device": "cuda"}, ["device: the model logistic"]),
        ({"sgd": NESTEROV}, ["sgd.nesterov: "]),
        (LBFGS | {"lr": 1e6, "weight_decay": 0.1, "label_smoothing": 0.1}, []),
        ({"model": "cnn", "augment": "elastic", "optimizer": "adam", "sgd": NESTEROV}, []),
        (NATIVE | {"model": "cnn", "threads": 0}, []),
    ],
)
def test_what_a_choice_cannot_honour_is_refused(changes: dict[str, Any], expected: list[str]) -> None:
    problems: list[str] = []
    try:
        refuse_conflicts(TrainParams(**BASELINE | changes))
    except UserError as error:
        problems = [line.strip() for line in str(error).splitlines()[1:-1]]
    assert all("got" in problem and ";" in problem for problem in problems)
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(f"train.{start}")
