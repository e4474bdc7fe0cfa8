"""Processes, on one machine or several, that train one model together: each computes its share of every batch.

PyTorch connects them (torch.distributed). Every process draws the same random numbers and makes the same updates, so
that all hold the same model; only the first one writes files.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from digits.foundation.params import params_error
from digits.foundation.stage import UserError

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")
FIRST = os.environ.get("RANK", "0") == "0"  # as torchrun numbers the processes
PROCESSES_PER_CORE = 4  # more only take memory, about 300 MB each
# For a machine that has lost its power; a process that dies is noticed at once.
TIMEOUT = timedelta(minutes=2)
GPU_EACH = "each needs a GPU of its own"


class Processes:
    """The processes of this training.

    Attributes:
        rank: the number of this one, from 0.
        count: of all of them.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    def share(self, count: int) -> slice:
        """Which of `count` items are this process's: as many as any other's, up to one."""
        return slice(self.rank * count // self.count, (self.rank + 1) * count // self.count)

    def sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each of these tensors, which all processes have, by its sum over them.

        Raises:
            UserError: another process has ended.
        """
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with lost_process():
            dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def from_first(self, value: T) -> T:
        """The value that the first process has.

        Raises:
            UserError: another process has ended.
        """
        values = [value]
        if self.count > 1:
            with lost_process():
                dist.broadcast_object_list(values, weights_only=True)
        return values[0]

    def require_same(self, key: str) -> None:
        """Raise an error in all processes unless all have this key.

        Raises:
            UserError: they do not, or another process has ended.
        """
        if self.count == 1:
            return
        keys = [key] * self.count
        with lost_process():
            dist.all_gather_object(keys, key)
        if others := [str(rank) for rank, other in enumerate(keys) if other != keys[0]]:
            raise params_error(
                "train.processes: all need the same parameters, data, code, libraries and, in native arithmetic, "
                f"processor, got others than in the first one in {', '.join(others)}"
            )


ALONE = Processes()


@contextmanager
def lost_process() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"train.processes: another process has probably ended, got {str(error).splitlines()[0]}; see its "
            "output, then run the same command again, which resumes the training"
        )


@contextmanager
def connected(count: int, device: torch.device) -> Iterator[Processes]:
    """Start the other processes and connect to them; if torchrun has started all of them, only connect.

    Raises:
        UserError: torchrun has started another number of processes, or they cannot be connected.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started not in (1, count):
        raise params_error(f"train.processes: has to be the number that torchrun starts, got {count} and {started}")
    if count == 1:
        yield ALONE
        return
    if device.type == "mps" or (device.type == "cuda" and started == 1 and count > torch.cuda.device_count()):
        raise params_error(f"train.processes: {GPU_EACH}, got {count}; set train.device to cpu")
    # The store connects the processes, as long as it exists.
    _store, others = (None, []) if started == count else start_others(count)
    try:
        with lost_process():
            connect("nccl" if device.type == "cuda" else "gloo", others)
        yield Processes(dist.get_rank(), count)
        with lost_process():
            dist.barrier()  # or a process that ends early would look like one that is lost
    finally:
        # Its threads may still hold tensors; one that frees a tensor while Python ends would abort the process.
        if dist.is_initialized():
            dist.destroy_process_group()
        stop(others)


def start_others(count: int) -> tuple[Any, list["subprocess.Popen[bytes]"]]:
    """Start this script again, until it runs in `count` processes, all with the variables that torchrun would set.

    Raises:
        UserError: they are too many for the machine.
    """
    most = PROCESSES_PER_CORE * (os.cpu_count() or 1)
    if count > most:
        raise params_error(
            f"train.processes: has to be at most {most} on this machine, {PROCESSES_PER_CORE} for each core, got "
            f"{count:,}; lower it, or start them on several machines with torchrun"
        )
    # PyTorch documents this class, but leaves it out of __all__, so mypy does not see it.
    open_store: Any = dist.TCPStore  # type: ignore[attr-defined]
    store = open_store("127.0.0.1", 0, count, is_master=True, wait_for_workers=False, timeout=TIMEOUT)
    os.environ |= {
        "RANK": "0",
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # this process has opened the port already
    }
    command = [sys.executable, *sys.argv]
    others: list[subprocess.Popen[bytes]] = []
    try:
        for rank in map(str, range(1, count)):
            others.append(
                subprocess.Popen(  # noqa: S603 - the command is this very script, as the user started it
                    command, env=os.environ | {"RANK": rank, "LOCAL_RANK": rank}, stdout=subprocess.DEVNULL
                )
            )
    except OSError as error:
        stop(others)
        raise params_error(f"train.processes: this machine cannot start {count:,}, got {error.strerror}; lower it")
    return store, others


def stop(others: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End processes that this one has started."""
    for process in others:
        process.kill()
    for process in others:
        process.wait()


def connect(backend: str, others: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Connect to the other processes.

    Args:
        others: those that this process has started. PyTorch would wait for one that has died until its timeout.

    Raises:
        RuntimeError: one of them has ended.
    """
    store, rank, count = next(rendezvous("env://", timeout=TIMEOUT))
    store.set(f"started {rank}", "")
    while others and not store.check([f"started {rank}" for rank in range(count)]):
        for process in others:
            if process.poll() is not None:
                raise RuntimeError(f"exit status {process.returncode}")
        time.sleep(0.05)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
