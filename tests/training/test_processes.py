"""Several processes train the model that one would train."""

import errno
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil  # which DVC brings and constraints.txt pins
import pytest
import torch
import torch.distributed as dist
from safetensors.numpy import load_file

from background import start, wait_for
from conftest import BASELINE, ROOT, Run
from digits.foundation.stage import UserError
from digits.training import processes
from digits.training.machine import usable_cores
from digits.training.params import TrainParams
from digits.training.processes import Processes
from pipeline_runs import results, set_params
from train import require_shares

STAGE = "python", "stages/train.py"
CPU = torch.device("cpu")
# 1,300 images: the last batch of 64 has 20 of them.
LOGISTIC = {"batch_size": 64, "epochs": 2}
# Without batch normalisation.
MLP = {
    "model": "mlp", "mlp": {"width": 8, "depth": 1, "dropout": 0.0}, "augment": "elastic", "optimizer": "adam",
    "lr": 0.001, "batch_size": 64, "epochs": 1, "arithmetic": "native",
}  # fmt: skip
# Three add up in an order that depends on where in a sum a number stands.
SLOW = {
    "model": "cnn", "cnn": {"width": 4, "depth": 1, "dropout": 0.2}, "augment": "handwriting", "lr": 0.05,
    "batch_size": 50, "epochs": 9, "processes": 3,
}  # fmt: skip
NOBODY = 65534


def train(folder: Path, run: Run, changes: dict[str, Any]) -> dict[str, bytes]:
    """The results of a training that nobody disturbs, and that leaves no checkpoint."""
    set_params(folder, changes)
    assert run(folder, *STAGE).count("epoch 1/") == 1
    shutil.rmtree(folder / ".checkpoints")
    return results(folder)


