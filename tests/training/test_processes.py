"""Several processes train the model that one would train."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from conftest import MakeProject, Once, Run
from digits.foundation.stage import UserError
from digits.training import processes
from digits.training.processes import Processes

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
import yaml
from safetensors.numpy import load_file

STAGE = "python", "stages/train.py"
# 1,300 images: the last batch of 64 has 20 of them, the last of 500 has 300.
TRAININGS: dict[str, dict[str, Any]] = {
    "logistic": {"batch_size": 64, "epochs": 2},
    "cnn": {
        "model": "cnn", "cnn": {"width": 4, "depth": 1, "dropout": 0.0}, "augment": "handwriting", "lr": 0.05,
        "batch_size": 500, "epochs": 1,  # few updates: where a ReLU is close to 0, rounding grows
    },
    # Some processes have no image of a batch.
    "few": {
        "model": "mlp", "mlp": {"width": 8, "depth": 1, "dropout": 0.0}, "augment": "elastic", "optimizer": "adam",
        "lr": 0.001, "batch_size": 2, "epochs": 1, "arithmetic": "native",
    },
}  # fmt: skip
SLOW = {
    "model": "mlp",
    "mlp": {"width": 64, "depth": 1, "dropout": 0.2},
    "batch_size": 10,
    "epochs": 25,
    "processes": 2,
}


@pytest.fixture(scope="module")
def prepared(copy_finished: MakeProject) -> Path:
    folder = copy_finished()
    shutil.rmtree(folder / ".checkpoints")
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "project"))


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory, run: Run, once: Once) -> tuple[bytes, bytes]:
    """The results of the training SLOW."""

    def make() -> Path:
        folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "project"))
        set_params(folder, SLOW)
        run(folder, *STAGE)
        return folder

    return results(once("processes", make))


def set_params(folder: Path, changes: Mapping[str, Any]) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["train"] |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def others(pid: int) -> list[int]:
    """The processes that the first process of a training has started to train with it."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):  # it has ended
            if b"\0RANK=" in Path(f"/proc/{child}/environ").read_bytes():
                found.append(int(child))
    return found


def results(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "models/model.safetensors").read_bytes(), (folder / "metrics/train.csv").read_bytes()


def test_the_shares_are_a_batch_and_differ_by_one_image_at_most() -> None:
    for count in (1, 2, 3, 7):
        for images in (0, 1, 2, 20, 64):
            shares = [range(images)[Processes(rank, count).share(images)] for rank in range(count)]
            assert [image for share in shares for image in share] == list(range(images))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.long
@pytest.mark.parametrize("training", TRAININGS)
def test_the_result_is_that_of_one_process_to_rounding(project: Path, run: Run, training: str) -> None:
    set_params(project, TRAININGS[training])
    found = {}
    for count in (1, 2, 3):
        set_params(project, {"processes": count})
        output = run(project, *STAGE)
        assert output.count("epoch 1/") == 1
        found[count] = results(project), load_file(project / "models/model.safetensors")
        curves = pd.read_csv(project / "metrics/train.csv")
        if count == 1:
            expected = curves
        np.testing.assert_allclose(curves, expected, rtol=1e-3, atol=2e-3)
        for name, tensor in found[1][1].items():
            np.testing.assert_allclose(found[count][1][name], tensor, rtol=1e-2, atol=1e-3, err_msg=name)
    assert found[2][0] != found[1][0]  # otherwise, one process has done all
    shutil.rmtree(project / ".checkpoints")
    run(project, *STAGE)
    assert results(project) == found[3][0]


