"""What all commands share: their help, their exit statuses, and the error when a package is missing.

Exit statuses: 0, done; 1, an error, or an answer that is bad news (the command's help says which); 2, wrong usage;
130, interrupted.
"""

import argparse
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """A parser whose help begins with what the command is for.

    Args:
        description: the docstring of the command: its purpose, an example, details.
    """

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def format_help(self) -> str:
        """The description, then the usage and the options."""
        description, self.description = self.description, None
        options = super().format_help()
        self.description = description
        return f"{(description or '').strip()}\n\n{options}"


def positive(text: str) -> int:
    """The whole number above 0 that an argument gives."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"has to be a whole number above 0, got {text}")
    return int(text)


def png_file(text: str) -> Path:
    """The path of a PNG file to write that an argument gives."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"has to be a PNG file, ending in .png, got {text}")
    return Path(text)


def run_command(main: Callable[[], None]) -> None:
    """Call `main`. Ctrl-C ends it with status 130; a reader that leaves, such as `head`, ends it quietly."""
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # As the documentation of Python's signal module advises: otherwise, flushing at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def require(*packages: str) -> None:
    """Exit with advice unless these packages are installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        sys.exit(f"error: python: {', '.join(missing)} not installed; `source .venv/bin/activate` first")
