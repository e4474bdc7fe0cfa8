"""One process at a time: a file lock that is released when its process ends, however it ends."""

import os
from pathlib import Path

from filelock import FileLock, Timeout


def acquire(path: Path, *, wait: bool = False) -> FileLock | None:
    """Take the lock `path` and write this process's id into it.

    Args:
        path: of a file that serves as the lock; its folder is created.
        wait: until the process that holds the lock has ended, instead of giving up.

    Returns:
        The lock, which is released when it is garbage-collected, or None if another process holds it.
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
        error.filename = str(path)  # on a full disk, the system names no file
        raise
    return lock


def holder(path: Path) -> str:
    """Id of the process that holds the lock `path`, or "unknown"."""
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "unknown"