def others(pid: int) -> list[int]:
    """The processes that the first process of a training has started to train with it."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):  # it has ended
            if b"\0RANK=" in Path(f"/proc/{child}/environ").read_bytes():
                found.append(int(child))
    return found


def test_the_shares_are_a_batch_and_differ_by_one_image_at_most() -> None:
    for count in (1, 2, 3, 7):
        for images in (0, 1, 2, 20, 64):
            shares = [range(images)[Processes(rank, count).share(images)] for rank in range(count)]
            assert [image for share in shares for image in share] == list(range(images))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.long
def test_the_result_is_that_of_one_process(project: Path, run: Run) -> None:
    found = []
    for count in (1, 3):
        found.append(train(project, run, MLP | {"processes": count}))
        curves, weights = pd.read_csv(project / "metrics/train.csv"), load_file(project / "models/model.safetensors")
        if count == 1:
            expected = curves, weights
    np.testing.assert_allclose(curves, expected[0], rtol=1e-3, atol=2e-3)
    for name, tensor in expected[1].items():
        np.testing.assert_allclose(weights[name], tensor, rtol=1e-2, atol=1e-3, err_msg=name)
    assert found[0] != found[1]  # unless one process has done all


@pytest.mark.long
def test_neither_a_kill_nor_another_user_changes_results(project: Path, run: Run, environment: dict[str, str]) -> None:
    expected = train(project, run, SLOW)
    saved: dict[Path, int] = {}

    def saves() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in project.glob(".checkpoints/*.pt")}

    for killed in (1, 0, None):
        with start(project, environment, STAGE, own_group=True) as first:
            wait_for(lambda: saves() != saved)  # noqa: B023
            children = others(first.pid)
            assert len(children) == 2
            if killed is None:
                folder = disturb(first.pid, children)
            else:
                os.kill([first.pid, *children][killed], signal.SIGKILL)
            output, _ = first.communicate(timeout=240)
        assert "Traceback" not in output
        assert ("resuming after epoch" in output) == bool(saved)
        assert output.count("error: ") == (killed == 1)
        assert killed != 1 or "error: train.processes: another process has not started, has ended, or has" in output
        wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))  # noqa: B023
        saved = saves()
    assert results(project) == expected
    assert not folder.exists()


@pytest.mark.long
def test_an_error_is_printed_once_whether_one_process_dies_while_it_starts_or_all_diverge(
    project: Path, run: Run, environment: dict[str, str]
) -> None:
    set_params(project, SLOW)
    with start(project, environment, STAGE) as first:
        wait_for(lambda: others(first.pid))
        os.kill(others(first.pid)[0], signal.SIGKILL)
        output, _ = first.communicate(timeout=90)  # less than PyTorch waits
    assert first.returncode == 1
    assert output.count("error: ") == 1
    assert "got exit status -9; see " in output
    assert "Traceback" not in output

    set_params(project, {"lr": 1e38})
    output = run(project, *STAGE, status=1)
    assert output.count("error: ") == 1
    assert "train.lr: the loss is no longer finite" in output


def disturb(first: int, children: list[int]) -> Path:
    """Attack a training, by its processes; return the folder in which they meet."""
    folder = Path(psutil.Process(children[0]).environ()[processes.FOLDER])
    assert folder.stat().st_mode & 0o777 == 0o700
    connections = [each for pid in (first, *children) for each in psutil.Process(pid).net_connections("tcp")]
    listening = {each.laddr for each in connections if each.status == psutil.CONN_LISTEN}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    ports = [address.port for address in listening]
    attacker = multiprocessing.get_context("fork").Process(target=attack, args=(folder, ports))
    attacker.start()
    attacker.join(120)
    assert attacker.exitcode == 0
    return folder


def attack(folder: Path, ports: list[int]) -> None:
    """Try to take part in a training; as another user, if this one is root, and otherwise without the folder.

    Raises:
        AssertionError: something was found that should not be.
    """
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for attempt in (folder.iterdir, (folder / "store").read_bytes):
            with pytest.raises(PermissionError):
                list(attempt())
    for port in ports:
        with pytest.raises(RuntimeError):  # there is no store
            dist.TCPStore("127.0.0.1", port, 3, is_master=False, timeout=timedelta(seconds=2))  # type: ignore[attr-defined]
        for nonsense in (b"", bytes(8), b"\1" + bytes(7), os.urandom(100_000), pickle.dumps(print)):
            # Not create_connection: it looks for a codec, in a Python that may lie where this user cannot read.
            with suppress(OSError), socket.socket() as connection:
                connection.settimeout(2)
                connection.connect(("127.0.0.1", port))
                connection.sendall(nonsense)


def test_no_object_is_sent() -> None:
    assert not [p for p in (ROOT / "stages").rglob("*.py") if re.search(r"dist\.\w*object", p.read_text())]


@pytest.mark.long
def test_two_machines_by_torchrun(project: Path, run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    before = results(project)
    other = Path(shutil.copytree(project, tmp_path / "other"))
    expected = train(project, run, LOGISTIC)
    for folder in project, other:
        set_params(folder, LOGISTIC | {"processes": 2})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "torchrun", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d",
        "--rdzv-endpoint", f"127.0.0.1:{port}", "stages/train.py",
    ]  # fmt: skip
    with start(other, environment, command) as second:
        output = run(project, *command)
        printed, _ = second.communicate(timeout=120)
    assert second.returncode == 0, printed
    assert "epoch 2/2" in output
    wrote, did_not = (project, other) if results(other) == before else (other, project)
    # Exact sums are the same, whoever adds them up.
    assert results(wrote) == expected
    assert results(did_not) == (before if did_not is other else expected)
    # DVC takes over what torchrun has computed.
    assert "epoch 1/2" not in run(wrote, "dvc", "repro", "train")
    assert results(wrote) == expected


def test_what_does_not_go_together_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    three = TrainParams(**BASELINE | {"processes": 3, "batch_size": 64})
    require_shares(three, 67)
    for images in (2, 65, 66):
        with pytest.raises(UserError, match=rf"train.batch_size: must leave 3 images .*, got 64, .* of {images}\n"):
            require_shares(three, images)
    # Its normalisation needs two images.
    small = TrainParams(**BASELINE | {"model": "small_cnn", "batch_size": 64})
    require_shares(small, 66)
    with pytest.raises(UserError, match=r"train.batch_size: must leave 2 .* of small_cnn in 1 .*, got 64, "):
        require_shares(small, 65)
    with pytest.raises(UserError, match=r"train.processes: must be at most \d+ on this .*, got 10,000; "):
        processes.connected(10_000, CPU, "a").__enter__()
    monkeypatch.setattr(os, "environ", os.environ | {"WORLD_SIZE": "2", processes.FOLDER: str(tmp_path)})
    with pytest.raises(UserError, match=r"must be the number that torchrun starts, got 3 and 2"):
        processes.connected(3, CPU, "a").__enter__()
    store = processes.torch_dist.FileStore(f"{tmp_path}/store", 2)
    store.set("key 1", "b")
    with pytest.raises(UserError, match=r"train.processes: all need the same parameters, .* the first one in 1\n"):
        processes.connected(2, CPU, "a").__enter__()


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
    with pytest.raises(UserError, match=r"train.processes: this machine cannot start so many, got .*Resource temp"):
        processes.connected(4, CPU, "a").__enter__()
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_cores_that_this_process_may_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert usable_cores() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 6


@pytest.mark.parametrize("fails", [False, True])
def test_no_thread_of_the_connection_lives_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool) -> None:
    def connect(backend: str, *_: object) -> None:
        dist.init_process_group(backend, init_method=f"file://{tmp_path}/store", rank=0, world_size=1)

    monkeypatch.setattr(processes, "connect", connect)
    monkeypatch.setenv("WORLD_SIZE", "2")
    threads = Path("/proc/self/task")
    before = set(threads.iterdir())
    with pytest.raises(UserError) if fails else nullcontext(), processes.connected(2, CPU, "a"):
        assert set(threads.iterdir()) - before
        if fails:
            raise UserError("the disk is full")
    assert not set(threads.iterdir()) - before
