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
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
import yaml
from safetensors.numpy import load_file

from conftest import BASELINE, ROOT, MakeProject, Once, Run
from digits.foundation.stage import UserError
from digits.training import processes
from digits.training.machine import usable_cores
from digits.training.params import TrainParams, refuse_conflicts
from digits.training.processes import Processes
from train import require_shares

STAGE = "python", "stages/train.py"
# Without batch normalisation. 1,300 images: the last batch of 64 has 20 of them.
TRAININGS: dict[str, dict[str, Any]] = {
    "logistic": {"batch_size": 64, "epochs": 2},
    "mlp": {
        "model": "mlp", "mlp": {"width": 8, "depth": 1, "dropout": 0.0}, "augment": "elastic", "optimizer": "adam",
        "lr": 0.001, "batch_size": 64, "epochs": 1, "arithmetic": "native",
    },
}  # fmt: skip
# Three add up in an order that depends on where in a sum a number stands.
SLOW = {
    "model": "cnn", "cnn": {"width": 4, "depth": 1, "dropout": 0.2}, "augment": "handwriting", "lr": 0.05,
    "batch_size": 50, "epochs": 16, "processes": 3,
}  # fmt: skip
NOBODY = 65534


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
def test_the_result_is_that_of_one_process(project: Path, run: Run, training: str) -> None:
    set_params(project, TRAININGS[training])
    found = []
    for count in (1, 2, 3):
        set_params(project, {"processes": count})
        output = run(project, *STAGE)
        assert output.count("epoch 1/") == 1
        found.append(results(project))
        curves, weights = pd.read_csv(project / "metrics/train.csv"), load_file(project / "models/model.safetensors")
        if count == 1:
            expected = curves, weights
        np.testing.assert_allclose(curves, expected[0], rtol=1e-3, atol=2e-3)
        for name, tensor in expected[1].items():
            np.testing.assert_allclose(weights[name], tensor, rtol=1e-2, atol=1e-3, err_msg=name)
    # Exact sums are the same; the others are not, unless one process has done all.
    assert len(set(found)) == (1 if training == "logistic" else 3)


