"""The sections of params.yaml: what excludes what, and how the problems of a file are put."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import BASELINE
from digits.foundation.params import read_params
from digits.foundation.stage import UserError
from digits.training.params import TrainParams, refuse_conflicts


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train_with(**changes: Any) -> TrainParams:
    """Read the section `train` of the baseline with some values replaced, or removed by ''."""
    values = {key: value for key, value in (BASELINE | changes).items() if value != ""}
    Path("params.yaml").write_text(yaml.safe_dump({"train": values}))
    return read_params("train", TrainParams)


def test_every_way_to_write_a_number() -> None:
    ways = {"1e-05": 1e-05, "1.0e-5": 1e-05, "1": 1.0, "0.1": 0.1, "1E2": 100.0, "+3": 3.0}
    for text, value in ways.items():
        Path("params.yaml").write_text(yaml.safe_dump({"train": BASELINE}).replace("\n  lr: 0.001", f"\n  lr: {text}"))
        assert read_params("train", TrainParams).lr == value


NATIVE = {"arithmetic": "native", "precision": "bfloat16", "channels_last": True}
NESTEROV = {"momentum": 0.0, "nesterov": True}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"optimizer": "lbfgs", "model": "cnn", "lr": 1}, ["model: the optimizer lbfgs trains logistic only, got cnn"]),
        ({"optimizer": "lbfgs", "augment": "affine", "lr": 1e7}, ["augment: lbfgs needs", "lr: lbfgs"]),
        (
            {"optimizer": "lbfgs", "schedule": "step", "warmup": 0.1, "processes": 2},
            ["schedule: lbfgs", "processes: lbfgs", "warmup: lbfgs"],
        ),
        (NATIVE, ["precision: the model logistic", "channels_last: the model logistic"]),
        (NATIVE | {"model": "mlp"}, ["channels_last: the model mlp"]),
        (
            {"model": "cnn", "precision": "bfloat16", "device": "cuda", "channels_last": True, "threads": 0},
            ["precision: portable", "device: portable", "channels_last: portable", "threads: portable"],
        ),
        ({"threads": 0}, []),
        ({"augment": "affine", "threads": 0}, ["threads: portable"]),
        ({"optimizer": "lbfgs", "threads": 0}, ["threads: portable"]),
        ({"device": "cuda"}, ["device: the model logistic"]),
        ({"sgd": NESTEROV}, ["sgd.nesterov: "]),
        ({"optimizer": "lbfgs", "lr": 1e6, "weight_decay": 0.1, "label_smoothing": 0.1}, []),
        ({"model": "cnn", "augment": "elastic", "optimizer": "adam", "sgd": NESTEROV}, []),
        (NATIVE | {"model": "cnn", "threads": 0}, []),
    ],
)
def test_what_a_choice_cannot_honour_is_refused(changes: dict[str, Any], expected: list[str]) -> None:
    params = train_with(**changes)
    problems: list[str] = []
    try:
        refuse_conflicts(params)
    except UserError as error:
        problems = [line.strip() for line in str(error).splitlines()[1:-1]]
    assert all("got" in problem and ";" in problem for problem in problems)
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(f"train.{start}")


def test_all_problems_come_in_one_message() -> None:
    cnn = {"widht": 3, "width": 3, "depth": 1, "dropout": 0}
    with pytest.raises(UserError) as caught:
        train_with(lr=-1, epoch=3, epochs="", zzz=1, seed="two", cnn=cnn)
    first, *problems, advice = str(caught.value).splitlines()
    assert first == "params.yaml: "
    assert problems == [
        "  train.cnn.widht: is unknown",
        "  train.lr: should be greater than 0, got -1",
        "  train.epochs: is missing",
        "  train.seed: should be a valid integer, got 'two'",
        "  train.epoch: is unknown",
        "  train.zzz: is unknown",
    ]
    assert "`dvc repro`" in advice
