"""Experiments over seeds and learning rates, gathered, judged and drawn."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import compare
import experiments.runs as module
import sweep
from conftest import Call, MakeProject, Run, commit
from digits.foundation.stage import UserError
from experiments.figures import comparable, draw_runs, draw_sweep
from experiments.revisions import Files, read_files
from experiments.runs import RESULTS, run_of


@pytest.fixture(scope="module")
def swept(copy_finished: MakeProject, run: Run) -> Path:
    """A project with two seeds of the committed parameters and two of another learning rate."""
    project = copy_finished()
    (project / "note").write_text("a commit of its own, so that no experiment is taken for the one before")
    commit(project, run)
    for name, lr, seed in (("a", 0.1, 1), ("c", 0.03, 0), ("d", 0.03, 1)):
        changes = "-S", f"train.lr={lr}", "-S", f"train.seed={seed}"
        run(project, "dvc", "exp", "run", "--name", name, *changes, "evaluate")
    # One whose model has not seen a test image.
    changes = "-S", "train.lr=0.3", "-S", "train.seed=0"
    run(project, "dvc", "exp", "run", "--temp", "--name", "unscored", *changes, "train")
    run(project, "git", "checkout", "--quiet", "HEAD", ".")
    return project


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.mark.long
def test_a_sweep_is_drawn_and_what_cannot_be_judged_is_said(swept: Path, call: Call) -> None:
    assert call(sweep, swept, "--picture", "lr.png")[0] == ("lr.png: 5 runs\n")
    assert picture_size(swept / "lr.png") == (800, 450)
    for command, arguments, expected in [
        (sweep, ["nothing"], "error: revision: must be a commit, an experiment or workspace, got nothing"),
        (sweep, ["--x", "train.model"], "error: train.model: must be a numeric parameter"),
        (sweep, ["--by", "train.lr"], "error: train.lr: must be a numeric parameter other than --by"),
        (sweep, ["--x", "train.rate"], "error: train.rate: must be a parameter, got none of that name in HEAD"),
        (sweep, ["HEAD", "a"], "error: train.lr: must have two values or more in runs that are otherwise like HEAD"),
        (sweep, ["--picture", "README.md/a.png"], "error: README.md/a.png: cannot be "),
        (
            compare,
            ["HEAD", "unscored"],
            "error: metrics/predictions.csv: must come from the model of unscored, got predictions of an earlier "
            "one; `dvc exp apply unscored; dvc repro` scores it in the workspace",
        ),
    ]:
        assert expected in call(command, swept, *arguments, status=1)[1]


def made_up(name: str, seed: int, accuracy: float, **params: object) -> module.Run:
    given = {"train.lr": 0.1, "train.optimizer": "sgd", "train.seed": seed, "preprocess.val_size": 1000} | params
    return module.Run(name, given, {"code": "a"}, {}, {"val_accuracy": accuracy, "accuracy": accuracy})


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("dvc.lock", "<<<<<<< HEAD\nstages:", "HEAD: dvc.lock is damaged"),
        ("dvc.lock", "[]", "HEAD: dvc.lock is damaged"),
        ("dvc.lock", "schema: '2.0'\nstages: {}", "dvc.lock: has no stage train in HEAD"),
        ("metrics/train.json", "{", "HEAD: metrics/train.json is damaged"),
        ("metrics/test.json", None, "metrics/test.json: is missing in HEAD"),
    ],
)
def test_damaged_results_are_named(path: str, text: str | None, message: str) -> None:
    files = read_files(["HEAD"], RESULTS)["HEAD"]
    assert run_of(files).params["train.epochs"] > 0
    with pytest.raises(UserError, match=f"^{message}"):
        run_of(Files("HEAD", None, {**files.texts, path: text}))


def test_what_sets_runs_apart() -> None:
    base, other = made_up("HEAD", 0, 0.9), made_up("x", 1, 0.8, **{"train.lr": 0.2})
    without = [made_up("v", seed, 0.9, **{"train.lr": 0.3}) for seed in (0, 1)]
    for run in without:
        del run.metrics["val_accuracy"]
    table = comparable([base, other, made_up("w", 0, 0.9, **{"train.model": "cnn"})], "train.lr", "train.optimizer")
    assert list(table["train.lr"]) == [0.1, 0.2]

    other.inputs["data/tensors/train.safetensors"] = "b"
    for runs, problem in [
        ([base, other], r"^train.lr: must have two values or more in runs that are otherwise like HEAD, got one; "),
        (without, "^preprocess.val_size: must be above 0, got runs without validation images$"),
    ]:
        with pytest.raises(UserError, match=problem):
            draw_runs(runs, "train.lr", "train.optimizer", Path("never.png"))
    dots, mean = draw_sweep(table, "train.lr", "train.optimizer").axes[0].lines
    assert (dots.get_marker(), mean.get_linestyle()) == (".", "-")
    for line in (dots, mean):
        assert np.asarray(line.get_ydata()) == pytest.approx([10, 20])


@pytest.mark.long
def test_the_table_of_experiments(swept: Path, run: Run) -> None:
    def lines(arguments: str) -> list[str]:
        listed = run(swept, "make", "--dry-run", "--always-make", "experiments", f"ARGS={arguments}")
        command = listed[listed.index("dvc exp show") :].replace("\\\n", "")  # without what make prepares
        return run(swept, "sh", "-c", command, COLUMNS="80").splitlines()

    header, _, *rows = lines("")
    assert header.replace("|", "").split() == ["Experiment", "val_accuracy", "accuracy", "train.lr", "train.seed"]
    accuracies = [float(match[1]) for row in rows if (match := re.search(r"\] +\| ([01][.]\d+)", row))]
    assert len(accuracies) == 4
    assert accuracies == sorted(accuracies, reverse=True)
    assert lines("--rev HEAD~1")[-1] == "no experiments: `dvc exp run` runs one"
