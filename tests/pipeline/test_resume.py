"""Trainings that are killed, really, at many moments, go on and end with the bytes of one that nobody disturbed."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import background
from background import wait_for
from conftest import MakeProject, Once, Run, commit
from digits.foundation.stage import repository_root
from digits.training import checkpoint
from digits.training.checkpoint import Checkpoint, training_key
from pipeline_runs import KILLED_AT_SECOND_CHECKPOINT

OUTPUTS = "models/model.safetensors", "metrics/train.csv", "metrics/train.json"
STAGE = "python", "stages/train.py"
REPRO = "dvc", "repro", "train"
# Parameters with which a training takes several seconds, so that there are checkpoints to go on from; what else a
# training may consist of resumes in tests/training/test_networks.py.
SLOW = {
    "logistic": {"batch_size": 1, "epochs": 16, "sgd": {"momentum": 0.9, "nesterov": True}, "lr": 0.001},
    "cnn": {
        "model": "cnn", "cnn": {"width": 8, "depth": 1, "dropout": 0.2}, "sgd": {"momentum": 0.9, "nesterov": True},
        "augment": "elastic", "schedule": "cosine", "arithmetic": "native", "precision": "bfloat16",
        "channels_last": True,
        "batch_size": 50, "epochs": 7,
    },
}  # fmt: skip


# Runs train until it has the key of its checkpoint, and prints the files of code that belong to it.
CODE_OF_KEY = """
import runpy, sys
sys.path.insert(0, "stages")
import digits
from digits.training import checkpoint
def key(*_):
    sys.exit("\\n".join(map(str, checkpoint.code_files())))
checkpoint.training_key = key
runpy.run_path("stages/train.py", run_name="__main__")
"""


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start a command in a folder, in a process group of its own, and go on."""
    with ExitStack() as stack:

        def start_command(folder: Path, *command: str) -> "subprocess.Popen[str]":
            process = stack.enter_context(background.start(folder, environment, command, own_group=True))
            stack.callback(lambda: process.poll() is None and kill_all(process, signal.SIGKILL))
            return process

        yield start_command


def kill_all(process: "subprocess.Popen[str]", number: int) -> str:
    """Send a signal to a command and to all that it has started, as a terminal does; return what it printed."""
    os.killpg(process.pid, number)
    return process.communicate(timeout=60)[0]


def wait_for_checkpoint(process: "subprocess.Popen[str]", folder: Path, seconds: float = 0.0) -> None:
    """Return some seconds after this command has written its first checkpoint, or once it has ended."""
    before = checkpoints(folder)
    wait_for(lambda: checkpoints(folder) != before or process.poll() is not None)
    time.sleep(seconds)


@pytest.fixture(scope="module")
def prepared(copy_finished: MakeProject, run: Run) -> Path:
    """A project with its data, set to the training "logistic"."""
    folder = copy_finished()
    shutil.rmtree(folder / ".checkpoints")
    set_params(folder, "logistic")
    commit(folder, run)
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory, run: Run, once: Once) -> dict[str, bytes]:
    """What that training gives when nobody disturbs it."""

    def make() -> Path:
        folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "project"))
        run(folder, *REPRO)
        return folder

    return results(once("undisturbed", make), "dvc.lock")


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "project"))


def set_params(folder: Path, training: str) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["train"] |= SLOW[training]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def results(folder: Path, *more: str) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (*OUTPUTS, *more)}


def resumed_after(output: str) -> int | None:
    """The epoch after which a run went on, None for one that began with the first."""
    found = re.search(r"resuming after epoch (\d+)", output)
    return int(found[1]) if found else None


def epochs_trained(output: str) -> list[int]:
    return [int(number) for number in re.findall(r"epoch +(\d+)/", output)]


def checkpoints(folder: Path) -> dict[Path, int]:
    """When each checkpoint was written."""
    found = [*folder.glob(".checkpoints/*.pt"), *folder.glob(".checkpoints/*.finished")]
    return {path: path.stat().st_mtime_ns for path in found}


def trainer(folder: Path) -> int:
    """The process that trains, or trained last, once it has written a checkpoint."""
    lock = max((folder / ".checkpoints").glob("*.lock"), key=lambda path: path.stat().st_mtime)
    return int(lock.read_text())


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False


