"""A search tries parameters as experiments, judged by the validation images, and loses nothing to interruptions."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import ROOT, MakeProject, Run, edit
from experiments.search.space import read_space

import pytest
import yaml

SPACE = "train.epochs: 1\ntrain.lr: {low: 1e-3, high: 1.0, log: true}\ntrain.optimizer: [sgd, adam]\n"
# Each training takes some seconds, in which its process can be killed.
SLOW = "train.epochs: 20\ntrain.batch_size: 1\ntrain.lr: {low: 1e-4, high: 1e-3}\n"
SEARCH = "python", "tools/search.py"
Process = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def prepared(copy_finished: MakeProject) -> Path:
    """A project with its data; each test takes another name and another database."""
    return copy_finished()


def options(folder: Path, name: str, space: str, trials: int) -> list[str]:
    path = folder / f"{name}.tmp"
    path.write_text(space)
    database = f"sqlite:///{folder / 'search.db'}-{name}"
    return ["--name", name, "--space", str(path), "--storage", database, "--trials", str(trials)]


def experiments(folder: Path, name: str, run: Run) -> list[str]:
    listed = run(folder, "dvc", "exp", "list", "--name-only").split()
    return sorted(experiment for experiment in listed if experiment.startswith(f"{name}-"))


def committed(folder: Path, revision: str, path: str, run: Run) -> str:
    commits = run(folder, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{revision}").split()
    return run(folder, "git", "show", f"{commits[0] if commits else revision}:{path}")


def test_the_best_trial_is_that_of_the_highest_validation_accuracy(prepared: Path, run: Run, tmp_path: Path) -> None:
    (prepared / "search.yaml").write_text(SPACE)
    command = sys.executable, str(prepared / "tools/search.py"), "--trials", "2", "--picture", "drawn.png"
    # From another folder, without an activated environment.
    output = run(tmp_path, *command, PATH="/usr/bin:/bin")
    assert output.startswith("search: 0 of 2 trials done\n")
    assert max(map(len, output.splitlines())) <= 100
    names = experiments(prepared, "search", run)
    assert names == ["search-0", "search-1"]
    values = {name: json.loads(committed(prepared, name, "metrics/train.json", run))["val_accuracy"] for name in names}
    best = max(values, key=lambda name: values[name])
    assert f"\nbest of 2: {best}, validation accuracy {values[best]:.4f}, with\n" in output
    assert all(f"{name}    val acc {value:.4f}  lr=" in output for name, value in values.items())
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")

    again = run(tmp_path, *command, PATH="/usr/bin:/bin")
    assert again.startswith("search: 2 of 2 trials done\n\nbest of 2")
    for name in names:
        locked = [yaml.safe_load(committed(prepared, revision, "dvc.lock", run)) for revision in (name, "HEAD")]
        assert locked[0]["stages"].get("evaluate") == locked[1]["stages"].get("evaluate")
        assert committed(prepared, name, "metrics/test.json", run) == committed(
            prepared, "HEAD", "metrics/test.json", run
        )
    assert run(prepared, "git", "status", "--porcelain", "--", "metrics", "params.yaml") == ""

    output = run(prepared, "bash", "-c", again.splitlines()[-1].strip())
    assert "Running stage 'evaluate'" in output
    assert "Running stage 'train'" not in output
    assert json.loads((prepared / "metrics/train.json").read_text())["val_accuracy"] == values[best]
    # Neither the applied parameters nor others that are searched make it another search.
    assert run(prepared, *SEARCH, "--trials", "2").startswith("search: 2 of 2")
    run(prepared, "git", "checkout", "HEAD", ".")


@contextmanager
def start(folder: Path, environment: dict[str, str], command: Sequence[str], printed: Path) -> Iterator[Process]:
    """Start a command, alone in its process group, and end what is left of it."""
    with printed.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def trainings(folder: Path) -> set[Path]:
    """A file for each training that has begun, one for those that are the very same."""
    return set((folder / ".checkpoints").glob("*.lock"))


def wait_for_trainings(folder: Path, before: set[Path], count: int) -> None:
    deadline = time.monotonic() + 300
    while len(trainings(folder) - before) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_one_of_two_at_the_same_time_is_killed(
    prepared: Path, environment: dict[str, str], run: Run, tmp_path: Path
) -> None:
    command, before = [*SEARCH, *options(prepared, "two", SLOW, 3)], trainings(prepared)
    with (
        start(prepared, environment, command, tmp_path / "first") as first,
        start(prepared, environment, command, tmp_path / "second") as second,
    ):
        wait_for_trainings(prepared, before, 2)
        os.killpg(first.pid, signal.SIGKILL)
        assert second.wait(300) == 0
    output = (tmp_path / "second").read_text()
    assert output.count(" val acc ") == 3
    assert "best of 3" in output
    # The killed trial was repeated as the very same training.
    assert len(trainings(prepared) - before) == len(experiments(prepared, "two", run)) == 3
    assert run(prepared, *command).startswith("two: 3 of 3 trials done\n\nbest of 3")


@pytest.mark.long
def test_an_interrupted_trial_is_the_next_one_again(
    prepared: Path, environment: dict[str, str], run: Run, tmp_path: Path
) -> None:
    space = SLOW.replace("1e-4", "2e-4")  # the first trial of every search has the same place in its ranges
    command, before = [*SEARCH, *options(prepared, "stopped", space, 1)], trainings(prepared)
    with start(prepared, environment, command, tmp_path / "printed") as running:
        wait_for_trainings(prepared, before, 1)
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(300) == 130
    assert (tmp_path / "printed").read_text().endswith("error: search: interrupted; the same command continues it\n")
    assert "stopped-1    val acc" in run(prepared, *command)
    assert len(trainings(prepared) - before) == 1


@pytest.mark.long
def test_a_diverging_trial_fails_and_the_search_goes_on(prepared: Path, run: Run) -> None:
    arguments = options(
        prepared, "high", "train.optimizer: sgd\ntrain.lr: {low: 1e+37, high: 1e+38}\ntrain.epochs: 1\n", 2
    )
    output = run(prepared, *SEARCH, *arguments, "--jobs", "2", status=1)
    assert output.count("  loss diverged  ") == 2
    assert output.splitlines()[-1].startswith("error: high: no trial has a value, got 2 whose loss diverged; lower")


@pytest.mark.long
def test_a_failure_that_the_next_trial_would_have_too_ends_the_search(prepared: Path, run: Run) -> None:
    arguments = options(prepared, "wrong", "train.optimizer: [sdg, adamm]\n", 3)
    for jobs in "1", "2":
        output = run(prepared, *SEARCH, *arguments, "--jobs", jobs, status=1)
        assert "error: params.yaml" in output
        assert re.match(r"error: wrong-\d: the experiment failed, got the output above; ", output.splitlines()[-1])
        assert "Traceback" not in output
    output = run(prepared, *SEARCH, *options(prepared, "wrong", "train.optimizer: [sgd, adam]\n", 3), status=1)
    assert output.startswith(
        "error: wrong: was begun elsewhere or earlier with other settings, got\n  space.train.optimizer: "
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--trials", "0"], 2, "--trials: has to be a whole number above 0, got 0"),
        (
            ["--trials", "1", "--storage", "nonsense"],
            1,
            "error: --storage: has to be a database that can be used, got ",
        ),
        (["--trials", "1", "--storage", "sqlite:////no/where"], 1, "error: --storage: has to be a database"),
        (["--trials", "1", "--picture", "a.svg"], 2, "--picture: has to be a PNG file, ending in .png, got a.svg"),
        (["--trials", "1", "--space", "no.yaml"], 1, "error: no.yaml: No such file or directory; "),
    ],
)
def test_wrong_arguments(prepared: Path, run: Run, arguments: list[str], status: int, message: str) -> None:
    output = run(prepared, *SEARCH, *arguments, status=status)
    assert message in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has to map parameters to values, got None"),
        ("[", "is not YAML, got "),
        ("train.epochs: 3", "has to have a range or choices, got none"),
        ("train.lrr: [1, 2]", "train.lrr: is not a parameter of params.yaml; write its full name"),
        ("train.sgd: [1, 2]", "train.sgd: is not a parameter"),
        ("7: [1, 2]", "7: is not a parameter"),
        ("preprocess.val_size: [1, 2]", "preprocess.val_size: has to be in section train"),
        ("train.lr: []", "train.lr: choices have to be one or more different plain values, got []"),
        ("train.lr: [1, 1]", "choices have to be one or more different"),
        ("train.lr: [[1]]", "choices have to be one or more different"),
        ("train.lr: ", "train.lr: has to be a range, a list of choices, or a plain value, got None"),
        ("train.lr: .nan", "has to be a range, a list of choices, or a plain value, got nan"),
        ("train.lr: {low: 1}", "a range has to have low and high, may have log, and nothing else, got {'low': 1}"),
        ("train.lr: {low: 1, high: 2, step: 1}", "and nothing else"),
        ("train.lr: {low: 2, high: 1}", "low and high have to be numbers, low below high, got 2 and 1"),
        ("train.lr: {low: a, high: 1}", "low and high have to be numbers"),
        ("train.lr: {low: 0, high: .inf}", "low and high have to be numbers"),
        ("train.lr: {low: 0, high: 1, log: 1}", "log has to be true or false, got 1"),
        ("train.lr: {low: 0, high: 1, log: true}", "with log: true, low has to be above 0, got 0"),
    ],
)
def test_a_bad_search_space_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit, match=f"^error: {re.escape(str(path))}:(.|\n)*{re.escape(message)}"):
        read_space(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  val_size: 137\n", "", "error: preprocess.val_size: has to be above 0, "),
        ("preprocess:", "preprocess: [", "params.yaml: is not YAML, got "),
    ],
)
def test_wrong_params_are_named(project: Path, run: Run, old: str, new: str, message: str) -> None:
    edit(project / "params.yaml", old, new)
    output = run(project, *SEARCH, "--trials", "1", status=1)
    assert message in output
    assert "Traceback" not in output


def test_the_committed_search_space_is_right() -> None:
    assert read_space(ROOT / "search.yaml")["train.lr"] == {"low": 1e-4, "high": 1.0, "log": True}
