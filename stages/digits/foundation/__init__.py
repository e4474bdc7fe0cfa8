"""How a stage runs, fails, reads parameters and writes files. Knows nothing about digits; used by every stage."""

import sys
from importlib.util import find_spec
from types import TracebackType


def explain_missing_package(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print one line instead of a traceback if a package is missing: DVC runs the first `python` on PATH."""
    if isinstance(error, ModuleNotFoundError) and find_spec(name := str(error.name).partition(".")[0]) is None:
        print(
            f"error: python: {name} not installed for {sys.executable}; `source .venv/bin/activate`, or install it by "
            "`pip install -r requirements.txt`",
            file=sys.stderr,
        )
    else:
        sys.__excepthook__(kind, error, traceback)
