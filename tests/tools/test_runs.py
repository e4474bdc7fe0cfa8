"""Experiments over seeds and learning rates, gathered, judged and drawn."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import experiments.runs as module
import seeds
import sweep
from conftest import Run, commit
from experiments.revisions import Files, NotFoundError, read_files
from experiments.runs import RESULTS, run_of
from experiments.sweep.figure import comparable, draw, draw_sweep

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_1samp


@pytest.fixture(scope="module")
def swept(finished: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project with three seeds of the committed parameters, two of another learning rate, and a repetition."""
    project = Path(shutil.copytree(finished, tmp_path_factory.mktemp("swept") / "project"))
    (project / "note").write_text("a commit of its own, so that no experiment is taken for the one before")
    commit(project, run)
    for name, lr, seed in (("a", 0.1, 1), ("b", 0.1, 2), ("c", 0.03, 0), ("d", 0.03, 1), ("repeated", 0.1, 1)):
        changes = "-S", f"train.lr={lr}", "-S", f"train.seed={seed}"
        run(project, "dvc", "exp", "run", "--name", name, *changes, "evaluate")
    # One whose model has not seen a test image.
    changes = "-S", "train.lr=0.3", "-S", "train.seed=0"
    run(project, "dvc", "exp", "run", "--temp", "--name", "unscored", *changes, "train")
    run(project, "git", "checkout", "--quiet", "HEAD", ".")
    return project


def value(project: Path, run: Run, name: str, file: str, metric: str) -> float:
    found = re.search(rf'"{metric}": ([0-9.]+)', run(project, "git", "show", f"{name}:metrics/{file}.json"))
    assert found
    return float(found[1])


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.mark.long
def test_seeds_of_the_same_parameters_are_taken_together(swept: Path, run: Run) -> None:
    output = run(swept, "python", "tools/seeds.py", "--picture", "seeds.png")
    blocks = output.strip().split("\n\n")
    assert sorted(block.splitlines()[0] for block in blocks) == [
        "parameters of HEAD; seeds 0, 1, 2",
        "train.lr=0.03; seeds 0, 1",
    ]
    (committed,) = (block for block in blocks if block.startswith("parameters of HEAD"))
    commits = [
        "HEAD",
        *run(swept, "git", "for-each-ref", "--format=%(refname)", "refs/exps/**/a", "refs/exps/**/b").split(),
    ]
    for split, file, metric in (("val", "train", "val_accuracy"), ("test", "test", "accuracy")):
        values = 100 * np.array([value(swept, run, name, file, metric) for name in commits])
        assert f"  {split:12}{values.mean():8.2f}{values.std(ddof=1):7.2f}" in committed
    assert max(map(len, output.splitlines())) <= 80
    assert picture_size(swept / "seeds.png") == (800, 450)


@pytest.mark.long
def test_json_has_the_numbers_of_the_tables(swept: Path, run: Run) -> None:
    output = run(swept, "python", "tools/seeds.py")
    # Standard error has its own note on what is left out.
    groups = json.loads(run(swept, "sh", "-c", "python tools/seeds.py --json 2> note"))
    by_seeds = {len(group["seeds"]): group for group in groups}
    assert set(by_seeds) == {2, 3}
    assert by_seeds[2]["params"] == {"train.lr": 0.03}
    assert (by_seeds[2]["seeds"], by_seeds[2]["runs"]) == ([0, 1], ["c", "d"])
    assert (by_seeds[3]["params"], by_seeds[3]["seeds"]) == ({}, [0, 1, 2])
    refs = run(swept, "git", "for-each-ref", "--format=%(refname)", "refs/exps/**/c", "refs/exps/**/d").split()
    for group in groups:
        assert group["same_code_and_data"]
        for split, file, metric in (("val", "train", "val_accuracy"), ("test", "test", "accuracy")):
            found = group[split]
            if len(group["seeds"]) == 2:
                values = [value(swept, run, name, file, metric) for name in refs]
                assert sorted(found["accuracies"]) == sorted(values)
            assert found["images"] == {"val": 137, "test": 360}[split]
            assert found["mean"] == pytest.approx(np.mean(found["accuracies"]))
            assert found["sd"] == pytest.approx(np.std(found["accuracies"], ddof=1))
            low, high = found["interval_by_seeds"]
            assert f"{100 * found['mean']:8.2f}{100 * found['sd']:7.2f}   {100 * low:.2f} to {100 * high:.2f}" in output
            low, high = found["interval_by_images"]
            assert f"{100 * low:.2f} to {100 * high:.2f}\n" in output


@pytest.mark.long
def test_a_sweep_is_drawn(swept: Path, run: Run) -> None:
    output = run(swept, "python", "tools/sweep.py", "--picture", "lr.png")
    assert output == "lr.png: 7 runs; left out because they differ in other ways: 0\n"
    assert picture_size(swept / "lr.png") == (800, 450)


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("seeds.py", "a", "c"), "error: train.seed: has to differ between runs that are otherwise alike"),
        (("sweep.py", "--x", "train.model"), "error: train.model: has to be a numeric parameter"),
        (
            ("sweep.py", "--x", "train.lr", "--by", "train.lr"),
            "error: train.lr: has to be a numeric parameter other than --by",
        ),
        (
            ("compare.py", "HEAD", "unscored"),
            "error: metrics/predictions.csv: has to come from the model of unscored, got predictions of an earlier "
            "one; `dvc exp apply unscored; dvc repro` scores it in the workspace",
        ),
        (
            ("sweep.py", "--x", "train.rate"),
            "error: train.rate: has to be a parameter, got none of that name in HEAD",
        ),
        (("sweep.py", "a", "b"), "error: train.lr: has to have two values or more, got one"),
        (("sweep.py", "--picture", "README.md/a.png"), "error: README.md/a.png: cannot be written, got "),
        (("seeds.py", "nothing"), "error: revision: has to be a commit, an experiment or workspace, got nothing"),
    ],
)
def test_what_cannot_be_judged_is_said(swept: Path, run: Run, command: tuple[str, ...], expected: str) -> None:
    output = run(swept, "python", f"tools/{command[0]}", *command[1:], status=1)
    assert expected in output
    assert "Traceback" not in output