def start(project: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Start the stage, in a process group of its own."""
    return subprocess.Popen(
        STAGE, cwd=project, env=environment, text=True, start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_until(condition: Callable[[], Any]) -> Any:
    """What `condition` returns once it is true."""
    deadline = time.monotonic() + 120
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


@pytest.mark.long
def test_whichever_process_is_killed_the_same_bytes_are_the_result(
    project: Path, run: Run, environment: dict[str, str], undisturbed: tuple[bytes, bytes]
) -> None:
    set_params(project, SLOW)
    saved: dict[Path, int] = {}
    children: list[int] = []

    def saves() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in project.glob(".checkpoints/*.pt")}

    for rank, number in ((1, signal.SIGKILL), (0, signal.SIGKILL), (None, signal.SIGINT)):
        with start(project, environment) as first:
            wait_until(lambda: saves() != saved)  # noqa: B023
            children = others(first.pid)
            assert len(children) == 2
            if rank is None:
                os.killpg(first.pid, number)
            else:
                os.kill([first.pid, *children][rank], number)
            output, _ = first.communicate(timeout=60)
        assert "Traceback" not in output
        assert output.count("error: ") == (0 if rank == 0 else 1)
        assert rank != 1 or "error: train.processes: another process has ended, or has not answered" in output
        wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))  # noqa: B023
        assert ("resuming after epoch" in output) == bool(saved)
        saved = saves()
    assert "resuming after epoch" in run(project, *STAGE)
    assert results(project) == undisturbed


@pytest.mark.long
def test_a_process_that_dies_while_it_starts_is_noticed_at_once(project: Path, environment: dict[str, str]) -> None:
    set_params(project, SLOW)
    with start(project, environment) as first:
        os.kill(wait_until(lambda: others(first.pid))[0], signal.SIGKILL)
        output, _ = first.communicate(timeout=90)  # less than PyTorch waits
    assert first.returncode == 1
    assert "got exit status -9; see " in output
    assert "Traceback" not in output


def listening(pids: list[int]) -> set[tuple[str, int]]:
    """Addresses, as hexadecimal digits, and TCP ports at which these processes listen."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):  # it has been closed
                sockets.add(str(link.readlink()))
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    places = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    return {(address, int(port, 16)) for address, port in places}


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


@pytest.mark.long
def test_another_user_can_neither_join_nor_disturb(
    project: Path, environment: dict[str, str], undisturbed: tuple[bytes, bytes]
) -> None:
    set_params(project, SLOW)
    with start(project, environment) as first:
        wait_until(lambda: list(project.glob(".checkpoints/*.pt")))
        children = others(first.pid)
        variables = Path(f"/proc/{children[0]}/environ").read_bytes().decode().split("\0")
        (folder,) = (Path(line.partition("=")[2]) for line in variables if line.startswith(f"{processes.FOLDER}="))
        assert folder.stat().st_mode & 0o777 == 0o700
        found = listening([first.pid, *children])
        assert found
        assert {address for address, _ in found} == {"0100007F"}  # 127.0.0.1
        attacker = multiprocessing.get_context("fork").Process(
            target=attack, args=(folder, [port for _, port in found])
        )
        attacker.start()
        attacker.join(120)
        assert attacker.exitcode == 0
        output, _ = first.communicate(timeout=240)
    assert first.returncode == 0, output
    assert results(project) == undisturbed
    assert not folder.exists()


def test_no_object_is_sent_and_what_is_read_is_never_code() -> None:
    sources = [path.read_text() for path in (ROOT / "stages").rglob("*.py")]
    assert not [source for source in sources if re.search(r"dist\.\w*object", source)]
    loads = [call for source in sources for call in re.findall(r"torch\.load\(.*\)", source)]
    assert loads
    assert all("weights_only=True" in call for call in loads)


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


def test_what_does_not_go_together_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"train.processes: lbfgs runs in a single one, got 2; set it to 1"):
        refuse_conflicts(TrainParams(**BASELINE | {"optimizer": "lbfgs", "lr": 1.0, "processes": 2}))
    three = TrainParams(**BASELINE | {"processes": 3, "batch_size": 64})
    require_shares(three, 67)
    for images in (2, 65, 66):
        with pytest.raises(UserError, match=rf"train.batch_size: each of the 3 .*, got 64, .* of {images} images"):
            require_shares(three, images)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UserError, match=r"must be the number that torchrun starts, got 3 and 2"),
        processes.connected(3, torch.device("cpu")),
    ):
        pass


@pytest.mark.long
def test_an_error_in_all_processes_is_printed_once(project: Path, run: Run) -> None:
    set_params(project, {"lr": 1e38, "processes": 2})
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
    with (
        pytest.raises(UserError, match=r"train.processes: this machine cannot start so many, got Resource"),
        processes.others_started(4),
    ):
        pass
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_cores_that_this_process_may_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


def test_more_processes_than_the_machine_has_memory_for_are_not_started() -> None:
    with (
        pytest.raises(UserError, match=r"train.processes: must be at most \d+ on this machine, .*, got 10,000; "),
        processes.others_started(10_000),
    ):
        pass


@pytest.mark.parametrize("fails", [False, True])
def test_no_thread_of_the_connection_lives_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool) -> None:
    def connect(backend: str, *_: object) -> None:
        dist.init_process_group(backend, init_method=f"file://{tmp_path}/store", rank=0, world_size=1)

    monkeypatch.setattr(processes, "connect", connect)
    monkeypatch.setenv("WORLD_SIZE", "2")
    threads = Path("/proc/self/task")
    before = set(threads.iterdir())
    with pytest.raises(UserError) if fails else nullcontext(), processes.connected(2, torch.device("cpu")):
        assert set(threads.iterdir()) - before
        if fails:
            raise UserError("the disk is full")
    assert not set(threads.iterdir()) - before
