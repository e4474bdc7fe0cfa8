"""Machines that share a study run each trial once, lose none, and see each other's experiments."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from conftest import MakeProject, Run, commit, edit
from experiments.study.agreement import agreement, differences
from experiments.study.storage import Storage, again, begin_heartbeats, refuse_password
from experiments.study.study import MEMBER, SurplusError, database_error, once
from postgresql import PASSWORD, needs_postgresql, running_server

import optuna
import pytest
from optuna.trial import Trial

SEARCH, SWEEP = "tools/search.py", "tools/sweep.py"
# Each training takes some seconds, in which its machine can be lost.
SPACE = "train.epochs: 20\ntrain.batch_size: 1\ntrain.lr: {low: 1e-4, high: 1e-3}\n"
# A command that waits for less: seconds for a database, seconds until a silent trial is repeated.
IMPATIENT = """
import runpy, sys
sys.path.insert(0, "tools")
from experiments.study import storage
storage.OUTAGE, storage.SILENCE_OF_SERVER = int(sys.argv[1]), int(sys.argv[2])
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
Machines = tuple[Path, Path, Path]


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


def start(folder: Path, environment: dict[str, str], command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"PGPASSWORD": PASSWORD},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def trainings(folder: Path) -> int:
    return len(list((folder / ".checkpoints").glob("*.lock")))


def wait_for_a_training(folder: Path, before: int) -> None:
    deadline = time.monotonic() + 120
    while trainings(folder) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_sweep_of_two_machines(machines: Machines, environment: dict[str, str], run: Run, tmp_path: Path) -> None:
    first, second, hub = machines
    command = [sys.executable, SWEEP, "-S", "train.lr=0.01,0.1", "-S", "train.seed=1,2"]
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.storages.RDBStorage(url)  # clones know nothing of each other's lock while they make the tables of a file
    command += ["--storage", url, "--push"]
    with start(first, environment, command) as one, start(second, environment, command) as other:
        printed = [process.communicate(timeout=300)[0] for process in (one, other)]
    names = [f"lr={lr},seed={seed}" for lr in ("0.01", "0.1") for seed in (1, 2)]
    assert (one.returncode, other.returncode) == (0, 0), printed
    assert sorted(line.split()[0] for text in printed for line in text.splitlines() if " val acc " in line) == names
    assert pushed(hub, run) == names
    for clone in first, second:
        assert (clone / "sweep.png").exists()
        assert sorted(run(clone, "dvc", "exp", "list", "--name-only").split()) == names
        assert "seeds 1, 2" in run(clone, "python", "tools/seeds.py")
    again_at_once = run(second, *command)
    assert again_at_once.startswith("4 of 4 experiments are finished\n")

    late = tmp_path / "late"
    run(tmp_path, "git", "clone", "--quiet", str(hub), str(late))
    run(late, "dvc", "exp", "pull", "origin", "lr=0.1,seed=2")
    run(late, "dvc", "exp", "apply", "lr=0.1,seed=2")
    assert "Stage 'train' didn't change, skipping" in run(late, "dvc", "repro")


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
        return [sys.executable, "-c", IMPATIENT, str(outage), "15", *arguments]

    with running_server() as server:
        before = trainings(first), trainings(second)
        # Both begin with an empty database, in the same moment.
        with (
            start(first, environment, search(3, 60, server.url)) as lost,
            start(second, environment, search(3, 60, server.url)) as left,
        ):
            wait_for_a_training(first, before[0])
            wait_for_a_training(second, before[1])
            os.killpg(lost.pid, signal.SIGKILL)
            server.stop()
            time.sleep(6)  # longer than a heartbeat
            server.start()
            printed = left.communicate(timeout=300)[0]
        assert left.returncode == 0, printed
        assert "note: the database does not answer; waiting for up to 60 s\n" in printed
        assert printed.count("  val acc ") == 3
        assert len(pushed(hub, run)) == 3

        # The machine is back, and late.
        printed = run(first, *search(3, 60, server.url), PGPASSWORD=PASSWORD)
        assert printed.startswith("search: 3 of 3 trials done\n\nbest of 3: search-")
        best = printed.partition("best of 3: ")[2].partition(",")[0]
        run(first, "dvc", "exp", "apply", best)
        run(first, "git", "checkout", ".")

        running = trainings(first)
        with start(first, environment, search(4, 2, server.url)) as process:
            wait_for_a_training(first, running)
            server.stop()
            printed = process.communicate(timeout=300)[0]
        server.start()
        assert process.returncode == 1, printed
        assert "\nerror: --storage: the database is gone, got " in printed
        assert "all finished trials are safe in it" in printed
        assert "Traceback" not in printed
        assert PASSWORD not in printed
        printed = run(first, *search(4, 2, server.url), PGPASSWORD=PASSWORD)
        assert "best of 4: search-" in printed
        output = run(first, *search(4, 2, server.url), PGPASSWORD="wrong", status=1)
        assert output.startswith("error: --storage: has to be a database that can be used, got ")


