"""What a stage reads of an earlier one with anything in it: a message that helps, or results that are right."""

import json
import math
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evaluate
import preprocess
import train
from bad_input import little, refusal
from conftest import ROOT
from digits.data.raw import write_raw
from digits.dataset import Dataset, load_summary, save_dataset
from digits.figures.classifier import draw_curves
from digits.models.classifier import Classifier, build_layers
from digits.models.model_file import save_model
from samples import CLASSES, MNIST, some_digits
from small_networks import info_of

METRICS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy"]
HEADER = ",".join(["epoch", *METRICS, "lr"])
CURVES = f"{HEADER}\n1,2.25,0.125,2.125,0.25,0.001\n2,1.5,0.75,1.25,0.875,0.001\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with all that evaluate reads."""
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    save(tmp_path)
    save_dataset(tmp_path / evaluate.TEST, some_digits(0, 20))
    save_dataset(tmp_path / evaluate.HELD_OUT, some_digits(0, 0))
    (tmp_path / evaluate.CURVES).parent.mkdir()
    (tmp_path / evaluate.CURVES).write_text(CURVES)
    return tmp_path


def save(folder: Path, factor: float = 1.0, std: float = 1.0, place: int = 400, bias: float = 0.0) -> None:
    """Save a model of which the weights of one pixel are multiplied, and the first bias is set."""
    layers = build_layers("logistic", {}, CLASSES, seed=0)
    layers.get_parameter("1.weight").data[:, place] *= factor
    layers.get_parameter("1.bias").data[:] = -bias
    layers.get_parameter("1.bias").data[0] = bias
    save_model(folder / evaluate.MODEL, Classifier(layers, 0.0, std).arrays(), info_of("logistic", {}))


def run(folder: Path, where: Path) -> str:
    """Evaluate: the refusal, before which nothing may be written, or nothing where there are results."""
    results = evaluate.METRICS, evaluate.PREDICTIONS, evaluate.SALIENCY
    with chdir(folder):
        message = refusal(evaluate.main, where)
        assert [path.exists() for path in results] == [not message] * 3
        if not message:
            metrics = json.loads(evaluate.METRICS.read_text())
            assert all(math.isfinite(value) for value in metrics.values())
    return message


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        ({"factor": 1e38, "std": 1e-3}, False),  # logits overflow
        ({"factor": 1e39, "place": 0}, False),  # infinite where no image has ink
        ({"factor": 1e38, "std": 1e-3, "place": 0}, False),  # derivatives overflow where no image has ink
        ({"std": 1e-45}, False),  # 1 / std overflows
        ({"std": math.nan}, False),
        ({"bias": 3e38}, True),  # float64 holds the loss
        ({"factor": 3e37}, True),
    ],
)
def test_numbers_that_overflow_are_refused(project: Path, model: dict[str, Any], fits: bool) -> None:
    save(project, **model)
    assert bool(run(project, evaluate.MODEL)) != fits


def test_damage_is_refused_before_anything_is_written_and_missing_classes_are_not(project: Path) -> None:
    (project / evaluate.CURVES).write_text(CURVES.replace("0.75", "many"))
    assert "train_accuracy" in run(project, evaluate.CURVES)
    (project / evaluate.CURVES).write_text(CURVES)
    save_dataset(project / evaluate.TEST, some_digits(0, 0))
    assert run(project, evaluate.TEST)
    save_dataset(project / evaluate.TEST, Dataset(np.zeros((3, 28, 28), dtype=np.uint8), np.array([4, 4, 4])))
    assert not run(project, evaluate.MODEL)


def test_training_data_that_is_damaged_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "keep_freed_memory", lambda: None)
    with chdir(project):
        goods = {
            train.SUMMARY: lambda path: path.write_text(json.dumps(SUMMARY | {"about": MNIST.model_dump()})),
            train.TRAIN: lambda path: save_dataset(path, some_digits(0, 9)),
            train.VAL: None,
        }
        for path, make in goods.items():
            assert "is missing" in refusal(train.main, path)
            path.write_bytes(b"{}")
            assert "is damaged" in refusal(train.main, path)
            if make:
                make(path)
        save_dataset(train.TRAIN, some_digits(0, 0))
        assert "got none" in refusal(train.main, train.TRAIN)


def test_raw_data_that_is_damaged_or_does_not_vary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("preprocess: {val_size: 0, seed: 0, drawings: 0}")
    images, labels = np.full((20, 28, 28), 128, dtype=np.uint8), np.arange(20) % 10
    write_raw(tmp_path / preprocess.RAW, MNIST, Dataset(images, labels), Dataset(images, labels))
    with chdir(tmp_path):
        assert refusal(preprocess.main, preprocess.RAW)
        (preprocess.RAW / "dataset.json").write_text('{"name": "mnist"}')
        message = refusal(preprocess.main, preprocess.RAW / "dataset.json")
        assert ": is damaged: classes: is missing; delete it and run `dvc repro`" in message
        assert not preprocess.TRAIN.exists()


