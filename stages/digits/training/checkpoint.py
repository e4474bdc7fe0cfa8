"""Checkpoints, from which training resumes after its process has died.

They are not DVC outputs, because DVC deletes those before a stage runs. The one of a finished training is kept until
the next one starts, because DVC may die before it records the results.
"""

import hashlib
import io
import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from digits.foundation.files import replacing
from digits.foundation.lock import acquire, holder
from digits.foundation.stage import ROOT, repository_root
from digits.foundation.yaml_text import parse_lock

MAX_SAVE_SHARE = 0.01  # of the training time, spent on saving
INITIAL_SAVE_SECONDS = 0.002  # assumed until a save has been measured
DIGEST_BYTES = 32  # of the SHA-256 in front of the state


class Checkpoint:
    """The checkpoint of the training runs with one key, which give the same bytes; one process at a time can use it."""

    def __init__(self, key: str) -> None:
        self.path = repository_root(ROOT) / ".checkpoints" / f"{key}.pt"
        self.finished = self.path.with_suffix(".finished")
        lock = self.path.with_suffix(".lock")
        self.lock = acquire(lock)
        if not self.lock:
            print(f"process {holder(lock)} is already running this training; waiting for its results", flush=True)
            self.lock = acquire(lock, wait=True)
        if self.finished.exists():
            self.finished.rename(self.path)
        remove_finished(self.path.parent)
        self.last_save, self.save_seconds = time.monotonic(), INITIAL_SAVE_SECONDS

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last; None if there is none or, with a warning, if the file is damaged."""
        if not self.path.exists():
            return None
        data = self.path.read_bytes()
        digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        with suppress(UnpicklingError):
            if hashlib.sha256(content).digest() == digest:
                return dict(torch.load(io.BytesIO(content), weights_only=True))  # tensors and plain values, never code
        print(f"warning: {self.path}: is damaged; training starts over", file=sys.stderr)
        return None

    def is_due(self) -> bool:
        """Whether enough time has passed since the last save for another one to stay within `MAX_SAVE_SHARE`."""
        return time.monotonic() - self.last_save > self.save_seconds / MAX_SAVE_SHARE

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state`, of tensors, plain values, lists and mappings, so that it survives even a power failure."""
        start = time.monotonic()
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getbuffer()
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.last_save = time.monotonic()
        self.save_seconds = self.last_save - start

    def finish(self) -> None:
        """Let the next training that starts remove this checkpoint, since its results have been written."""
        self.path.rename(self.finished)


def remove_finished(folder: Path) -> None:
    """Remove the checkpoints of finished trainings, unless a process holds their lock."""
    for path in folder.glob("*.finished"):
        lock_path = path.with_suffix(".lock")
        if lock := acquire(lock_path):
            path.unlink(missing_ok=True)  # another process does the same at the same time
            lock_path.unlink(missing_ok=True)  # last, so that whoever takes it next finds no checkpoint
            lock.release()


def training_key(params: str, inputs: Iterable[Path], device: torch.device, processor: Any) -> str:
    """SHA-256, as hexadecimal digits, of everything the resulting bytes depend on; of the processor, what matters."""
    settings = params, torch.__version__, np.__version__, str(processor), str(device), torch.get_num_threads()
    key = hashlib.sha256(repr(settings).encode())
    for path in [*inputs, *code_files()]:
        with path.open("rb") as file:
            key.update(hashlib.file_digest(file, "sha256").digest())
    return key.hexdigest()


def code_files() -> list[Path]:
    """The files of the project's code that this process has loaded."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in ("__main__", "digits")]
    return sorted(Path(str(module.__file__)) for module in modules)


def is_recorded(stage: str, output: Path) -> bool:
    """Whether dvc.lock records the current content of `output` as a result of `stage`.

    If so, DVC knows about the run that wrote it, and runs the stage again only because it was forced to. Raises a
    `UserError` if dvc.lock is damaged.
    """
    lock = ROOT / "dvc.lock"
    stages = parse_lock(lock.read_text(encoding="utf-8"), "workspace") if lock.is_file() else {}
    md5 = hashlib.md5(output.read_bytes(), usedforsecurity=False).hexdigest()
    return stage in stages and stages[stage].outs.get(output.as_posix()) == md5
