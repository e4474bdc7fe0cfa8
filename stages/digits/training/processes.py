"""Processes, on one machine or several, that train one model together: each computes its share of every batch.

PyTorch connects them (torch.distributed). Every process draws the same random numbers and makes the same updates, so
that all hold the same model; only the first one writes files. They send each other tensors and plain text, never
objects, as some functions of PyTorch would: to read a pickled object is to run the code of whoever sent it.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from digits.foundation.params import params_error
from digits.foundation.stage import UserError
from digits.training.machine import usable_cores

torch_dist: Any = dist  # PyTorch documents more of it than it exports, which mypy misses
FIRST = os.environ.get("RANK", "0") == "0"  # as torchrun numbers the processes
FOLDER = "DIGITS_PROCESSES"  # variable: where the processes that this script starts on one machine meet
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
PROCESSES_PER_CORE = 4  # more only take memory, about 300 MB each
# For a process that has stopped or a machine that has lost its power; a process that dies is noticed at once.
TIMEOUT = timedelta(minutes=2)


@dataclass(frozen=True)
class Processes:
    """The processes of this training; methods that send raise a `UserError` if another has ended or does not answer."""

    rank: int = 0  # the number of this one, from 0
    count: int = 1  # of all of them
    device: torch.device | None = None  # of the tensors that they can send

    def share(self, count: int) -> slice:
        """Which of `count` items are this process's: as many as any other's, up to one."""
        return slice(self.rank * count // self.count, (self.rank + 1) * count // self.count)

    def sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each of these tensors, which all processes have, by its sum over them."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with lost_process():
            dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def follow_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each of these tensors, which all processes have, by that of the first process."""
        for tensor in tensors if self.count > 1 else ():
            sent = tensor.to(self.device)
            with lost_process():
                dist.broadcast(sent, src=0)
            tensor.copy_(sent)

    def from_first(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """What the first process has for `state`, of tensors, plain values, lists and mappings."""
        if self.count == 1:
            return state
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8).clone()
        size = torch.tensor(len(content))
        self.follow_first([size])
        self.follow_first([content.resize_(int(size))])
        received: dict[str, Any] | None = torch.load(io.BytesIO(content.numpy().tobytes()), weights_only=True)
        return received


ALONE = Processes()


@contextmanager
def lost_process() -> Iterator[None]:
    """Turn PyTorch's errors about another process into one that helps the user."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            "train.processes: another process has not started, has ended, or has not answered for two minutes, got "
            f"{str(error).splitlines()[0]}; see its output, then run the same command again, which resumes the training"
        )


@contextmanager
def connected(count: int, device: torch.device, key: str) -> Iterator[Processes]:
    """Start the other processes and connect to them; if torchrun has started all of them, only connect.

    Raises a `UserError` if torchrun has started another number of processes, they cannot be connected, or the keys of
    their trainings differ.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started not in (1, count):
        raise params_error(f"train.processes: must be the number that torchrun starts, got {count} and {started}")
    if count == 1:
        yield ALONE
        return
    with ExitStack() as stack:
        with lost_process():
            others = stack.enter_context(others_started(count)) if started == 1 else []
            connect("nccl" if device.type == "cuda" else "gloo", key, others)
        # Its threads may still hold tensors; one that frees a tensor while Python ends would abort the process.
        stack.callback(dist.destroy_process_group)
        yield Processes(dist.get_rank(), count, device)
        with lost_process():
            dist.barrier()  # or a process that ends early would look like one that is lost


@contextmanager
def others_started(count: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start this script again, until it runs in `count` processes; end those that are left after the block.

    They meet in a folder that only this user can enter, and then talk through this machine's loopback interface. Raises
    a `UserError` if they are too many for the machine.
    """
    most = PROCESSES_PER_CORE * usable_cores()
    if count > most:
        raise params_error(
            f"train.processes: must be at most {most} on this machine, {PROCESSES_PER_CORE} for each core, got "
            f"{count:,}; lower it, or start them on several machines with torchrun"
        )
    others = []
    with tempfile.TemporaryDirectory(prefix="digits-") as folder, ExitStack() as stack:
        os.environ |= {"WORLD_SIZE": str(count), FOLDER: folder, "GLOO_SOCKET_IFNAME": LOOPBACK}
        for rank in map(str, range(1, count)):
            ranks = {"RANK": rank, "LOCAL_RANK": rank}
            try:
                process = subprocess.Popen(  # noqa: S603 - the command is this very script, as the user started it
                    [sys.executable, *sys.argv], env=os.environ | ranks, stdout=subprocess.DEVNULL
                )
            except OSError as error:
                raise params_error(f"train.processes: this machine cannot start so many, got {error}; lower it")
            others.append(stack.enter_context(process))
            stack.callback(process.kill)
        yield others


def connect(backend: str, key: str, others: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Connect to the other processes, of which this one has started `others`, once it is clear that all have one key.

    Raises a `RuntimeError` if one of them has ended, or does not answer; a `UserError` if they have other keys.
    """
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ["WORLD_SIZE"])
    if FOLDER in os.environ:
        store = torch_dist.FileStore(f"{os.environ[FOLDER]}/store", count)
    else:
        store, *_ = next(torch_dist.rendezvous("env://", timeout=TIMEOUT))  # as torchrun's variables say
    store.set_timeout(TIMEOUT)
    store.set(f"key {rank}", key)
    names = [f"key {rank}" for rank in range(count)]
    while others and not store.check(names):  # PyTorch would wait for one that has died until its timeout
        for process in others:
            if process.poll() is not None:
                raise RuntimeError(f"exit status {process.returncode}")
        time.sleep(0.05)
    keys = [store.get(name).decode() for name in names]
    if different := [str(rank) for rank in range(count) if keys[rank] != keys[0]]:
        raise params_error(
            "train.processes: all need the same parameters, data, code, libraries and, in native arithmetic, "
            f"processor, got others than in the first one in {', '.join(different)}"
        )
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