def read(path: Path, content: str | bytes) -> list[dict[str, Any]]:
    """The rows of curves of these bytes, checked; none where they are refused."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if refusal(lambda: evaluate.read_curves(path), path):
        return []
    rows = evaluate.read_curves(path)
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        assert all(0 <= float(row[name]) < math.inf for name in METRICS[:2])
        assert all(row[name] == "" or 0 <= float(row[name]) < math.inf for name in METRICS[2:])
    return rows


def test_curves_that_are_cut_off_lose_whole_rows(tmp_path: Path) -> None:
    whole = [[row[name] for name in METRICS] for row in read(tmp_path / "curves", CURVES)]
    assert len(whole) == 2
    for length in range(len(CURVES)):
        rows = read(tmp_path / "curves", CURVES[:length])
        assert [[row[name] for name in METRICS] for row in rows] == whole[: len(rows)]


CELLS = ["", "x", "nan", "inf", "-1", "1e400", "1e39", "1e38", "1e-400", "0", "2", "1_0", " 1", "٣", "0x1", "1,1", '"',
         "\n", "\r", "\x00", "\x1b[2J", "\ufeff", "a" * 200_000, "9" * 5000, "1.5", "True", "1.5,,"]  # fmt: skip


def test_odd_cells_of_the_curves_and_curves_without_rows_or_columns(tmp_path: Path) -> None:
    for row in range(3):
        for column in range(6):
            for cell in CELLS:
                rows = [line.split(",") for line in CURVES.splitlines()]
                rows[row][column] = cell
                read(tmp_path / "curves", "\n".join(map(",".join, rows)))
    for content in (b"\xff", "\n", HEADER, "a,b\n1,2\n", CURVES.replace("lr", "epoch"), "\ufeff", "\x00"):
        assert not read(tmp_path / "curves", content)


@pytest.mark.parametrize("values", ["1e38,1,0,0", "0,0,,", "1e-300,1e-300,1e38,1e38", "1,1,,1", "5e-324,0,,"])
def test_odd_curves_are_drawn(tmp_path: Path, values: str) -> None:
    rows = read(tmp_path / "curves", f"{HEADER}\n1,{values},0.1\n2,1.0,1.0,,,0.1\n")
    figure = draw_curves(rows)
    figure.savefig(tmp_path / "figure", format="png")
    drawn = [np.asarray(line.get_ydata())[0] for axes in figure.axes for line in axes.lines]
    expected = [rows[0][f"{split}_{metric}"] for metric in ("loss", "accuracy") for split in ("train", "val")]
    assert drawn == [value for value in expected if value != ""]


ABOUT = {"name": "mnist", "classes": ["cat", "dog"], "pictures": "whole"}
SUMMARY = {"about": ABOUT, "train": 55, "val": 5, "test": 10, "drawings": 0, "pixel_mean": 0.13, "pixel_std": 0.31}
# Values that the keys of a summary may have, and others that none may have.
FIT: dict[str, list[Any]] = {
    "about": [ABOUT],
    **{name: [1, 10**400] for name in ("train", "test")},
    **{name: [0, 1, 10**400] for name in ("val", "drawings")},
    "pixel_mean": [0, 0.0, 1, 1.0, 0.5, 0.5000001, 5e-324],
    "pixel_std": [5e-324, 0.5],
    "name": ["strokes", "0.5", "x y", "é" * 40],
    "classes": [["a", "b" * 40], [*map(str, range(100))], ["é", " "]],
    "pictures": ["strokes"],
}
ODD: list[Any] = [None, True, -1, -0.5, 0.5000001, 1.0000001, 1.5, 1e308, math.nan, math.inf, "", "b" * 41, "\x1b[2J",
       {}, [], ["a"], [1, 2], [*map(str, range(101))], *([name, "a"] for name in ("a", "\n", "b/c", ".b"))]  # fmt: skip
VALUES = {repr(value): value for values in [ODD, *FIT.values()] for value in values}


def test_summaries_with_odd_values_or_keys(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"

    def check(values: Any, fits: bool) -> None:
        path.write_text(json.dumps(values))
        assert bool(refusal(lambda: load_summary(path), path)) != fits, values
        assert not fits or load_summary(path).model_dump() == values

    check(SUMMARY, fits=True)
    for odd in ODD:
        check(odd, fits=False)
    for values in (SUMMARY, ABOUT):
        for key in values:
            cases = [(values | {key: value}, shown in map(repr, FIT[key])) for shown, value in VALUES.items()]
            cases += [({name: values[name] for name in values if name != key}, False), (values | {f"{key}s": 0}, False)]
            for changed, fits in cases:
                check(changed if values is SUMMARY else SUMMARY | {"about": changed}, fits)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**6, b'{"name": "' + b"a" * 10**6]
)
def test_a_hostile_summary_is_refused_at_little_cost(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(content)
    with little(seconds=5, megabytes=50):
        assert refusal(lambda: load_summary(path), path)
