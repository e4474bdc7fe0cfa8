"""What a stage reads of an earlier one with anything in it: a message that helps, or results that are right."""

import json
import math
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

import evaluate
import preprocess
import train
from bad_input import little, many, refusal
from conftest import CLASSES, MNIST, ROOT, some_digits
from digits.data.dataset import Dataset, load_summary, save_dataset
from digits.data.idx import write_idx
from digits.data.raw import write_description
from digits.figures.results import draw_curves
from digits.models.classifier import Classifier, build_layers
from digits.models.model_file import save_model
from small_networks import info_of

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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


def save(folder: Path, factor: float = 1.0, std: float = 1.0, place: int = 400) -> None:
    """Save a model of which the weights of one pixel are multiplied."""
    layers = build_layers("logistic", {}, CLASSES, seed=0)
    layers.get_parameter("1.weight").data[:, place] *= factor
    save_model(
        folder / evaluate.MODEL,
        Classifier(layers, 0.0, std).arrays(),
        info_of("logistic", {}),
    )


def run(folder: Path, where: Path) -> str:
    """Evaluate: the refusal, before which nothing may be written, or nothing where there are results."""
    with chdir(folder):
        message = refusal(evaluate.main, where)
        assert bool(message) != evaluate.METRICS.exists() == evaluate.PREDICTIONS.exists() == evaluate.SALIENCY.exists()
    return message


def test_what_is_good_is_evaluated(project: Path) -> None:
    assert not run(project, evaluate.MODEL)
    metrics = json.loads((project / evaluate.METRICS).read_text())
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["images"] == 20


@pytest.mark.parametrize(
    ("factor", "std", "place"),
    [
        (1e38, 1e-3, 400),  # logits overflow
        (1e39, 1.0, 0),  # infinite where no image has ink
        (1e38, 1e-3, 0),  # derivatives overflow where no image has ink
        (1.0, 1e-45, 400),  # 1 / std overflows
        (1.0, math.nan, 400),
    ],
)
def test_numbers_that_overflow_are_refused(project: Path, factor: float, std: float, place: int) -> None:
    save(project, factor, std, place)
    assert run(project, evaluate.MODEL)


def test_a_loss_that_overflows_without_any_logit_is_refused(project: Path) -> None:
    layers = build_layers("logistic", {}, CLASSES, seed=0)
    layers.get_parameter("1.bias").data.copy_(torch.tensor([3e38] + [-3e38] * 9))
    save_model(
        project / evaluate.MODEL,
        Classifier(layers).arrays(),
        info_of("logistic", {}),
    )
    assert run(project, evaluate.MODEL)


@pytest.mark.parametrize("factor", [0.0, 1e10, 1e30, 3e37])
def test_numbers_that_barely_fit_are_evaluated(project: Path, factor: float) -> None:
    save(project, factor)
    assert not run(project, evaluate.MODEL)
    metrics = json.loads((project / evaluate.METRICS).read_text())
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_test_set_without_images_is_refused(project: Path) -> None:
    save_dataset(project / evaluate.TEST, some_digits(0, 0))
    assert run(project, evaluate.TEST)


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


def test_test_images_of_one_digit_are_evaluated(project: Path) -> None:
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    save_dataset(project / evaluate.TEST, Dataset(images, np.array([4, 4, 4])))
    assert not run(project, evaluate.MODEL)


def test_curves_that_are_damaged_are_refused_before_anything_is_written(project: Path) -> None:
    (project / evaluate.CURVES).write_text(CURVES.replace("0.75", "many"))
    assert "train_accuracy" in run(project, evaluate.CURVES)


def read(path: Path, content: bytes) -> list[dict[str, Any]]:
    """The rows of curves of these bytes, checked; none where they are refused."""
    path.write_bytes(content)
    if refusal(lambda: evaluate.read_curves(path), path):
        return []
    rows = evaluate.read_curves(path)
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        assert all(0 <= float(row[name]) < math.inf for name in METRICS[:2])
        assert all(row[name] == "" or 0 <= float(row[name]) < math.inf for name in METRICS[2:])
    return rows


def test_curves_that_are_cut_off_lose_whole_rows(tmp_path: Path) -> None:
    whole = read(tmp_path / "curves", CURVES.encode())
    assert len(whole) == 2
    for length in range(len(CURVES)):
        rows = read(tmp_path / "curves", CURVES[:length].encode())
        assert [[row[name] for name in METRICS] for row in rows] == [
            [row[name] for name in METRICS] for row in whole[: len(rows)]
        ]


CELLS = ["", "x", "nan", "inf", "-1", "1e400", "1e39", "1e38", "1e-400", "0", "1", "2", "1_0", " 1", "٣", "0x1", "1,1",
         '"', "\n", "\r", "\x00", "\x1b[2J", "\ufeff", "a" * 200_000, "9" * 5000, "1.5", "True", ";"]  # fmt: skip


@many(500)
@given(
    row=st.integers(0, 2),
    column=st.integers(0, 5),
    cell=st.sampled_from(CELLS) | st.text(max_size=5) | st.floats().map(str),
)
def test_any_cell_of_the_curves(tmp_path: Path, row: int, column: int, cell: str) -> None:
    rows = [line.split(",") for line in CURVES.splitlines()]
    rows[row][column] = cell
    read(tmp_path / "curves", "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass"))


