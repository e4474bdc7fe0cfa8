"""One process at a time, for as long as it lives: a lock ends with its process, however that ends."""

import os
from pathlib import Path

from filelock import FileLock, Timeout


def acquire(path: Path, *, wait: bool = False) -> FileLock | None:
    """Take the lock `path` and write this process's number into it.

    Args:
        path: of a file that exists for the lock alone; its folder is made.
        wait: until whoever holds it has ended, instead of giving up.

    Returns:
        The lock, which is let go when it is garbage, or None where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0, poll_interval=0.5)
    except Timeout:
        return None
    try:
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")
    except OSError as error:
        error.filename = str(path)  # which the system does not say where the disk is full
        raise
    return lock


def holder(path: Path) -> str:
    """Number of the process that holds the lock `path`, if it is to be known."""
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "unknown"