@pytest.mark.long
def test_killed_at_any_moment(project: Path, run: Run, start: Start) -> None:
    set_params(project, "cnn")
    run(project, *STAGE)
    expected = results(project)
    shutil.rmtree(project / ".checkpoints")

    moments = iter(np.random.default_rng(0).uniform(0, 0.3, size=3))
    resumed = []
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = start(project, *STAGE)
        wait_for_checkpoint(process, project, next(moments))
        if process.poll() is not None:
            break
        output = kill_all(process, number)
        assert "Traceback" not in output
        resumed.append(resumed_after(output))
    else:
        run(project, *STAGE)
    assert len(resumed) >= 2
    assert resumed[0] is None
    epochs = [epoch for epoch in resumed[1:] if epoch]
    assert len(epochs) == len(resumed) - 1
    assert epochs == sorted(set(epochs))
    assert results(project) == expected
    assert not list(project.rglob("*.tmp"))


@pytest.mark.long
def test_killed_while_the_checkpoint_is_being_written(project: Path, run: Run, undisturbed: dict[str, bytes]) -> None:
    run(project, "python", "-c", KILLED_AT_SECOND_CHECKPOINT, status=-signal.SIGKILL)
    (left,) = (project / ".checkpoints").glob(".*.tmp")
    assert left.stat().st_size > 0
    output = run(project, *STAGE)
    assert resumed_after(output)
    assert "damaged" not in output
    assert results(project).items() <= undisturbed.items()
    assert not list(project.rglob("*.tmp"))


@pytest.mark.long
def test_the_stage_is_killed_alone_or_interrupted_with_dvc(
    project: Path, run: Run, start: Start, undisturbed: dict[str, bytes]
) -> None:
    process = start(project, *REPRO)
    wait_for_checkpoint(process, project)
    os.kill(trainer(project), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 255
    assert resumed_after(output) is None
    process = start(project, *REPRO)
    wait_for_checkpoint(process, project)
    output = kill_all(process, signal.SIGINT)
    assert process.returncode != 0
    assert resumed_after(output)
    assert output.count("error: train: interrupted; run the same command again\n") == 1
    assert "Traceback" not in output
    assert resumed_after(run(project, *REPRO))
    assert results(project, "dvc.lock") == undisturbed
    assert not list(project.rglob("*.tmp"))


@pytest.mark.long
def test_dvc_alone_is_killed(project: Path, run: Run, start: Start, undisturbed: dict[str, bytes]) -> None:
    process = start(project, *REPRO)
    wait_for_checkpoint(process, project)
    orphan = trainer(project)
    process.kill()
    process.wait(60)
    os.kill(orphan, signal.SIGSTOP)  # for the test not to depend on how fast it is
    output = run(project, *REPRO, status=255)
    os.kill(orphan, signal.SIGCONT)
    assert f"error: {project}: process {orphan} is running a stage here" in output
    assert f"`kill {orphan}`" in output
    assert epochs_trained(output) == []

    wait_for(lambda: not is_alive(orphan))
    output = run(project, *REPRO)
    assert resumed_after(output) == SLOW["logistic"]["epochs"]
    assert epochs_trained(output) == []
    assert results(project, "dvc.lock") == undisturbed
    # Now that DVC has taken note, to force it is to train.
    output = run(project, *REPRO, "--force", "--single-item")
    assert epochs_trained(output)[0] == 1
    assert results(project, "dvc.lock") == undisturbed


# DVC fails on a file that a worker, about to end, is still writing.
UNTIL_DONE = 'until dvc queue status | grep -E "(Failed|Success)"; do dvc queue start; done'


@pytest.mark.long
def test_a_queued_experiment_is_killed_and_goes_on_in_another_copy(project: Path, run: Run, start: Start) -> None:
    experiment = "-S", "train.epochs=17", "train"
    run(project, "dvc", "exp", "run", "--queue", "--name", "first", *experiment)
    process = start(project, "sh", "-c", UNTIL_DONE)
    wait_for_checkpoint(process, project)  # beside the commands, each of which may outlast the training
    step = project / ".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED"  # which DVC's extension for VS Code watches
    wait_for(step.exists)
    assert set(json.loads(step.read_text())) == {"pid", "step"}
    os.kill(trainer(project), signal.SIGKILL)
    process.wait(240)  # for the end, but not that of the worker, which lives on
    assert resumed_after(run(project, "dvc", "queue", "logs", "first")) is None
    run(project, "dvc", "queue", "stop", "--kill")
    output = run(project, "dvc", "exp", "run", "--temp", *experiment)
    assert resumed_after(output)
    assert epochs_trained(output)[-1] == 17


@pytest.mark.long
def test_twins_share_the_work(project: Path, run: Run, start: Start, undisturbed: dict[str, bytes]) -> None:
    for other in ("a", "b"):
        shutil.copytree(project, project / f".dvc/tmp/exps/standalone/{other}", ignore=shutil.ignore_patterns("tmp"))
    first, second = (start(project / f".dvc/tmp/exps/standalone/{name}", *STAGE) for name in "ab")
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    waited, trained = sorted(outputs, key=lambda output: len(epochs_trained(output)))
    assert len(epochs_trained(trained)) == SLOW["logistic"]["epochs"]
    assert "is already running this training; waiting for its results" in waited
    assert epochs_trained(waited) == []
    for name in "ab":
        assert results(project / f".dvc/tmp/exps/standalone/{name}").items() <= undisturbed.items()


def test_a_damaged_checkpoint_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "ROOT", tmp_path)
    saved = Checkpoint("a")
    saved.save({"rows": [{"epoch": 1}]})
    assert saved.load() == {"rows": [{"epoch": 1}]}
    data = saved.path.read_bytes()
    middle, harmful = len(data) // 2, pickle.dumps(Harmful(), protocol=2)
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    for damaged in (flipped, data[:-1], b"", harmful, sha256(harmful).digest() + harmful):
        saved.path.write_bytes(damaged)
        assert saved.load() is None
        assert f"warning: {saved.path}: is damaged; training starts over" in capsys.readouterr().err
    assert not Path("harmed").exists()


