"""A search tries parameters as experiments, judged by the validation images, and loses nothing to interruptions."""

import json
import math
import re
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import numpy as np
import optuna
import pytest
import yaml
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.pruners import MedianPruner
from optuna.trial import Trial, TrialState, create_trial

import search
from background import start, trainings, wait_for
from conftest import ROOT, Call, MakeProject, Run, committed
from digits.foundation.stage import UserError
from digits.scoring import DIVERGED, progress
from experiments import task as module
from experiments.processes import Runner
from experiments.proposals import Sampler, read_space
from experiments.runs import Run as ExperimentRun
from experiments.snapshot import Snapshot
from experiments.study import MEMBER, Database, open_study
from experiments.task import Judge, Proposal, Task
from experiments.workers import Workers

SPACE = "train.epochs: 1\ntrain.lr: {low: 1e-3, high: 1.0, log: true}\ntrain.optimizer: [sgd, adam]\n"
# Each training takes some seconds, in which its process can be killed.
SLOW = "train.epochs: 20\ntrain.batch_size: 1\ntrain.lr: {low: 1e-4, high: 1e-3}\n"
SEARCH = "python", "tools/search.py"
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Heartbeat of storage")


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


@pytest.mark.long
def test_the_best_trial_is_that_of_the_highest_validation_accuracy(prepared: Path, run: Run, tmp_path: Path) -> None:
    (prepared / "search.yaml").write_text(SPACE)
    options = "--trials", "2", "--jobs", "1", "--picture", "drawn.png"
    command = sys.executable, str(prepared / "tools/search.py"), *options
    # From another folder, without an activated environment.
    output = run(tmp_path, *command, PATH="/usr/bin:/bin", timeout=900)
    assert output.startswith("search: 0 of 2 trials done\n")
    assert max(map(len, output.splitlines())) <= 100
    names = experiments(prepared, "search", run)
    assert names == ["search-0", "search-1"]
    values = {name: json.loads(committed(prepared, name, "metrics/train.json", run))["val_accuracy"] for name in names}
    best = max(values, key=lambda name: values[name])
    assert f"\nbest of 2: {best}, validation accuracy {values[best]:.4f}, with\n" in output
    assert all(re.search(rf"{name}  +val acc {value:.4f}  .* s  lr=", output) for name, value in values.items())
    for picture in ("drawn.png", "drawn-parallel.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")

    for name in names:
        tested = [committed(prepared, revision, "metrics/test.json", run) for revision in (name, "HEAD")]
        locked = [yaml.safe_load(committed(prepared, revision, "dvc.lock", run)) for revision in (name, "HEAD")]
        assert tested[0] == tested[1]
        assert locked[0]["stages"].get("evaluate") == locked[1]["stages"].get("evaluate")
    assert run(prepared, "git", "status", "--porcelain", "--", "metrics", "params.yaml") == ""

    output = run(prepared, "bash", "-c", output.splitlines()[-1].strip())
    assert "Running stage 'evaluate'" in output
    assert "Running stage 'train'" not in output
    assert json.loads((prepared / "metrics/train.json").read_text())["val_accuracy"] == values[best]
    run(prepared, "git", "checkout", "HEAD", ".")