def made_up(name: str, seed: int, accuracy: float, **params: object) -> module.Run:
    given = {"train.lr": 0.1, "train.optimizer": "sgd", "train.seed": seed, "preprocess.val_size": 1000} | params
    curves = f"epoch,val_accuracy\n1,0.5\n2,{accuracy}\n"
    return module.Run(
        name, given, {"code": "a"}, {}, {"val_accuracy": accuracy, "accuracy": accuracy, "images": 100}, curves
    )


def test_intervals_are_those_of_scipy_and_of_the_literature() -> None:
    values = np.array([0.90, 0.92, 0.93, 0.95])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert seeds.interval_by_seeds(values) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("dvc.lock", "<<<<<<< HEAD\nstages:", "HEAD: dvc.lock is damaged"),
        ("dvc.lock", "[]", "HEAD: dvc.lock is damaged"),
        ("metrics/train.json", "{", "HEAD: metrics/train.json is damaged"),
        ("metrics/test.json", None, "metrics/test.json: is missing in HEAD"),
    ],
)
def test_damaged_results_are_named(path: str, text: str | None, message: str) -> None:
    files = read_files(["HEAD"], RESULTS)["HEAD"]
    assert run_of(files).params["train.epochs"] > 0
    with pytest.raises(NotFoundError, match=f"^error: {message}"):
        run_of(Files("HEAD", None, {**files.texts, path: text}))


def test_what_sets_runs_apart() -> None:
    base, other = made_up("HEAD", 0, 0.9), made_up("x", 1, 0.8, **{"train.lr": 0.2})
    again, more = made_up("y", 0, 0.85, **{"train.lr": 0.2}), made_up("z", 1, 0.7)
    groups = seeds.by_recipe([base, other, again, more])
    assert [[run.name for run in group] for group in groups] == [["y", "x"], ["HEAD", "z"]]
    without = [made_up("v", seed, 0.9, **{"train.lr": 0.3}) for seed in (0, 1)]
    for run in without:
        del run.metrics["val_accuracy"]
    assert seeds.by_recipe([*without, base, other, again, more]) == [*groups, without]
    assert seeds.title(groups[0], base) == "train.lr=0.2; seeds 0, 1"
    table = comparable([base, other, made_up("w", 0, 0.9, **{"train.model": "cnn"})], "train.lr", "train.optimizer")
    assert list(table["train.lr"]) == [0.1, 0.2]

    other.inputs["data/tensors/train.safetensors"] = "b"
    path = Path("never.png")
    problem = draw([base, other], "train.lr", "train.optimizer", path)
    assert problem
    assert problem.startswith("train.lr: runs with other values of it differ in more than that, such as the ")
    assert draw(without, "train.lr", "train.optimizer", path) == (
        "preprocess.val_size: has to be above 0, got runs without validation images"
    )
    dots, mean = draw_sweep(table, "train.lr", "train.optimizer").axes[0].lines
    assert (dots.get_marker(), mean.get_linestyle()) == (".", "-")
    for line in (dots, mean):
        assert np.asarray(line.get_ydata()) == pytest.approx([10, 20])


def test_the_commands_on_runs_that_are_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each command prints and draws of two learning rates, one of them with two seeds."""
    runs = [made_up("HEAD", 0, 0.9), made_up("x", 1, 0.92), made_up("y", 0, 0.8, **{"train.lr": 0.2})]
    for command in (seeds, sweep):
        monkeypatch.setattr(command, "gather", lambda _: runs)
        monkeypatch.setattr("sys.argv", ["command", "--picture", str(tmp_path / f"{command.__name__}.png")])
        command.main()
        assert picture_size(tmp_path / f"{command.__name__}.png") == (800, 450)


@pytest.mark.long
def test_the_table_of_experiments_fits(swept: Path, run: Run, make_experiments: Callable[[Path], str]) -> None:
    lines = make_experiments(swept).splitlines()
    assert "val_accuracy" in lines[1]
    assert "train.lr" in lines[1]
    assert max(map(len, lines)) <= 100
    accuracies = [float(match[1]) for line in lines if (match := re.search(r"\] +([01][.]\d+)", line))]
    assert len(accuracies) == 6
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.fixture
def make_experiments(run: Run) -> Callable[[Path], str]:
    """Run the command of `make experiments` without what make prepares."""

    def print_table(project: Path) -> str:
        listed = run(project, "make", "--dry-run", "--always-make", "experiments")
        command = listed[listed.index("dvc exp show") :].replace("\\\n", "")
        return run(project, "sh", "-c", command, COLUMNS="100")

    return print_table
