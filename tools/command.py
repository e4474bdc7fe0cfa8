"""What all commands share: their help, their exit statuses, and the way to the stages' package `digits`.

A command imports nothing but the standard library before this module, so that a missing package is named in one line.

Exit statuses: 0, done; 1, an error, or an answer that is bad news (the command's help says which); 2, wrong usage;
130, interrupted.
"""

import argparse
import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INTERRUPTED = 130

sys.path.append(str(ROOT / "stages"))

from digits.foundation.params import printable  # noqa: E402 - found there
from digits.foundation.stage import UserError, escape_unencodable  # noqa: E402


class Parser(argparse.ArgumentParser):
    """A parser whose help shows the docstring of the command as it stands."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def positive(text: str) -> int:
    """The whole number above 0 that an argument gives."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text}")
    return int(text)


def png_file(text: str) -> Path:
    """The path of a PNG file to write that an argument gives."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"must be a PNG file, ending in .png, got {text}")
    return Path(text)


def use_own_environment() -> None:
    """Put `dvc` and the `python` of the stages on the path, which are beside this Python, and give the user a name."""
    folder, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if folder not in path.split(os.pathsep):  # the environment is not activated
        os.environ["PATH"] = os.pathsep.join([folder, path])
    try:
        getpass.getuser()
    except (KeyError, OSError):  # as in a container that runs with any number of a user; DVC needs a name
        os.environ["LOGNAME"] = str(os.getuid())


def run_command(main: Callable[[], None]) -> None:
    """Call `main`. Ctrl-C ends it with status 130; a reader that leaves, such as `head`, ends it quietly.

    Exits with status 1 and one message on a `UserError`, and if a file cannot be read or written.
    """
    escape_unencodable()
    use_own_environment()
    try:
        try:
            main()
        finally:
            if sys.stdout:  # which may be closed
                sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {printable(str(error), None)}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno is None:  # not from the system
            raise
        if error.filename is None:
            # As the documentation of Python's signal module advises: otherwise, flushing at exit would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        where = error.filename or "standard output or a temporary file"
        advice = "; was this folder moved? `rm -r .venv && make run` installs it anew" if where == "dvc" else ""
        sys.exit(f"error: {printable(str(where))}: cannot be read or written, got {error.strerror}{advice}")
