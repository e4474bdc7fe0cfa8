"""How a stage script starts and how it fails."""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class UserError(Exception):
    """Something the user can put right: where it is, what it is, and what to do about it."""


def run(main: Callable[[], None]) -> None:
    """Call `main` from the repository root; end with status 1 and one message on a `UserError`."""
    try:
        if Path.cwd() != ROOT:
            raise UserError(f"working directory: not the repository root, got {Path.cwd()}; cd {ROOT}")
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; `dvc repro` starts this stage again")
