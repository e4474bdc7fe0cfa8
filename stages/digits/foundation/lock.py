"""One process at a time: a file lock that is released when its process ends, however it ends."""

import errno
import os
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

# How a file system says that it has no locks: Lustre mounted without them, NFS without its lock daemon, others.
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


def acquire(path: Path, *, wait: bool = False) -> BaseFileLock | None:
    """Take the lock `path`, or `path`.soft on a file system without locks: a file that exists while the lock is held.

    filelock notes in that one which process holds it, and takes it over from one of this machine that has died. The
    folder of `path` is created. Returns None if another process holds the lock, unless `wait` says to wait for its end.
    The lock is released when it is garbage-collected.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    timeout = -1 if wait else 0
    try:
        lock: BaseFileLock = FileLock(path, fallback_to_soft=False)
        try:
            lock.acquire(timeout, poll_interval=0.5)
            path.write_text(f"{os.getpid()}\n", encoding="utf-8")
        except OSError as error:  # or a Timeout, which has no errno
            if error.errno not in NO_LOCKS:
                error.filename = str(path)  # on a full disk, the system names no file
                raise
            lock = SoftFileLock(soft(path))
            lock.acquire(timeout, poll_interval=0.5)
    except Timeout:
        return None
    return lock


def holder(path: Path) -> str:
    """Id of the process that holds the lock `path`, or "unknown"."""
    files = [file for file in (soft(path), path) if file.is_file()]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return lines[0] if lines else "unknown"


def soft(path: Path) -> Path:
    return path.with_name(f"{path.name}.soft")
