"""Files from which a training goes on after its process has died.

They lie outside of DVC's outputs, which DVC deletes before a stage runs, and outlive the training itself, since DVC may
die before it has taken note of the results.
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

from digits.foundation.files import replacing
from digits.foundation.lock import acquire, holder
from digits.foundation.stage import ROOT

import torch
import yaml

KEPT = 10  # those that were written last
SHARE_OF_TIME = 0.01  # that saving may take
SECONDS = 0.002  # that saving is taken to need before it has been measured
DIGEST_BYTES = 32  # of SHA-256, before the state


class Checkpoint:
    """The checkpoint of one training, which one process at a time reads and writes.

    Args:
        key: two trainings have the same one only if they give the same bytes.
    """

    def __init__(self, key: str) -> None:
        self.path = repository(ROOT) / ".checkpoints" / f"{key}.pt"
        lock = self.path.with_suffix(".lock")
        self.lock = acquire(lock)
        if not self.lock:
            print(f"process {holder(lock)} is at the very same training; waiting for its results", flush=True)
            self.lock = acquire(lock, wait=True)
        remove_old_checkpoints(self.path.parent)
        self.last, self.seconds = time.monotonic(), SECONDS

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was, or where it is damaged, which is said."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        try:
            if hashlib.sha256(content).digest() == digest:
                return dict(torch.load(io.BytesIO(content), weights_only=True))  # tensors and plain values, no code
        except UnpicklingError:
            pass
        print(f"warning: {self.path}: is damaged; training starts anew", file=sys.stderr)
        return None

    def is_due(self) -> bool:
        """Whether so much time has passed since the last save that another one takes only its share of it."""
        return time.monotonic() - self.last > self.seconds / SHARE_OF_TIME

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state`, of tensors, plain values, lists and mappings, so that it outlives even the machine's end."""
        start = time.monotonic()
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getbuffer()
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.last = time.monotonic()
        self.seconds = self.last - start


def repository(folder: Path) -> Path:
    """The repository itself, of which `folder` may be a copy that DVC made for an experiment."""
    return next((parent.parents[2] for parent in folder.parents if parent.match(".dvc/tmp/exps")), folder)


def training_key(params: str, inputs: Iterable[Path], device: torch.device) -> str:
    """A hash of all that the bytes of the result depend on: parameters, inputs, code, PyTorch, processor, threads."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in ("__main__", "digits")]
    code = sorted(Path(str(module.__file__)) for module in modules)
    machine = torch.__version__, torch.cpu.get_capabilities(), device, torch.get_num_threads()
    parts = [params, *map(str, machine)]
    for path in [*inputs, *code]:
        with path.open("rb") as file:
            parts.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def is_recorded(stage: str, output: Path) -> bool:
    """Whether dvc.lock has the present content of `output` as a result of `stage`.

    DVC has then taken note of the training that gave it, and runs the stage again only because it was told to.
    """
    lock = ROOT / "dvc.lock"
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
    md5 = hashlib.md5(output.read_bytes(), usedforsecurity=False).hexdigest()
    outputs = stages.get(stage, {}).get("outs", [])
    return any(entry["path"] == output.as_posix() and entry["md5"] == md5 for entry in outputs)


def remove_old_checkpoints(folder: Path) -> None:
    """Keep those that were written last, and those of the trainings that are going on."""

    def last_written(lock: Path) -> float:
        path = lock.with_suffix(".pt")
        return path.stat().st_mtime if path.exists() else 0.0

    with suppress(FileNotFoundError):  # another training does the same at the same time
        for path in sorted(folder.glob("*.lock"), key=last_written, reverse=True)[KEPT:]:
            lock = acquire(path)
            # The lock goes last: whoever may take it finds nothing else.
            for file in [*folder.glob(f"*{path.stem}.pt*"), path] if lock else []:
                file.unlink()
