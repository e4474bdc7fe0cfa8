"""How a stage script starts and how it fails."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from digits.lock import acquire, holder

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".dvc/tmp/stage.lock"
ADVICE = "run `dvc repro`; until then, `git restore metrics plots && dvc checkout` brings the committed results back"
OUT_OF_MEMORY = "allocate memory", "out of memory", "bad_alloc"  # as PyTorch and C++ have it in a RuntimeError


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
                f"{ROOT}: process {holder(LOCK)} is running a stage here, perhaps since its DVC was killed; let it end "
                "and run `dvc repro`, which takes over a training that it has finished, or end it with "
                f"`kill {holder(LOCK)}`, and `dvc repro` goes on from its last epoch"
            )
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; `dvc repro` goes on")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}; put that right and {ADVICE}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        sys.exit(
            "error: memory: there is too little for this stage; end other programs, or lower batch_size or the "
            f"network's width in params.yaml, and {ADVICE}"
        )