@pytest.mark.long
@pytest.mark.parametrize(("rank", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (None, signal.SIGINT)])
def test_a_process_is_killed(
    project: Path,
    run: Run,
    environment: dict[str, str],
    undisturbed: tuple[bytes, bytes],
    rank: int | None,
    number: int,
) -> None:
    set_params(project, SLOW)
    with subprocess.Popen(
        STAGE, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as first:  # fmt: skip
        deadline = time.monotonic() + 120
        while not list(project.glob(".checkpoints/*.pt")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (other,) = others(first.pid)
        if rank is None:
            os.killpg(first.pid, number)
        else:
            os.kill([first.pid, other][rank], number)
        output, _ = first.communicate(timeout=20)
    if rank == 1:
        assert output.count("error: train.processes: another process has probably ended, got ") == 1
    if rank is None:
        assert "error: train" in output
    assert "Traceback" not in output
    deadline = time.monotonic() + 30
    while Path(f"/proc/{other}").exists():  # the other one notices
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "resuming after epoch" in run(project, *STAGE)
    assert results(project) == undisturbed


@pytest.mark.long
def test_a_process_that_dies_while_it_starts_is_noticed_at_once(project: Path, environment: dict[str, str]) -> None:
    set_params(project, SLOW)
    with subprocess.Popen(STAGE, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as first:
        deadline = time.monotonic() + 120
        while not (starting := others(first.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(starting[0], signal.SIGKILL)
        _, output = first.communicate(timeout=60)  # half of what PyTorch waits
    assert first.returncode == 1
    assert "error: train.processes: another process has probably ended, got exit status -9; see " in output
    assert "Traceback" not in output


@pytest.mark.long
def test_two_machines_by_torchrun(project: Path, run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    set_params(project, TRAININGS["logistic"] | {"processes": 2})
    other = Path(shutil.copytree(project, tmp_path / "other"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "torchrun", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d",
        "--rdzv-endpoint", f"127.0.0.1:{port}", "stages/train.py",
    ]  # fmt: skip
    before = results(other)

    def together(status: int) -> str:
        with subprocess.Popen(
            command, cwd=other, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as second:
            output = run(project, *command, status=status)
            printed, _ = second.communicate(timeout=120)
            assert second.returncode == status, printed
        return output + printed

    assert "epoch 2/2" in together(0)
    wrote, did_not = (project, other) if results(other) == before else (other, project)
    assert results(did_not) == before
    trained = results(wrote)
    # DVC takes over what torchrun has computed.
    output = run(wrote, "dvc", "repro", "train")
    assert "epoch 1/2" not in output
    assert results(wrote) == trained

    set_params(other, {"lr": 0.2})
    assert "train.processes: all need the same parameters, data, code" in together(1)


@pytest.mark.long
def test_what_does_not_go_together_is_refused(project: Path, run: Run) -> None:
    set_params(project, {"optimizer": "lbfgs", "lr": 1.0, "processes": 2})
    assert "train.processes: lbfgs runs in a single one, got 2; set it to 1" in run(project, *STAGE, status=1)
    set_params(project, {"optimizer": "sgd", "lr": 0.1, "processes": 3})
    variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    output = run(project, *STAGE, status=1, **variables)
    assert "train.processes: has to be the number that torchrun starts, got 3 and 2" in output
    set_params(project, {"lr": 1e38, "processes": 2, "epochs": 3})
    output = run(project, *STAGE, status=1)
    assert output.count("error: ") == 1
    assert "train.lr: the loss is no longer finite" in output


def test_processes_that_cannot_all_be_started_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: object, **__: object) -> subprocess.Popen[bytes]:
        if len(started) == 2:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(popen(["sleep", "60"]))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(processes, "subprocess", SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(UserError, match=r"train.processes: this machine cannot start 4, got Resource"):
        processes.start_others(4)
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_more_processes_than_the_machine_has_memory_for_are_not_started() -> None:
    with pytest.raises(UserError, match=r"train.processes: has to be at most \d+ on this machine, .*, got 10,000; "):
        processes.start_others(10_000)


@pytest.mark.parametrize("fails", [False, True])
def test_no_thread_of_the_connection_lives_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool) -> None:
    def connect(backend: str, _: object) -> None:
        dist.init_process_group(backend, init_method=f"file://{tmp_path}/store", rank=0, world_size=1)

    monkeypatch.setattr(processes, "connect", connect)
    monkeypatch.setattr(processes, "start_others", lambda _: (None, []))
    threads = Path("/proc/self/task")
    before = set(threads.iterdir())
    with pytest.raises(UserError) if fails else nullcontext(), processes.connected(2, torch.device("cpu")):
        assert set(threads.iterdir()) - before
        if fails:
            raise UserError("the disk is full")
    assert not set(threads.iterdir()) - before