class Harmful:
    """Its pickle runs a command when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def test_a_finished_checkpoint_is_kept_until_another_training_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "ROOT", tmp_path)

    def save(key: str, finished: bool) -> Checkpoint:
        saved = Checkpoint(key)
        saved.save({"key": key})
        if finished:
            saved.finish()
        return saved

    def left() -> set[str]:
        return {path.name for path in (tmp_path / ".checkpoints").iterdir()}

    held = save("held", finished=True)
    save("interrupted", finished=False)
    save("done", finished=True)
    kept = {"held.finished", "held.lock", "interrupted.pt", "interrupted.lock"}
    assert left() == kept | {"done.finished", "done.lock"}
    assert Checkpoint("done").load() == {"key": "done"}
    Checkpoint("done").finish()
    Checkpoint("new").save({})
    assert left() == kept | {"new.pt", "new.lock"}
    del held
    Checkpoint("interrupted").finish()
    assert left() == {"interrupted.finished", "interrupted.lock", "new.pt", "new.lock"}


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/a/digits", "/a/digits"),
        ("/a/digits/.dvc/tmp/exps/standalone/tmpab", "/a/digits"),
        ("/a/digits/.dvc/tmp/exps/tmpab", "/a/digits"),
        ("/a/.dvc/digits", "/a/.dvc/digits"),
    ],
)
def test_a_copy_for_an_experiment_belongs_to_its_repository(folder: str, expected: str) -> None:
    assert repository_root(Path(folder)) == Path(expected)


def test_a_checkpoint_belongs_to_all_code_of_the_training_and_to_what_it_reads(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run(project, "python", "-c", CODE_OF_KEY, status=1)
    found = {(project / line).resolve() for line in output.splitlines() if line.endswith(".py")}
    deps = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]["train"]["deps"]
    assert all(any(path.is_relative_to(project / dep) for dep in deps) for path in found)
    assert {project / "stages/train.py", *(project / "stages/digits/training").glob("*.py")} <= found
    monkeypatch.setattr(checkpoint, "code_files", list)
    keys = {
        training_key(params, [project / data], torch.device(device), processor)
        for params in ("a", "b")
        for data in ("params.yaml", "dvc.yaml")
        for device in ("cpu", "cuda")
        for processor in ({}, {"avx2": True})
    }
    assert len(keys) == 16
