"""The whole pipeline on the bundled digits, through DVC, in projects of its own; results go from one to another."""

import json
import re
import shutil
from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest

import preprocess
from background import wait_for
from conftest import MakeProject, Run, commit, edit
from digits.foundation.stage import UserError
from pipeline_runs import STAGES, results, set_params, stages_run
from samples import draw, some_digits
from small_networks import NETWORKS


def test_results_are_those_of_the_bundled_digits(finished: Path) -> None:
    metrics = json.loads((finished / "metrics/test.json").read_text())
    predictions = pd.read_csv(finished / "metrics/predictions.csv")
    curves = pd.read_csv(finished / "metrics/train.csv")
    assert metrics["images"] == len(predictions) == 360
    assert metrics["errors"] == (predictions.actual != predictions.predicted).sum()
    assert metrics["accuracy"] == round(1 - metrics["errors"] / 360, 6)
    assert 0.8 < metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"] < 1
    assert predictions.confidence.between(0.1, 1).all()
    assert list(curves.epoch) == [1, 2, 3]
    assert curves.val_loss.is_monotonic_decreasing


def test_a_change_runs_only_what_it_affects(project: Path, run: Run) -> None:
    assert stages_run(run(project, "dvc", "repro")) == []
    assert run(project, "git", "status", "--porcelain") == ""
    for file, old, new, expected in (
        ("stages/evaluate.py", "def main", "# touched\ndef main", ["evaluate"]),
        ("params.yaml", "bins: 10", "bins: 100", ["evaluate", "export"]),
        ("stages/digits/sources/optdigits.py", "Resampling.BICUBIC", "Resampling.BILINEAR", STAGES),
    ):
        edit(project / file, old, new)
        assert stages_run(run(project, "dvc", "repro")) == expected


@pytest.mark.long
def test_drawings_are_learned(project: Path, run: Run) -> None:
    before = json.loads((project / "metrics/train.json").read_text())

    draw(project / "data/drawings", some_digits(0, 40))
    assert stages_run(run(project, "dvc", "repro")) == ["preprocess", "evaluate", "export"]
    metrics = json.loads((project / "metrics/test.json").read_text())
    low, accuracy, high = (metrics[f"drawings_{name}"] for name in ("accuracy_low", "accuracy", "accuracy_high"))
    assert 0 < metrics["drawings_images"] < 40
    assert 0 <= low <= accuracy <= high <= 1
    assert json.loads((project / "metrics/train.json").read_text()) == before

    output = run(project, "dvc", "exp", "run", "-S", "preprocess.drawings=3", "--name", "taught")
    assert stages_run(output) == STAGES[1:]
    taught = 40 - metrics["drawings_images"]
    assert f"drawings: {taught} used for training, 3 times each, {metrics['drawings_images']} held out" in output
    assert json.loads((project / "data/tensors/dataset.json").read_text())["train"] == 1300 + 3 * taught
    taught_commit = run(project, "git", "for-each-ref", "--format=%(objectname)", "refs/exps/??/*/taught").strip()
    assert "data/drawings/0/" in run(project, "git", "ls-tree", "-r", "--name-only", taught_commit)


@pytest.mark.long
def test_experiments_and_comparisons(project: Path, run: Run) -> None:
    slow = "-S", "train.optimizer=lbfgs", "-S", "train.lr=1e-05"
    output = run(project, "dvc", "exp", "run", "--name", "slow", *slow, "evaluate")
    assert stages_run(output) == STAGES[2:4]
    assert run(project, "git", "diff", "--numstat", "params.yaml") == "2\t2\tparams.yaml\n"
    assert "lr: 1e-05\n" in (project / "params.yaml").read_text()  # text to YAML 1.1
    rows = run(project, "dvc", "metrics", "diff", "--md")
    assert re.search(r"metrics.test\.json +\| accuracy +\| 0\.[89]\d* +\| 0\.\d", rows)

    steps = "optimizer=adamw", "lr=0.01", "schedule=step", "step.size=2", "step.gamma=0.5"
    options = [f"-Strain.{step}" for step in steps]
    output = run(project, "dvc", "exp", "run", "--temp", "--name", "steps", *options, "evaluate")
    assert stages_run(output) == STAGES[2:4]
    curves = pd.read_csv(project / "metrics/train.csv")
    assert list(curves.lr) == [1e-05] * 3  # those of the workspace
    assert set(run(project, "dvc", "exp", "list", "--name-only").split()) == {"slow", "steps"}
    run(project, "dvc", "exp", "apply", "steps")
    curves = pd.read_csv(project / "metrics/train.csv")
    assert list(curves.lr) == [0.01, 0.01, 0.005]
    assert curves.val_loss.is_monotonic_decreasing


@pytest.mark.long
@pytest.mark.parametrize("model", ["mlp", "lenet5", "small_cnn", "cnn"])
def test_a_network_has_the_same_bytes_in_another_process(project: Path, run: Run, model: str) -> None:
    small = {model: NETWORKS[model]} if NETWORKS[model] else {}
    set_params(project, {"model": model, "augment": "elastic", "epochs": 1, **small})
    run(project, "python", "stages/train.py")
    expected = results(project)
    shutil.rmtree(project / ".checkpoints")
    edit(project / "params.yaml", "\n  numpy: ", "\n  numpy: 1.")
    output = run(project, "python", "stages/train.py")
    assert "\nnote: the versions in params.yaml are {" in output
    assert "\nthe model may differ in its last bits from one that they give\n" in output
    assert results(project) == expected


