"""Machines that share a study run each trial once, lose none, and see each other's experiments."""

import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any, cast

import optuna
import pytest
from optuna.trial import Trial, TrialState
from sqlalchemy import text

from background import start, trainings, wait_for
from conftest import MakeProject, Run, commit, edit
from digits.foundation.stage import UserError
from experiments import remote
from experiments.processes import Runner
from experiments.proposals import Sampler
from experiments.snapshot import Snapshot
from experiments.study import AGREEMENT, MEMBER, Database, add_trial, member_of, open_study
from experiments.workers import Workers
from postgresql import PASSWORD, needs_postgresql, running_server

SEARCH, SWEEP = "tools/search.py", "tools/sweep.py"
# Each training takes some seconds, in which its machine can be lost.
SPACE = "train.epochs: 20\ntrain.batch_size: 1\ntrain.lr: {low: 1e-4, high: 1e-3}\n"
# A command that waits for less: seconds for a database, seconds until a silent trial is repeated.
IMPATIENT = """
import runpy, sys
sys.path.insert(0, "tools")
import command
from digits.foundation.stage import UserError
from experiments import remote, study
study.OUTAGE, study.SILENCE_OF_SERVER = int(sys.argv[1]), int(sys.argv[2])
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
Machines = tuple[Path, Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Heartbeat of storage")


def test_a_pull_that_fails_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(remote, "git", lambda *_: "1234\trefs/exps/ab/cd/e-0")
    monkeypatch.setattr(remote, "experiments", lambda _: {})
    monkeypatch.setattr(remote, "dvc", lambda *_: SimpleNamespace(returncode=1, stdout="no cache\n"))
    remote.pull(["e-0", "e-1"], "hub")
    assert capsys.readouterr().err == "note: some experiments cannot be pulled from hub, got\nno cache\n"


def test_a_push_is_tried_again_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, runner = list[object](), Runner()

    def fail(*arguments: str) -> SimpleNamespace:
        tried.append(arguments)
        if len(tried) == 2:
            runner.interrupted = True
            runner.stopped.set()
        return SimpleNamespace(returncode=1, stdout="no remote\n")

    monkeypatch.setattr(remote, "dvc", fail)
    monkeypatch.setattr(remote, "PAUSES", (0, 0, 60, 60))
    with pytest.raises(KeyboardInterrupt):
        remote.push(runner, "e-0", "hub")
    assert len(tried) == 2


@pytest.fixture
def machines(copy_finished: MakeProject, tmp_path: Path, run: Run) -> Machines:
    """Two clones, and the Git remote that both push to; the DVC remote is a folder."""
    project, hub = copy_finished(), tmp_path / "hub.git"
    run(project, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    commit(project, run)
    run(project, "dvc", "push")
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(project), str(hub))
    clones = [tmp_path / "first", tmp_path / "second"]
    for clone in clones:
        run(tmp_path, "git", "clone", "--quiet", str(hub), str(clone))
        run(clone, "dvc", "pull")
    return clones[0], clones[1], hub


def pushed(hub: Path, run: Run) -> list[str]:
    return sorted(run(hub, "git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps").split())


@pytest.mark.long
def test_a_sweep_of_two_machines(machines: Machines, environment: dict[str, str], run: Run, tmp_path: Path) -> None:
    first, second, hub = machines
    command = [sys.executable, SWEEP, "-S", "train.lr=0.01,0.2", "-S", "train.epochs=1"]
    command += ["--storage", f"sqlite:///{tmp_path}/study.db", "--push"]
    with start(first, environment, command) as one, start(second, environment, command) as other:
        printed = [process.communicate(timeout=300)[0] for process in (one, other)]
    names = ["lr=0.01", "lr=0.2"]
    assert (one.returncode, other.returncode) == (0, 0), printed
    assert sorted(line.split()[0] for text in printed for line in text.splitlines() if " val acc " in line) == names
    assert "cannot be pulled" not in "".join(printed)
    assert pushed(hub, run) == names
    for clone in first, second:
        assert (clone / "sweep.png").exists()
        assert sorted(run(clone, "dvc", "exp", "list", "--name-only").split()) == names
    assert run(second, *command).startswith("2 of 2 experiments are finished\n")

    late = tmp_path / "late"
    run(tmp_path, "git", "clone", "--quiet", str(hub), str(late))
    run(late, "dvc", "exp", "pull", "origin", "lr=0.2")
    run(late, "dvc", "exp", "apply", "lr=0.2")
    assert "Stage 'train' didn't change, skipping" in run(late, "dvc", "repro")

    edit(second / "stages/train.py", "def main()", "# changed\ndef main()")
    edit(second / "params.yaml", "label_smoothing: 0.0", "label_smoothing: 0.1")
    run(second, "dvc", "exp", "remove", "--all-commits")
    lines = run(second, *command, status=1).partition("with other settings, got\n")[2].splitlines()
    assert lines[0] == "  parameter train.label_smoothing: 0.0 there, 0.1 here"
    assert lines[1].startswith("  stages/train.py: ")
    assert lines[2] == "Make them equal to take part, or begin anew with another --name."


@needs_postgresql
@pytest.mark.long
def test_a_machine_is_lost_the_database_restarts_and_goes(
    machines: Machines, environment: dict[str, str], run: Run, tmp_path: Path
) -> None:
    first, second, hub = machines
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)

    def search(trials: int, outage: int, url: str) -> list[str]:
        arguments = [SEARCH, "--space", str(space), "--trials", str(trials), "--storage", url, "--push"]
        return [sys.executable, "-c", IMPATIENT, str(outage), "15", *arguments, "--window", "3"]

    secret = environment | {"PGPASSWORD": PASSWORD}
    with running_server() as server:
        before, command = (trainings(first), trainings(second)), search(3, 60, server.url)
        # Both begin with an empty database, in the same moment.
        with start(first, secret, command) as lost, start(second, secret, command) as left:
            wait_for(lambda: trainings(first) - before[0] and trainings(second) - before[1])
            os.kill(lost.pid, signal.SIGKILL)
            server.stop()
            time.sleep(6)  # longer than a heartbeat
            server.start()
            printed = left.communicate(timeout=300)[0]
        assert left.returncode == 0, printed
        assert "note: the database does not answer; waiting for up to 60 s\n" in printed
        assert printed.count("  val acc ") == 3
        assert pushed(hub, run) == ["search-0", "search-1", "search-2"]

        # The machine is back, and late.
        running = trainings(first)
        with start(first, secret, search(4, 2, server.url)) as process:
            wait_for(lambda: trainings(first) - running)
            server.stop()
            printed = process.communicate(timeout=300)[0]
        server.start()
        assert process.returncode == 1, printed
        assert printed.startswith("search: 3 of 4 trials done\n")
        assert "\nerror: --storage: the database is gone, got " in printed
        assert "all finished trials are safe in it" in printed
        assert "Traceback" not in printed
        assert PASSWORD not in printed
        printed = run(first, *search(4, 2, server.url), PGPASSWORD=PASSWORD)
        assert "best of 4: search-" in printed
        output = run(first, *search(4, 2, server.url), PGPASSWORD="wrong", status=1)
        assert output.startswith("error: --storage: must be a database that can be used, got ")


def test_an_agreement_has_all_that_a_result_depends_on() -> None:
    here = Snapshot("abc", {"data/drawings": "d.dir"}).agreement(["train.lr"])
    assert {"commit", "parameter train.seed", "data/drawings", "Python", "torch", "dvc"} <= set(here)
    assert "parameter train.lr" not in here


def test_what_is_no_study_of_this_command_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.study.ATTEMPTS", 1)
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=Database(url), study_name="minimised")
    for name in "foreign", "empty":
        optuna.create_study(storage=Database(url), study_name=name, direction="maximize")
    optuna.load_study(storage=Database(url), study_name="foreign").add_trial(optuna.create_trial(value=0.5))
    for name in "minimised", "foreign":
        with pytest.raises(UserError, match=f"^{name}: must be a study of this command, got another program's"):
            open_study(url, name, {})
    here: dict[str, Any] = {"torch": "1", "space": {"train.lr": [1]}}
    study, _ = open_study(url, "empty", here)
    assert study.user_attrs == {AGREEMENT: here}
    problem = "torch: 1 there, 2 here\n  space.train.lr: [1] there, none here\nMake them equal"
    with pytest.raises(UserError, match=rf"^empty: was begun .*, got\n  {re.escape(problem)}"):
        open_study(url, "empty", {"torch": "2"})

    with Database(f"sqlite:///{tmp_path}/old.db").engine.begin() as connection:
        connection.execute(text("UPDATE version_info SET schema_version = 1, library_version = '0.1'"))
        connection.execute(text("UPDATE alembic_version SET version_num = 'v0.9.0.a'"))
    secret, unusable = "must not have a password", "must be a database that can be used, got [^\n]*$"
    for wrong, problem in [
        ("postgresql://somebody:open-sesame@host/name", secret),
        ("postgresql://somebody@host/name?password=open-sesame", secret),
        ("nonsense", unusable),
        ("sqlite:////no/where", unusable),
        (f"sqlite:///{tmp_path}/old.db", unusable),
    ]:
        with pytest.raises(UserError, match=f"^--storage: {problem}") as caught:
            open_study(wrong, "study", {})
        assert "open-sesame" not in str(caught.value)


def workers(url: str | None, names: list[str], run: Callable[[Runner, Trial, str], float]) -> Workers:
    """Workers on trials that are no trainings."""
    study, place = open_study(url, "study", {})
    return Workers(study, place, names, {}, cast(Any, SimpleNamespace(run=run)), window=9)


def test_a_member_is_run_by_the_earliest_of_its_trials() -> None:
    study = optuna.create_study()
    for number in range(3):  # as three processes do in the same moment
        study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs={MEMBER: "b" if number == 1 else "a"}))
    assert add_trial(study, ["a", "b"], 2)
    first, second, surplus, none = (study.ask() for _ in range(4))
    assert [member_of(trial) for trial in (first, second, surplus, none)] == ["a", "b", None, None]
    assert not add_trial(study, ["a", "b"], 2)
    study.tell(first, state=TrialState.FAIL)
    assert member_of(surplus) == "a"


def test_a_transaction_of_sqlite_excludes_all_others(tmp_path: Path) -> None:
    """So that of two processes that read that a trial waits, only one begins it."""
    path = tmp_path / "study.db"
    database = Database(f"sqlite:///{path}")
    locked = pytest.raises(sqlite3.OperationalError, match="locked")
    with database.engine.begin(), closing(sqlite3.connect(path, timeout=0)) as other, locked:
        other.execute("BEGIN IMMEDIATE")


def test_an_error_ends_the_work_and_an_interrupted_trial_is_repeated_with_its_parameters() -> None:
    """The error is a bug here, of a kind that Optuna raises, too."""
    values = list[float]()
    sampler = Sampler({"train.lr": {"low": 0.1, "high": 1.0}}, {}, seed=1, window=9)

    def run(runner: Runner, trial: Trial, name: str) -> float:
        values.append(sampler.propose(trial, name).params["train.lr"])
        if len(values) == 1:
            raise KeyboardInterrupt
        if name == "s-1":
            raise AssertionError("s-1: fails")
        return 0.5

    found = workers(None, ["s-0", "s-1", "s-2"], run)
    with pytest.raises(KeyboardInterrupt):
        found.work()
    with pytest.raises(AssertionError, match=r"^s-1: fails$"):
        found.run(1)
    assert len(values) == 3
    assert values[0] == values[1] != values[2]


def test_a_lost_trial_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose process died before its first heartbeat."""
    monkeypatch.setattr("experiments.study.SILENCE", 2)
    ran = list[str]()

    def run(_runner: Runner, _trial: Trial, name: str) -> float:
        ran.append(name)
        return 0.5

    work = workers(f"sqlite:///{tmp_path}/study.db", ["a", "b"], run)
    assert add_trial(work.study, ["a"], 9)
    work.study.ask()  # and nothing more
    in_vain = Timer(60, work.runner.stopped.set)
    in_vain.start()
    work.work()
    in_vain.cancel()
    assert ran == ["b", "a"]
    assert [trial.state for trial in work.study.trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


def test_a_trial_that_others_gave_up_is_no_bug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(_runner: Runner, trial: Trial, _name: str) -> float:
        if trial.number == 0:
            optuna.load_study(study_name="study", storage=work.storage).tell(trial.number, state=TrialState.FAIL)
        return 0.5

    for url in None, f"sqlite:///{tmp_path}/study.db":
        work = workers(url, ["a"], run)
        work.work()
        assert capsys.readouterr().out.startswith("note: this trial's heartbeats did not arrive in time; another ")
        assert [trial.state for trial in work.study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