# Learns, and prunes, from the first trials on.
EAGER = """
import runpy, sys
from functools import partial
sys.path.insert(0, "tools")
import command
from experiments import proposals
proposals.TPESampler, proposals.UNPRUNED = partial(proposals.TPESampler, n_startup_trials=2), 1
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
Outcome = tuple[dict[str, Any], float | None, str, dict[int, float]]


def outcomes(study: optuna.Study) -> dict[str, Outcome]:
    """Parameters, value, state and epochs of the finished trials, by member."""
    return {
        trial.user_attrs[MEMBER]: (trial.params, trial.value, trial.state.name, trial.intermediate_values)
        for trial in study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])
    }


@pytest.mark.long
def test_two_at_once_find_the_same_to_the_last_digit_though_one_is_killed_and_the_other_interrupted(
    prepared: Path, copy_finished: MakeProject, environment: dict[str, str], run: Run
) -> None:
    other = copy_finished()
    alone, shared = (
        ["python", "-c", EAGER, *SEARCH[1:], *options(folder, "same", SLOW, 4), "--window", "2", "--prune", "3"]
        for folder in (prepared, other)
    )
    before = trainings(other)
    with start(other, environment, shared) as first, start(other, environment, shared) as second:
        wait_for(lambda: len(trainings(other) - before) == 2 and [*(other / ".checkpoints").glob("*.pt")])
        first.kill()
        second.send_signal(signal.SIGINT)
        assert second.wait(120) == 130
        printed = cast(IO[str], second.stdout).read()
        assert printed.endswith("error: search: interrupted; the same command continues it\n")
    begun = trainings(other) - before
    assert len(begun) == 2
    run(prepared, *alone, timeout=900)
    run(other, *shared, "--jobs", "2", timeout=900)
    # Both were repeated as the very same trainings: what is not finished would stay.
    assert all(lock.with_suffix(".finished").exists() for lock in begun & trainings(other))
    databases = [Database(f"sqlite:///{folder}/search.db-same") for folder in (prepared, other)]
    expected, found = (outcomes(optuna.load_study(study_name="same", storage=each)) for each in databases)
    assert len(found) == 4
    assert found == expected
    complete = [name for name, (_, _, state, _) in found.items() if state == "COMPLETE"]
    assert experiments(other, "same", run) == sorted(complete)
    assert run(other, *shared).startswith(f"same: 4 of 4 trials done\n\nbest of {len(complete)}")
    output = run(other, *shared, "--seed", "2", status=1)
    assert "\n  seed: 1 there, 2 here\nMake them equal to take part, or begin anew with another --name.\n" in output


@dataclass
class Interruptible:
    """A task whose trials take random times, and of which some are interrupted at first."""

    sampler: Sampler
    interrupted: set[str]
    ran: list[str] = field(default_factory=list)

    def run(self, _: Runner, trial: Trial, name: str) -> float | None:
        self.ran.append(name)
        proposal = self.sampler.propose(trial, name)
        time.sleep(np.random.default_rng().uniform(0, 0.05))
        if name in self.interrupted:
            self.interrupted.remove(name)
            raise UserError(name)
        judge = Judge(trial, proposal.twin)
        accuracy = -abs(math.log10(proposal.params["train.lr"]) + 1.5)
        try:
            for epoch in 1, 2, 3:
                judge.hear(epoch, accuracy / epoch)
        except optuna.TrialPruned:
            return None
        return accuracy / 3


def test_neither_jobs_nor_machines_nor_timing_nor_interruptions_change_what_a_search_finds(tmp_path: Path) -> None:
    """And each trial runs once, apart from those that were interrupted."""
    names = [f"s-{number}" for number in range(16)]
    entries = {"train.lr": {"low": 1e-4, "high": 1.0, "log": True}, "train.optimizer": ["sgd", "adam"]}
    found = list[dict[str, Outcome]]()
    for machines, jobs, interrupted in (1, 1, []), (1, 4, []), (3, 1, names[::8]):
        task = Interruptible(Sampler(entries, {}, seed=1, window=4, prune=2), set(interrupted))
        url = f"sqlite:///{tmp_path}/search.db" if machines > 1 else None
        with ThreadPoolExecutor(machines * jobs) as threads:
            # Several begin in the same moment, with a database that is empty.
            opened = [threads.submit(open_study, url, "study", {}) for _ in range(machines)]
            works = [Workers(*each.result(), names, {}, cast(Task, task), window=4) for each in opened]
            for work in works:
                cast(Any, work.runner.stopped).wait = lambda _: time.sleep(0.05)
            while len(outcomes(works[0].study)) < len(names):
                for each in [threads.submit(work.work) for work in works for _ in range(jobs)]:
                    with suppress(UserError):
                        each.result()
        assert sorted(task.ran) == sorted([*names, *interrupted])
        assert not works[0].study.get_trials(states=[TrialState.RUNNING])
        found.append(outcomes(works[0].study))
    assert found[0] == found[1] == found[2]
    assert {outcome[2] for outcome in found[0].values()} == {"COMPLETE", "PRUNED"}


def test_a_proposal_follows_from_the_trials_before_its_window_alone() -> None:
    lrs: dict[str, BaseDistribution] = {"train.lr": FloatDistribution(1e-4, 1.0, log=True)}

    def proposed(accuracies: list[float], seed: int = 1) -> list[str]:
        study = optuna.create_study(direction="maximize")
        for number, accuracy in enumerate(accuracies):
            params, about = {"train.lr": 1 / (1 + 50 * number)}, {MEMBER: f"s-{number}"}
            study.add_trial(create_trial(params=params, distributions=lrs, value=accuracy, user_attrs=about))
        space = {"train.lr": {"low": 1e-4, "high": 1.0, "log": True}, "train.batch_size": {"low": 1, "high": 400}}
        return Sampler(space, {}, seed, window=4).propose(study.ask(), "s-19").settings

    before = [number % 7 / 7 for number in range(16)]
    expected = proposed(before)
    assert proposed([*before, 0.99, 0.99, 0.99]) == expected
    assert proposed([*before[:15], 0.99]) != expected
    assert proposed(before, seed=2) != expected
    lr, batch_size = (setting.partition("=")[2] for setting in expected)
    assert lr == f"{float(lr):.6g}"
    assert batch_size.isdecimal()


@pytest.mark.long
def test_what_every_trial_fails_of_ends_the_search(prepared: Path, run: Run) -> None:
    command = [*SEARCH, *options(prepared, "high", "train.lr: {low: 1e+37, high: 1e+38}\ntrain.epochs: 1\n", 1)]
    output = run(prepared, *command, status=1)
    assert output.count("  loss diverged  ") == 1
    assert output.splitlines()[-1].startswith("error: high: no trial has a value, since all diverged; lower")

    arguments = options(prepared, "wrong", "train.optimizer: [sdg, adamm]\n", 3)
    output = run(prepared, *SEARCH, *arguments, status=1)
    assert "error: params.yaml" in output
    assert output.splitlines()[-1].startswith("error: wrong-0: failed, got the output above; ")
    assert "Traceback" not in output


def test_hopeless_and_diverging_trainings_are_pruned_and_other_ones_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pruner = MedianPruner(n_startup_trials=1, n_warmup_steps=2)
    study, view = (optuna.create_study(direction="maximize", pruner=pruner) for _ in range(2))
    table = "epoch,val_accuracy\n1,0.105263\n2,0.210526\n3,0.894737\n"
    found = ExperimentRun("s-0", {"train.lr": 0.1}, {}, {}, {"val_accuracy": 0.7})
    there, params = dict[str, str](), {"train.lr": 0.1, "preprocess.val_size": 19}
    monkeypatch.setattr(module, "experiments", lambda _: there)
    monkeypatch.setattr(module, "read_files", lambda *_: {"commit": {"metrics/train.csv": table}})
    monkeypatch.setattr(module, "run_of", lambda *_: found)
    task = Task(Snapshot("", {}), lambda *_: Proposal([], {}))

    def run(*_: object, watch: Callable[[str], None]) -> tuple[int, str]:
        there["s-0"] = "commit"
        for epoch, accuracy in accuracies.items():
            if math.isnan(accuracy):
                return 255, f"error: train.lr: {DIVERGED} in epoch {epoch}"
            row = {"epoch": epoch, "train_loss": 1, "train_accuracy": 1, "val_loss": 1, "val_accuracy": accuracy}
            watch(progress(row, 3, 0.1))
        return 0, ""

    runner = cast(Runner, SimpleNamespace(run=run))
    for accuracies, expected, value in [  # noqa: B007 - `run` reads it
        ({1: 0.5, 2: 0.6, 3: 0.7}, "val acc 0.7000", 0.7),
        ({1: 0.1, 2: 0.2, 3: 0.9}, "val acc 0.2000 in epoch 2, pruned", 0.2),
        ({1: 0.5, 2: 0.7, 3: math.nan}, "loss diverged", None),
        # It was resumed; the table has what came before.
        ({3: 0.9}, "val acc 0.2105 in epoch 2, pruned", 0.2105),
    ]:
        trial, twin = study.ask(), view.ask()
        there.clear()
        accuracy, result = task.train(runner, trial, "s-0", Proposal([], params, twin))
        state = TrialState.PRUNED if accuracy is None else TrialState.COMPLETE
        study.tell(trial, accuracy, state=state)
        view.tell(twin, accuracy, state=state)
        assert (result, study.trials[-1].value) == (expected, value)
    there["s-0"] = "commit"
    with pytest.raises(UserError, match=r"^s-0: the experiment of that name has a different train.lr, got 0.1, unlike"):
        task.train(runner, study.ask(), "s-0", Proposal([], {"train.lr": 0.2}))


def test_wrong_arguments(call: Call) -> None:
    for arguments, status, message in [
        (["--trials", "0"], 2, "--trials: must be a whole number above 0, got 0"),
        (["--trials", "1", "--picture", "a.svg"], 2, "--picture: must be a PNG file, ending in .png, got a.svg"),
        (["--trials", "1", "--jobs", "5"], 2, "--window: must be at least --jobs, got 4 with 5 jobs"),
        (["--trials", "1", "--space", "no.yaml"], 1, "no.yaml: cannot be read: No such file or directory; "),
    ]:
        assert message in call(search, ROOT, *arguments, status=status)[1]


def test_a_bad_search_space_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    bad = {
        "[]": "one or more elements",
        "{low: 1}": "missing 1 required",
        "{low: 1, high: 2, lgo: true}": "lgo",
        "{low: 2, high: 1}": "low <= high",
        "{low: a, high: 1}": "not supported",
        "{low: 0, high: .inf}": "bounds",
        "{low: 0.0, high: 1, log: true}": "low > 0",
    }
    for text, message in {
        "": "must map parameters to values, got None",
        "[": "cannot be read: ",
        "train.epochs: 3": "must have a range or choices, got none",
        "train.lrr: [1, 2]": "train.lrr: is not a parameter of params.yaml; write its full name",
        "7: [1, 2]": "7: is not a parameter",
        "preprocess.val_size: [1, 2]": "preprocess.val_size: must be in section train",
        **{f"train.lr: {entry}\ntrain.sgd: 1": f"{problem}(.|\n)*\n  train.sgd: is " for entry, problem in bad.items()},
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=f"^{re.escape(str(path))}:(.|\n)*{message}"):
            read_space(path)


def test_the_committed_space_fits_right_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_space(ROOT / "search.yaml")["train.lr"] == {"low": 1e-4, "high": 1.0, "log": True}
    monkeypatch.setattr("repository.ROOT", tmp_path)
    for old, new, message in [
        ("  val_size: .*\n", "", "preprocess.val_size: must be above 0, "),
        ("preprocess:", "preprocess: [", "params.yaml: cannot be read: "),
    ]:
        (tmp_path / "params.yaml").write_text(re.sub(old, new, (ROOT / "params.yaml").read_text()))
        with pytest.raises(UserError, match=message):
            read_space(ROOT / "search.yaml")
