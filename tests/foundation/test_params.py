"""The sections of params.yaml: what it accepts, and what it says of everything else."""

from pathlib import Path
from typing import Any

from conftest import ROOT
from digits.foundation.params import Section, read_params
from digits.foundation.stage import UserError
from digits.training.params import TrainParams, refuse_conflicts
from download import DownloadParams
from evaluate import EvaluateParams
from preprocess import PreprocessParams

import pytest
import yaml

SECTIONS: dict[str, type[Section]] = {
    "download": DownloadParams,
    "preprocess": PreprocessParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
}


def read_with(where: Path, monkeypatch: pytest.MonkeyPatch, section: str, **changes: str) -> Any:
    """Read `section` of the committed params.yaml with some values replaced by YAML text, or removed by ''."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    values = {key: value for key, value in document[section].items() if changes.get(key) != ""}
    values |= {key: yaml.safe_load(text) for key, text in changes.items() if text != ""}
    (where / "params.yaml").write_text(yaml.safe_dump({section: values}))
    monkeypatch.chdir(where)
    return read_params(section, SECTIONS[section])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-05", 1e-05), ("1.0e-5", 1e-05), ("1", 1.0), ("0.1", 0.1), ("1E2", 100.0), ("+3", 3.0)],
)
def test_every_way_to_write_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: float) -> None:
    assert read_with(tmp_path, monkeypatch, "train", lr=text).lr == value


WRONG_NUMBERS = ["abc", "true", "null", "~", ".nan", "nan", ".inf", "-1", "1e400", "1.0e400", "[1]", "{a: 1}", "'1_0'"]
CHOICES = [
    "model",
    "normalize",
    "augment",
    "optimizer",
    "arithmetic",
    "precision",
    "channels_last",
    "device",
    "sgd",
    "cnn",
]


@pytest.mark.parametrize(
    ("section", "key", "text"),
    [("train", key, text) for key in ("lr", "warmup", "weight_decay", "label_smoothing") for text in WRONG_NUMBERS]
    + [("train", key, text) for key in ("batch_size", "epochs") for text in [*WRONG_NUMBERS, "0", "1.5", "'3'"]]
    + [("train", "lr", "0"), ("train", "label_smoothing", "1")]
    + [(section, "seed", text) for section in ("preprocess", "train") for text in [*WRONG_NUMBERS, str(2**32)]]
    + [("preprocess", key, text) for key in ("val_size", "drawings") for text in [*WRONG_NUMBERS, "0.1"]]
    + [("train", key, text) for key in CHOICES for text in ["1", "null", "x", "[]"]]
    + [("train", "threads", text) for text in [*WRONG_NUMBERS, "257"]]
    + [("evaluate", "batch_size", text) for text in [*WRONG_NUMBERS, "0"]]
    + [("train", "schedule", "x"), ("train", "warmup", "1"), ("train", "lr", "1e39"), ("train", "weight_decay", "1e39")]
    + [("train", group, text) for group in ("mlp", "cnn") for text in ("{width: 0, depth: 1, dropout: 0}", "{}", "3")]
    + [("train", "elastic", "{alpha: 1, sigma: 0}"), ("train", "step", "{size: 1, gamma: 2}")]
    + [("train", "affine", "{degrees: 0, shift: 0, scale: 1, shear: 0}")]
    + [("download", "dataset", text) for text in ["MNIST", "3", "null", "[mnist]"]]
    + [
        ("download", "mirrors", text)
        for text in ["a", "null", "[]", "{mnist: []}", "{mnist: [1], fashion-mnist: [], kmnist: []}"]
    ]
    + [("download", "optdigits", text) for text in ["1", "{test_size: 9, seed: 0}", "{test_size: 360}"]]
    + [
        ("download", "folder", f"{{path: {path}, pictures: {how}, test_share: {share}, seed: 0}}")
        for path, how, share in [("''", "whole", 0.2), ("a", "x", 0.2), ("a", "whole", 0), ("a", "whole", 1)]
    ],
)
def test_a_wrong_value_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, key: str, text: str
) -> None:
    with pytest.raises(UserError, match=rf"^params\.yaml: \n  {section}\.{key}\b.*(got|missing)"):
        read_with(tmp_path, monkeypatch, section, **{key: text})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"optimizer": "lbfgs", "model": "cnn", "lr": "1"}, ["optimizer: lbfgs needs the model logistic, got cnn"]),
        ({"optimizer": "lbfgs", "augment": "affine"}, ["augment: lbfgs needs"]),
        ({"optimizer": "lbfgs", "schedule": "step", "warmup": "0.1"}, ["schedule: lbfgs", "warmup: lbfgs"]),
        ({"optimizer": "lbfgs", "lr": "1e7"}, ["lr: lbfgs"]),
        (
            {"arithmetic": "native", "precision": "bfloat16", "channels_last": "true"},
            ["precision: the model logistic", "channels_last: "],
        ),
        (
            {"model": "cnn", "precision": "bfloat16", "device": "cuda", "channels_last": "true", "threads": "0"},
            ["precision: portable", "device: portable", "channels_last: portable", "threads: portable"],
        ),
        ({"arithmetic": "native", "model": "mlp", "channels_last": "true"}, ["channels_last: the model mlp"]),
        ({"sgd": "{momentum: 0.0, nesterov: true}"}, ["sgd.nesterov: "]),
        ({"optimizer": "lbfgs", "lr": "1", "weight_decay": "0.1", "label_smoothing": "0.1"}, []),
        ({"model": "cnn", "augment": "elastic"}, []),
        (
            {"arithmetic": "native", "model": "cnn", "precision": "bfloat16", "channels_last": "true", "threads": "0"},
            [],
        ),
        ({"optimizer": "adam", "sgd": "{momentum: 0.0, nesterov: true}"}, []),
    ],
)
def test_what_a_choice_cannot_honour_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], expected: list[str]
) -> None:
    params = read_with(tmp_path, monkeypatch, "train", **changes)
    problems: list[str] = []
    try:
        refuse_conflicts(params)
    except UserError as error:
        problems = [line.strip() for line in str(error).splitlines()[1:-1]]
        assert all("got" in problem and ";" in problem for problem in problems)
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(f"train.{start}")


def test_all_problems_come_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as caught:
        cnn = "{widht: 3, width: 3, depth: 1, dropout: 0}"
        read_with(tmp_path, monkeypatch, "train", lr="-1", epoch="3", epochs="", zzz="1", seed="two", cnn=cnn)
    assert str(caught.value).splitlines() == [
        "params.yaml: ",
        "  train.cnn.widht: is not a parameter; did you mean `width`?",
        "  train.lr: should be greater than 0, got -1",
        "  train.epochs: is missing; add it",
        "  train.seed: should be a valid integer, got 'two'",
        "  train.epoch: is not a parameter; did you mean `epochs`?",
        "  train.zzz: is not a parameter; remove it",
        "Correct it and run `dvc repro`: earlier results are restored from the cache, without training again.",
    ]


@pytest.mark.parametrize("text", [None, "", "train: 1", "other: {}", "[", "\x00", "train:\n\t- 1", "- 1"])
def test_a_file_without_the_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^params\.yaml: "):
        read_params("train", TrainParams)