@pytest.mark.long
def test_a_queue_of_experiments(project: Path, run: Run) -> None:
    run(project, "dvc", "exp", "run", "--queue", "-S", "train.lr=0.05,0.2", "train")
    run(project, "dvc", "queue", "start", "-j", "2")
    # DVC fails on a file that its worker is still writing.
    wait_for(lambda: run(project, "sh", "-c", "dvc queue status || true").count("Success") == 2)
    run(project, "dvc", "queue", "stop", "--kill")
    names = run(project, "dvc", "exp", "list", "--name-only").split()
    assert [stages_run(run(project, "dvc", "queue", "logs", name)) for name in names] == [["train"], ["train"]]


def test_a_wrong_parameter_costs_nothing(project: Path, run: Run) -> None:
    before = results(project)
    edit(project / "params.yaml", "lr: 0.1", "lr: 1e38")
    output = run(project, "dvc", "repro", status=255)
    assert "error: params.yaml: train.lr: the loss is no longer finite in epoch 1" in output
    assert "without training again" in output
    assert "Traceback" not in output
    assert "failed to reproduce 'train'" in output
    edit(project / "params.yaml", "lr: 1e38", "lr: 0.1")
    assert stages_run(run(project, "dvc", "repro")) == []
    assert results(project) == before
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_parameter_that_does_not_fit_the_data_is_refused(project: Path) -> None:
    path = project / "params.yaml"
    with chdir(project):
        edit(path, "drawings: 0", "drawings: 3")
        with pytest.raises(UserError, match="needs drawings of these classes in data/drawings"):
            preprocess.main()
        edit(path, "val_size: 137", "val_size: 1437")
        message = r"smaller than the 1,437 .* of optdigits, got 1437; `-S preprocess\.val_size=143`"
        with pytest.raises(UserError, match=message):
            preprocess.main()


def test_a_stage_out_of_turn_or_out_of_place_or_without_packages(make_project: MakeProject, run: Run) -> None:
    folder = make_project()
    for place, script in ((folder, "stages/train.py"), (folder / "stages", "train.py")):
        output = run(place, "python", script, status=1)
        assert output == "error: data/tensors/dataset.json: is missing; `dvc repro` makes it\n"
    output = run(folder, "python", "-S", "stages/train.py", status=1)
    assert re.fullmatch(r"error: python: \w+ not installed .*\.venv/bin/activate.*\n", output)


def test_the_data_set_is_said_and_checked(project: Path, run: Run) -> None:
    assert "not MNIST" in run(project, "python", "stages/download.py", "--check")
    edit(project / "params.yaml", "dataset: optdigits", "dataset: mnist")
    edit(project / "params.yaml", "https://ossci-datasets.s3.amazonaws.com/mnist", "/nowhere")
    edit(project / "params.yaml", "    - https://storage.googleapis.com/cvdf-datasets/mnist\n", "")
    output = run(project, "python", "stages/download.py", "--check", status=3)
    assert "/nowhere/t10k-labels-idx1-ubyte.gz: No such file" in output
    output = run(project, "python", "stages/download.py", status=1)
    assert "MNIST_MIRROR" in output
    assert "tools/recipe.py offline" in output


@pytest.mark.long
def test_results_experiments_and_versions_of_the_model_are_handed_on(project: Path, tmp_path: Path, run: Run) -> None:
    hub, other = tmp_path / "hub.git", tmp_path / "other"
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(project), str(hub))
    run(project, "git", "remote", "add", "origin", str(hub))
    run(tmp_path, "git", "clone", "--quiet", str(hub), str(other))

    run(project, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    assert run(project, "git", "status", "--porcelain") == " M .dvc/config\n"
    commit(project, run)
    run(project, "git", "push", "--quiet", "origin", "HEAD")
    assert "files pushed" in run(project, "dvc", "push")
    run(other, "git", "pull", "--quiet")
    run(other, "dvc", "pull")
    assert results(other) == results(project)
    assert stages_run(run(other, "dvc", "repro")) == []
    assert run(other, "git", "status", "--porcelain") == ""

    model = (project / "models/model.onnx").read_bytes()
    run(project, "gto", "register", "digits")
    run(project, "git", "push", "--quiet", "origin", "digits@v0.0.1")
    run(project, "dvc", "exp", "run", "--name", "faster", "-S", "train.lr=0.2")
    run(project, "dvc", "exp", "push", "origin", "faster")
    run(other, "dvc", "exp", "pull", "origin", "faster")
    run(other, "dvc", "exp", "apply", "faster")
    assert results(other) == results(project)
    assert stages_run(run(other, "dvc", "repro")) == []
    assert run(other, "git", "diff", "HEAD") == run(project, "git", "diff", "HEAD")

    # Later results are not those of the version.
    assert (project / "models/model.onnx").read_bytes() != model
    run(tmp_path, "dvc", "artifacts", "get", str(hub), "digits", "--out", "got.onnx")
    assert (tmp_path / "got.onnx").read_bytes() == model

    # Nobody trains again what another one has trained.
    for folder in (project, other):
        run(folder, "git", "checkout", "--quiet", "HEAD", ".")
        edit(folder / "params.yaml", "lr: 0.1\n", "lr: 0.3\n")
    run(project, "dvc", "repro")
    shutil.rmtree(tmp_path / "storage")
    run(project, "cp", "-r", ".dvc/cache/.", str(tmp_path / "storage"))
    run(other, "dvc", "pull", "--run-cache")
    output = run(other, "dvc", "repro", "--pull")
    assert "Stage 'train' is cached - skipping run" in output
    assert stages_run(output) == ["evaluate"]
    assert results(other) == results(project)
