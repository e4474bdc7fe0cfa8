"""Commands in the background, and what to wait for meanwhile."""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def start(
    folder: Path, environment: dict[str, str], command: Sequence[str], *, own_group: bool = False
) -> "subprocess.Popen[str]":
    """Start a command, with `own_group` in a process group of its own, which can be killed as a whole."""
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=own_group,
    )  # fmt: skip


def trainings(folder: Path) -> set[Path]:
    """The locks of trainings: of equal ones the same; the next training removes those of finished ones."""
    return set((folder / ".checkpoints").glob("*.lock"))


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
