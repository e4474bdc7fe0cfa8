"""Trainings that are killed, really, at many moments, go on and end with the bytes of one that nobody disturbed."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from background import start, wait_for
from conftest import Run
from digits.foundation.stage import repository_root
from digits.training import checkpoint
from digits.training.checkpoint import Checkpoint, training_key
from pipeline_runs import KILLED_AT_SECOND_CHECKPOINT, results, set_params

STAGE = "python", "stages/train.py"
REPRO = "dvc", "repro", "train"
# Parameters with which a training takes several seconds, so that there are checkpoints to go on from; what else a
# training may consist of resumes in tests/training/test_networks.py.
SLOW: dict[str, dict[str, Any]] = {
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


def kill_all(process: "subprocess.Popen[str]", number: int) -> str:
    """Send a signal to a command and to all that it has started, as a terminal does; return what it printed."""
    os.killpg(process.pid, number)
    return process.communicate(timeout=60)[0]


def wait_for_checkpoint(process: "subprocess.Popen[str]", folder: Path, seconds: float = 0.0) -> None:
    """Return some seconds after this command has written its first checkpoint, or once it has ended."""

    def written() -> dict[Path, int]:
        found = [*folder.glob(".checkpoints/*.pt"), *folder.glob(".checkpoints/*.finished")]
        return {path: path.stat().st_mtime_ns for path in found}

    before = written()
    wait_for(lambda: written() != before or process.poll() is not None)
    time.sleep(seconds)


@pytest.fixture
def project(project: Path) -> Path:
    """A copy of the finished project, set to the training "logistic"."""
    shutil.rmtree(project / ".checkpoints")
    set_params(project, SLOW["logistic"])
    return project


def resumed_after(output: str) -> int:
    """The epoch after which a run went on, 0 for one that began with the first."""
    found = re.search(r"resuming after epoch (\d+)", output)
    return int(found[1]) if found else 0


def epochs_trained(output: str) -> list[int]:
    return [int(number) for number in re.findall(r"epoch +(\d+)/", output)]


def trainer(folder: Path) -> int:
    """The process that trains, or trained last, once it has written a checkpoint."""
    lock = max((folder / ".checkpoints").glob("*.lock"), key=lambda path: path.stat().st_mtime)
    return int(lock.read_text())


@pytest.mark.long
def test_killed_at_any_moment(project: Path, run: Run, environment: dict[str, str]) -> None:
    set_params(project, SLOW["cnn"])
    run(project, *STAGE)
    expected = results(project)
    shutil.rmtree(project / ".checkpoints")

    moments = iter(np.random.default_rng(0).uniform(0, 0.3, size=3))
    resumed = []
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        with start(project, environment, STAGE, own_group=True) as process:
            wait_for_checkpoint(process, project, next(moments))
            if process.poll() is not None:
                break
            output = kill_all(process, number)
        assert "Traceback" not in output
        resumed.append(resumed_after(output))
    else:
        run(project, *STAGE)
    assert len(resumed) >= 2
    assert resumed[0] == 0
    assert resumed == sorted(set(resumed))
    assert results(project) == expected
    assert not list(project.rglob("*.tmp"))


@pytest.mark.long
def test_killed_with_and_without_dvc_and_dvc_alone(project: Path, run: Run, environment: dict[str, str]) -> None:
    """One training, which is killed again and again, first while it writes a checkpoint, and one that is not."""
    run(project, "python", "-c", KILLED_AT_SECOND_CHECKPOINT, status=-signal.SIGKILL)
    (left,) = (project / ".checkpoints").glob(".*.tmp")
    assert left.stat().st_size > 0

    with start(project, environment, REPRO, own_group=True) as process:
        wait_for_checkpoint(process, project)
        os.kill(trainer(project), signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 255
    assert resumed_after(output) == 1
    assert "damaged" not in output

    with start(project, environment, REPRO, own_group=True) as process:
        wait_for_checkpoint(process, project)
        output = kill_all(process, signal.SIGINT)
    assert process.returncode != 0
    assert resumed_after(output)
    assert output.count("error: train: interrupted; run the same command again\n") == 1
    assert "Traceback" not in output

    with start(project, environment, REPRO, own_group=True) as process:
        wait_for_checkpoint(process, project)
        orphan = trainer(project)
        process.kill()
        process.wait(60)
        os.kill(orphan, signal.SIGSTOP)  # for the test not to depend on how fast it is
        refused = run(project, *REPRO, status=255)
        os.kill(orphan, signal.SIGCONT)
        output, _ = process.communicate(timeout=60)  # all that the orphan prints until its end
    assert f"error: {project}: process {orphan} is running a stage here" in refused
    assert f"`kill {orphan}`" in refused
    assert epochs_trained(refused) == []
    assert resumed_after(output)

    output = run(project, *REPRO)
    assert resumed_after(output) == SLOW["logistic"]["epochs"]
    assert epochs_trained(output) == []
    found, lock = results(project), (project / "dvc.lock").read_bytes()
    assert not list(project.rglob("*.tmp"))
    # Now that DVC has taken note, to force it is to train.
    output = run(project, *REPRO, "--force", "--single-item")
    assert epochs_trained(output) == list(range(1, SLOW["logistic"]["epochs"] + 1))
    assert (results(project), (project / "dvc.lock").read_bytes()) == (found, lock)


# DVC fails on a file that a worker, about to end, is still writing.
UNTIL_DONE = 'until dvc queue status | grep -E "(Failed|Success)"; do dvc queue start; done'


@pytest.mark.long
def test_a_queued_one_is_killed_and_goes_on_elsewhere(project: Path, run: Run, environment: dict[str, str]) -> None:
    experiment = "-S", "train.epochs=17", "train"
    run(project, "dvc", "exp", "run", "--queue", "--name", "first", *experiment)
    with start(project, environment, ("timeout", "240", "sh", "-c", UNTIL_DONE)) as process:
        wait_for_checkpoint(process, project)  # beside the commands, each of which may outlast the training
        step = project / ".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED"  # which DVC's extension for VS Code watches
        wait_for(step.exists)
        assert set(json.loads(step.read_text())) == {"pid", "step"}
        os.kill(trainer(project), signal.SIGKILL)
        process.wait()  # for the end, but not that of the worker, which lives on
    assert process.returncode == 0
    assert resumed_after(run(project, "dvc", "queue", "logs", "first")) == 0
    run(project, "dvc", "queue", "stop", "--kill")
    output = run(project, "dvc", "exp", "run", "--temp", *experiment)
    assert resumed_after(output)
    assert epochs_trained(output)[-1] == 17


@pytest.mark.long
def test_twins_share_the_work(project: Path, environment: dict[str, str]) -> None:
    copies = [project / f".dvc/tmp/exps/standalone/{name}" for name in "ab"]
    for copy in copies:
        shutil.copytree(project, copy, ignore=shutil.ignore_patterns("tmp"))
    with start(copies[0], environment, STAGE) as first, start(copies[1], environment, STAGE) as second:
        outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    waited, trained = sorted(outputs, key=lambda output: len(epochs_trained(output)))
    assert len(epochs_trained(trained)) == SLOW["logistic"]["epochs"]
    assert "is already running this training; waiting for its results" in waited
    assert epochs_trained(waited) == []
    assert results(copies[0]) == results(copies[1])
    assert results(copies[0]) != results(project)


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


def test_a_finished_checkpoint_stays_until_the_next_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "ROOT", tmp_path)

    def saved(key: str) -> Checkpoint:
        written = Checkpoint(key)
        written.save({"key": key})
        return written

    def left() -> set[str]:
        return {path.name for path in (tmp_path / ".checkpoints").iterdir()}

    held = saved("held")
    held.finish()
    saved("interrupted")
    saved("done").finish()
    kept = {"held.finished", "held.lock", "interrupted.pt", "interrupted.lock"}
    assert left() == kept | {"done.finished", "done.lock"}
    assert Checkpoint("done").load() == {"key": "done"}
    Checkpoint("done").finish()
    Checkpoint("new").save({})
    assert left() == kept | {"new.pt", "new.lock"}
    del held
    Checkpoint("interrupted").finish()
    assert left() == {"interrupted.finished", "interrupted.lock", "new.pt", "new.lock"}


def test_a_copy_for_an_experiment_belongs_to_its_repository() -> None:
    for root in Path("/a/digits"), Path("/a/.dvc/digits"):
        for copy in "", ".dvc/tmp/exps/standalone/tmpab", ".dvc/tmp/exps/tmpab":
            assert repository_root(root / copy) == root


def test_a_checkpoint_belongs_to_all_code_and_inputs(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
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
