"""How a stage script starts and how it fails."""

import errno
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from digits.foundation.lock import acquire, holder

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / ".dvc/tmp/stage.lock"
ADVICE = "run the same command again; `git checkout HEAD . && dvc checkout --force` goes back to the last commit"
# What the machine is to blame for, rather than a bug.
MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EPIPE}
# As PyTorch and C++ have it in a RuntimeError.
OUT_OF_MEMORY = "allocate memory", "out of memory", "bad_alloc", "MemoryError"


class UserError(Exception):
    """Something the user can put right: where it is, what it is, and what to do about it."""


def run(main: Callable[[], None]) -> None:
    """Call `main` from the repository root, where no other stage is running.

    Ends with status 1 and one message on a `UserError`, an interruption, and what the machine is to blame for: no
    space, no permission, no memory.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if Path.cwd() != ROOT:
            raise UserError(f"working directory: not the repository root, got {Path.cwd()}; cd {ROOT}")
        lock = acquire(LOCK)
        if not lock:
            raise UserError(
                f"{ROOT}: process {holder(LOCK)} is at a stage here, and may have outlived its DVC; wait for it, "
                f"or end it with `kill {holder(LOCK)}`, and run the same command again, which takes up its work"
            )
        main()
        # Nothing is left to interrupt, and PyTorch's own ending would print a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"error: {Path(sys.argv[0]).stem}: interrupted; run the same command again")
    except OSError as error:
        if error.errno not in MACHINE:
            raise
        where = error.filename or "standard output or a temporary file"
        sys.exit(f"error: {where}: {error.strerror}; put that right and {ADVICE}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(
            "error: memory: there is too little for this stage; end other programs, or lower batch_size or the "
            f"network's width in params.yaml, and {ADVICE}"
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, PyTorch or C++ says with `error` that memory is short."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)
