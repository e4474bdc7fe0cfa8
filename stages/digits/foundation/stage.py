"""How a stage script starts and how it fails."""

import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from digits.foundation.lock import acquire, holder

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / ".dvc/tmp/stage.lock"
ADVICE = "run the same command again; `git checkout HEAD . && dvc checkout --force` restores the last commit"
# So many new objects start a search for garbage; by default, hundreds do. On import, libraries make hundreds of
# thousands, and hardly any of them is garbage: looking for it takes a fifth of the time in which train starts and ends.
GARBAGE_THRESHOLD = 100_000
# How PyTorch and C++ put it in a RuntimeError, and the loader of shared libraries in an ImportError.
OUT_OF_MEMORY = "allocate memory", "out of memory", "bad_alloc", "MemoryError", "failed to map segment"


class UserError(Exception):
    """A problem that the user can fix: where it is, what it is, and what to do about it."""


def repository_root(folder: Path = ROOT) -> Path:
    """The root of the real repository, even if `folder` is a copy that DVC made for an experiment."""
    return next((parent.parents[2] for parent in folder.parents if parent.match(".dvc/tmp/exps")), folder)


def escape_unencodable() -> None:
    """Let standard output escape characters that its encoding lacks, as standard error does by default."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def run(main: Callable[[], None]) -> None:
    """Call `main` in the repository root, provided that no other stage is running here.

    Exits with status 1 and one message on a `UserError`, on an interrupt, and if the system refuses something, such as
    space, permission or memory.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    escape_unencodable()
    gc.set_threshold(GARBAGE_THRESHOLD)
    # As torchrun numbers the processes that train together on this machine.
    is_first_here = os.environ.get("LOCAL_RANK", "0") == "0"
    try:
        sys.argv[0] = str(Path(sys.argv[0]).resolve())  # with which train starts its other processes
        os.chdir(ROOT)
        lock = acquire(LOCK) if is_first_here else None
        if not lock and is_first_here:
            raise UserError(
                f"{ROOT}: process {holder(LOCK)} is running a stage here, perhaps after its DVC was killed; wait for "
                f"it or stop it with `kill {holder(LOCK)}`, then run the same command again, which resumes its work"
            )
        main()
        gc.freeze()  # or Python would look for garbage once more on its way out
        # Nothing is left to interrupt, and PyTorch would print a traceback on its way out.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    except UserError as error:
        sys.exit(f"error: {error}" if is_first_here else 1)
    except KeyboardInterrupt:
        sys.exit(f"error: {Path(sys.argv[0]).stem}: interrupted; run the same command again" if is_first_here else 1)
    except OSError as error:
        if error.errno is None:  # not from the system
            raise
        where = error.filename or "standard output or a temporary file"
        sys.exit(f"error: {where}: {error.strerror}; fix this and {ADVICE}")
    except (MemoryError, RuntimeError, ImportError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        what_to_do = "close other programs, or lower batch_size or the network's width in params.yaml"
        sys.exit(f"error: memory: not enough for this stage; {what_to_do}, and {ADVICE}")