@many(500)
@given(start=st.integers(0, len(CURVES)), length=st.integers(0, 30), inserted=st.binary(max_size=10))
def test_any_damage_to_the_curves(tmp_path: Path, start: int, length: int, inserted: bytes) -> None:
    content = CURVES.encode()
    read(tmp_path / "curves", content[:start] + inserted + content[start + length :])


@pytest.mark.parametrize(
    "content", ["", "\n", HEADER, f"{HEADER}\n", "a,b\n1,2\n", CURVES.replace("lr", "epoch"), "\ufeff", "\x00"]
)
def test_curves_without_rows_or_columns(tmp_path: Path, content: str) -> None:
    assert not read(tmp_path / "curves", content.encode())


@pytest.mark.parametrize("values", ["1e38,1,0,0", "0,0,,", "1e-300,1e-300,1e38,1e38", "1,1,,1", "5e-324,0,,"])
def test_odd_curves_are_drawn(tmp_path: Path, values: str) -> None:
    rows = read(tmp_path / "curves", f"{HEADER}\n1,{values},0.1\n2,1.0,1.0,,,0.1\n".encode())
    draw_curves(rows).savefig(tmp_path / "figure", format="png")
    drawn = [np.asarray(line.get_ydata())[0] for axes in draw_curves(rows).axes for line in axes.lines]
    expected = [rows[0][f"{split}_{metric}"] for metric in ("loss", "accuracy") for split in ("train", "val")]
    assert drawn == [value for value in expected if value != ""]


ABOUT = {"name": "mnist", "classes": ["cat", "dog"], "pictures": "whole"}
SUMMARY = {
    "about": ABOUT,
    "train": 55,
    "val": 5,
    "test": 10,
    "drawings": 0,
    "pixel_mean": 0.13,
    "pixel_std": 0.31,
}
RANGES: dict[str, tuple[type, float, float]] = {
    "train": (int, 1, math.inf),
    "val": (int, 0, math.inf),
    "test": (int, 1, math.inf),
    "drawings": (int, 0, math.inf),
    "pixel_mean": (float, 0, 1),
    "pixel_std": (float, 5e-324, 0.5),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["mnist", "optdigits", "MNIST", "whole", "\x1b[2J", "0.5", 0, -0.0, 0.5, 1, 1.0, 1e308, 10**400])
    | st.sampled_from([["a", "b"], ["a", "a"], ["a", "\n"], ["a"], ["a", "b" * 41]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def fits(values: Any) -> bool:
    """Whether a summary is one, said in another way."""
    if not isinstance(values, dict) or values.keys() != SUMMARY.keys():
        return False
    about = values["about"]
    if not isinstance(about, dict) or about.keys() != ABOUT.keys() or about["name"] not in ("mnist", "optdigits"):
        return False
    classes = about["classes"]
    if about["pictures"] not in ("strokes", "whole") or type(classes) is not list or not 2 <= len(classes) <= 100:
        return False
    if not all(
        type(name) is str and 0 < len(name) <= 40 and name.isprintable() and "/" not in name and name[0] != "."
        for name in classes
    ):
        return False
    if len(set(classes)) < len(classes):
        return False
    return all(
        type(values[name]) in {kind, int} and low <= values[name] <= high for name, (kind, low, high) in RANGES.items()
    )


@many(500)
@given(key=st.sampled_from([*SUMMARY, *ABOUT, "more", "all"]), value=JSON, removed=st.booleans())
def test_any_summary(tmp_path: Path, key: str, value: Any, removed: bool) -> None:
    about = ABOUT | {key: value} if key in ABOUT else ABOUT
    values: Any = SUMMARY | {"about": about}
    if key == "all":
        values = value
    elif key not in ABOUT:
        values[key] = value
    if key != "all" and removed:
        del (about if key in ABOUT else values)[key]
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(values))
    refused = refusal(lambda: load_summary(path), path)
    assert bool(refused) != fits(values)
    assert refused or load_summary(path).model_dump() == values


@many(300)
@given(start=st.integers(0, 230), length=st.integers(0, 20), inserted=st.binary(max_size=5))
def test_any_damage_to_the_summary(tmp_path: Path, start: int, length: int, inserted: bytes) -> None:
    content = json.dumps(SUMMARY, indent=2).encode()
    path = tmp_path / "dataset.json"
    path.write_bytes(content[:start] + inserted + content[start + length :])
    assert refusal(lambda: load_summary(path), path) or fits(load_summary(path).model_dump())


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**6, b'{"name": "' + b"a" * 10**6]
)
def test_a_hostile_summary_is_refused_at_little_cost(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    with little(seconds=5, megabytes=50):
        assert refusal(lambda: load_summary(tmp_path / "dataset.json"), tmp_path / "dataset.json")


@pytest.mark.parametrize("value", [0, 128, 255])
def test_training_images_without_any_ink_are_refused(tmp_path: Path, value: int) -> None:
    (tmp_path / "params.yaml").write_text("preprocess: {val_size: 0, seed: 0, drawings: 0}")
    images, labels = np.full((20, 28, 28), value, dtype=np.uint8), np.arange(20, dtype=np.uint8) % 10
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / preprocess.RAW / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / preprocess.RAW / f"{prefix}-labels-idx1-ubyte.gz", labels)
    write_description(tmp_path / preprocess.RAW, MNIST)
    with chdir(tmp_path):
        assert refusal(preprocess.main, preprocess.RAW)
        assert not preprocess.TRAIN.exists()