@pytest.mark.long
def test_machines_that_differ_are_refused(machines: Machines, run: Run, tmp_path: Path) -> None:
    first, second, _ = machines
    command = "python", SWEEP, "-S", "train.lr=0.01,0.1", "--storage", f"sqlite:///{tmp_path}/study.db"
    run(first, *command)
    edit(second / "stages/train.py", "train loss", "training loss")
    edit(second / "params.yaml", "label_smoothing: 0.0", "label_smoothing: 0.1")
    output = run(second, *command, status=1)
    lines = output.partition("with other settings, got\n")[2].splitlines()
    assert lines[0].startswith("  uncommitted changes of stages and dvc.yaml: none there, ")
    assert lines[1] == "  parameter train.label_smoothing: 0.0 there, 0.1 here"
    assert lines[2] == "Make them equal to take part, or begin anew with another --name."
    commit(second, run)
    assert "\n  commit: " in run(second, *command, status=1)


def test_an_agreement_has_all_that_a_result_depends_on() -> None:
    here = agreement(["train.lr"], {})
    assert {"commit", "parameter train.seed", "Python", "torch", "dvc"} <= set(here)
    assert "parameter train.lr" not in here
    assert differences(here, here) == []
    there = here | {"torch": "1.0", "space": {"train.lr": [1]}}
    assert differences(there, here) == [
        f"torch: 1.0 there, {here['torch']} here",
        "space.train.lr: [1] there, none here",
    ]


def test_a_password_in_the_url_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^error: --storage: must not have a password") as caught:
        refuse_password("postgresql://somebody:open-sesame@host/name")
    assert "open-sesame" not in str(caught.value)
    with pytest.raises(SystemExit):
        refuse_password("postgresql://somebody@host/name?password=open-sesame")
    refuse_password("postgresql://somebody@host/name")
    refuse_password("sqlite:///search.db")


def results(study: optuna.Study, ran: list[object]) -> None:
    def objective(trial: Trial) -> float:
        ran.append(trial.user_attrs.get(MEMBER))
        return 0.5

    study.optimize(once(objective, total=2), n_trials=1, catch=SurplusError)


def test_what_another_process_runs_is_not_run_again() -> None:
    study, ran = optuna.create_study(), list[object]()
    for _ in range(2):  # two machines begin at the same time
        for member in "a", "b":
            study.enqueue_trial({}, user_attrs={MEMBER: member})
    for _ in range(5):
        results(study, ran)
    assert ran == ["a", "b"]


def test_a_search_has_no_more_trials_than_wanted() -> None:
    study, ran = optuna.create_study(), list[object]()
    dead = study.ask()
    study.tell(dead, state=optuna.trial.TrialState.FAIL)
    for _ in range(3):
        results(study, ran)
    assert len(ran) == 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Heartbeat of storage")
def test_a_trial_that_died_before_its_first_heartbeat_is_noticed(tmp_path: Path) -> None:
    study = optuna.create_study(storage=Storage(f"sqlite:///{tmp_path}/study.db"))
    dead = study.ask()
    begin_heartbeats(study)
    connection = sqlite3.connect(tmp_path / "study.db")
    connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')")
    connection.commit()
    connection.close()
    begin_heartbeats(study)  # and does not hide it for longer
    optuna.storages.fail_stale_trials(study)
    assert study.trials[dead.number].state == optuna.trial.TrialState.FAIL
    assert study.trials[-1].state == optuna.trial.TrialState.WAITING


def test_a_trial_that_others_gave_up_is_no_bug() -> None:
    study = optuna.create_study()

    def objective(trial: Trial) -> float:
        other = optuna.load_study(study_name=study.study_name, storage=study._storage)
        other.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return 0.5

    with pytest.raises(AssertionError) as caught:  # Optuna's own, behind which the reason is hidden
        study.optimize(objective, n_trials=1)
    assert isinstance(database_error(caught.value), ValueError | optuna.exceptions.UpdateFinishedTrialError)
    assert database_error(AssertionError()) is None


def test_a_dead_trial_is_repeated_with_its_parameters() -> None:
    study = optuna.create_study()
    dead = study.ask()
    value = dead.suggest_float("x", 0, 1)
    dead.set_user_attr(MEMBER, "a")
    again(study, dead)
    repeated = study.ask()
    assert repeated.suggest_float("x", 0, 1) == value
    assert repeated.user_attrs == {MEMBER: "a"}
