"""The whole pipeline on the bundled digits, through DVC, in projects of its own."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from conftest import Run, draw, edit, some_digits
from pipeline_runs import STAGES, results, stages_run

import pandas as pd
import pytest
import yaml


def test_results_are_those_of_the_bundled_digits(finished: Path) -> None:
    metrics = json.loads((finished / "metrics/test.json").read_text())
    predictions = pd.read_csv(finished / "metrics/predictions.csv")
    curves = pd.read_csv(finished / "metrics/train.csv")
    assert metrics["images"] == len(predictions) == 360
    assert metrics["errors"] == (predictions.actual != predictions.predicted).sum()
    assert metrics["accuracy"] == pytest.approx(1 - metrics["errors"] / 360, abs=1e-6)
    assert 0.8 < metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"] < 1
    assert predictions.confidence.between(0.1, 1).all()
    assert list(curves.epoch) == [1, 2, 3]
    assert curves.val_loss.is_monotonic_decreasing


def test_nothing_to_do_the_second_time(project: Path, run: Run) -> None:
    output = run(project, "dvc", "repro")
    assert stages_run(output) == []
    assert "up to date" in output
    assert run(project, "git", "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("params.yaml", "lr: 0.1", "lr: 0.05", STAGES[2:]),
        pytest.param(
            "params.yaml", "  seed: 0\n  # how often", "  seed: 1\n  # how often", STAGES[1:], marks=pytest.mark.long
        ),
        ("stages/evaluate.py", "def summarize", "# touched\ndef summarize", ["evaluate"]),
        pytest.param("params.yaml", "bins: 10", "bins: 100", STAGES[3:], marks=pytest.mark.long),
        pytest.param("stages/export.py", "def compare", "# touched\ndef compare", ["export"], marks=pytest.mark.long),
        pytest.param("stages/digits/data/optdigits.py", "np.zeros", "np.ones", STAGES, marks=pytest.mark.long),
    ],
)
def test_a_change_runs_only_what_it_affects(
    project: Path, run: Run, file: str, old: str, new: str, expected: list[str]
) -> None:
    edit(project / file, old, new)
    assert stages_run(run(project, "dvc", "repro")) == expected


@pytest.mark.long
def test_drawings_are_learned(project: Path, run: Run) -> None:
    command = "dvc", "exp", "run", "-S", "preprocess.drawings=3"
    output = run(project, *command, status=255)
    assert (
        "error: params.yaml: preprocess.drawings: needs pictures of these classes in data/drawings, got none" in output
    )
    run(project, "git", "checkout", "params.yaml")
    before = json.loads((project / "metrics/train.json").read_text())

    draw(project / "data/drawings", some_digits(0, 40))
    assert stages_run(run(project, "dvc", "repro")) == ["preprocess", "evaluate", "export"]
    metrics = json.loads((project / "metrics/test.json").read_text())
    assert 0 < metrics["drawings_images"] < 40
    assert (
        0 <= metrics["drawings_accuracy_low"] <= metrics["drawings_accuracy"] <= metrics["drawings_accuracy_high"] <= 1
    )
    assert json.loads((project / "metrics/train.json").read_text()) == before

    output = run(project, *command, "--name", "taught")
    assert stages_run(output) == STAGES[1:]
    taught = 40 - metrics["drawings_images"]
    assert f"drawings: {taught} taught 3 times each, {metrics['drawings_images']} held out" in output
    assert json.loads((project / "data/tensors/dataset.json").read_text())["train"] == 1300 + 3 * taught
    taught_commit = run(project, "git", "for-each-ref", "--format=%(objectname)", "refs/exps/??/*/taught").strip()
    assert "data/drawings/0/" in run(project, "git", "ls-tree", "-r", "--name-only", taught_commit)

    draw(project / "data/drawings", some_digits(40, 50))
    assert stages_run(run(project, "dvc", "repro")) == STAGES[1:]


@pytest.mark.long
def test_a_clone_runs_without_a_remote(finished: Path, tmp_path: Path, run: Run) -> None:
    run(tmp_path, "git", "clone", "--quiet", str(finished), "clone")
    # The metrics are in Git: once the model is trained anew and found to be the same, there is nothing to score.
    assert stages_run(run(tmp_path / "clone", "dvc", "repro")) == ["download", "preprocess", "train", "export"]
    assert run(tmp_path / "clone", "git", "status", "--porcelain") == ""


@pytest.mark.long
def test_experiments_and_comparisons(project: Path, run: Run) -> None:
    run(project, "dvc", "exp", "run", "--name", "slow", "-S", "train.lr=0.00001", "evaluate")
    assert run(project, "git", "diff", "--numstat", "params.yaml") == "1\t1\tparams.yaml\n"
    assert yaml.safe_load((project / "params.yaml").read_text())["train"]["lr"] == "1e-05"
    assert "train.lr" in run(project, "dvc", "params", "diff")
    rows = run(project, "dvc", "metrics", "diff", "--md")
    assert re.search(r"metrics.test\.json +\| accuracy +\| 0\.[89]\d* +\| 0\.[0-4]", rows)
    run(project, "dvc", "exp", "run", "--temp", "--name", "fast", "-S", "train.lr=0.2", "evaluate")
    listed = run(project, "dvc", "exp", "list", "--name-only").split()
    assert set(listed) == {"slow", "fast"}
    for command in (("show",), ("diff", "fast", "slow")):
        output = run(project, "dvc", "plots", *command)
        assert "index.html" in output
        assert "Confusion matrix" in (project / "dvc_plots" / "index.html").read_text()


@pytest.mark.long
def test_optimizers_and_schedules_get_their_options(project: Path, run: Run) -> None:
    steps = ("train.schedule=step", "train.step.size=2", "train.step.gamma=0.5")
    for changes, lrs in (
        (("train.optimizer=adamw", "train.lr=0.01", *steps), [0.01, 0.01, 0.005]),
        (("train.optimizer=lbfgs", "train.lr=1", "train.schedule=constant"), [1, 1, 1]),
    ):
        run(project, "dvc", "exp", "run", *(part for change in changes for part in ("-S", change)), "train")
        curves = pd.read_csv(project / "metrics/train.csv")
        assert list(curves.lr) == lrs
        assert curves.val_loss.is_monotonic_decreasing
    output = run(project, "dvc", "exp", "run", "-S", "train.model=cnn", "train", status=255)
    assert "error: params.yaml: \n  train.optimizer: lbfgs needs the model logistic, got cnn" in output
    assert "Traceback" not in output


@pytest.mark.long
@pytest.mark.parametrize("model", ["mlp", "lenet5", "cnn"])
def test_a_network_has_the_same_bytes_in_another_process(project: Path, run: Run, model: str) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"] |= {"model": model, "augment": "elastic", "epochs": 2}
    for name in ("mlp", "cnn"):
        params["train"][name]["width"] = 8
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    found = []
    for _ in range(2):
        shutil.rmtree(project / ".checkpoints")
        run(project, sys.executable, "stages/train.py")  # which starts without what other tests have loaded
        found.append(results(project))
    assert found[0] == found[1]


@pytest.mark.long
def test_a_queue_of_experiments(project: Path, run: Run) -> None:
    run(project, "dvc", "exp", "run", "--queue", "-S", "train.lr=0.05,0.2", "train")
    run(project, "dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 200
    # DVC fails on a file that its worker is still writing.
    status_now = ("sh", "-c", "dvc queue status || true")
    while (status := run(project, *status_now)).count("Success") < 2 and time.monotonic() < deadline:
        assert "Failed" not in status, status
    run(project, "dvc", "queue", "stop", "--kill")
    assert status.count("Success") == 2, status
    assert len(run(project, "dvc", "exp", "list", "--name-only").split()) == 2


@pytest.mark.parametrize(
    ("old", "new", "stage", "expected"),
    [
        pytest.param(
            "lr: 0.1",
            "lr: 1e38",
            "train",
            ["train.lr: the loss is no longer finite in epoch 1"],
            marks=pytest.mark.long,
        ),
        ("lr: 0.1", "lr: abc\n  rate: 2", "train", ["train.lr: should be a valid number, got 'abc'", "train.rate: is"]),
        pytest.param(
            "val_size: 137",
            "val_size: 1437",
            "preprocess",
            ["smaller than the 1,437 training images of optdigits, got 1437; `-S preprocess.val_size=143`"],
            marks=pytest.mark.long,
        ),
        ("batch_size: 1000", "batch_size: 0", "evaluate", ["evaluate.batch_size: should be greater"]),
    ],
)
def test_a_wrong_parameter_costs_nothing(
    project: Path, run: Run, old: str, new: str, stage: str, expected: list[str]
) -> None:
    before = results(project)
    edit(project / "params.yaml", old, new)
    output = run(project, "dvc", "repro", status=255)
    assert all(message in output for message in ["error: params.yaml", "without training again", *expected])
    assert "Traceback" not in output
    assert f"failed to reproduce '{stage}'" in output

    edit(project / "params.yaml", new, old)
    assert stages_run(run(project, "dvc", "repro")) == (["evaluate"] if stage == "evaluate" else [])
    assert results(project) == before
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_stage_out_of_turn_or_out_of_place(make_project: Callable[[], Path], run: Run) -> None:
    folder = make_project()
    output = run(folder, "python", "stages/train.py", status=1)
    assert output == "error: data/tensors/dataset.json: is missing; `dvc repro` makes it\n"
    output = run(folder / "stages", "python", "train.py", status=1)
    assert output.startswith("error: working directory: not the repository root")
    assert f"cd {folder}" in output


def test_a_python_without_the_packages_is_named(make_project: Callable[[], Path], run: Run) -> None:
    output = run(make_project(), "python", "-S", "stages/train.py", status=1)
    assert output.startswith("error: python: cv2, filelock, matplotlib")
    assert ".venv/bin/activate" in output
    assert output.count("\n") == 1


def test_the_data_set_is_said_and_checked(project: Path, run: Run) -> None:
    assert "not MNIST" in run(project, "python", "stages/download.py", "--check")
    edit(project / "params.yaml", "dataset: optdigits", "dataset: mnist")
    edit(project / "params.yaml", "https://ossci-datasets.s3.amazonaws.com/mnist", "/nowhere")
    edit(project / "params.yaml", "    - https://storage.googleapis.com/cvdf-datasets/mnist\n", "")
    output = run(project, "python", "stages/download.py", "--check", status=3)
    assert "/nowhere: no such file" in output
    output = run(project, "python", "stages/download.py", status=1)
    assert "MNIST_MIRROR" in output
    assert "download.dataset=optdigits" in output
