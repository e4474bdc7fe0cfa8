"""What the stages are made of, a room for each subject, and single files that most of them share.

Imports point one way: script -> its subject -> foundation; tests/repository/test_wiring.py holds which room may import
from which. Importing this package makes Python name a missing package in one line, and sets variables that NumPy and
Matplotlib read when they are loaded. So a script imports only the standard library and the project's own modules.
"""

import os
import sys
from importlib.util import find_spec
from types import TracebackType


def explain_missing_package(kind: type[BaseException], error: BaseException, traceback: "TracebackType | None") -> None:
    """Print one line instead of a traceback if a package is missing: DVC runs the first `python` on PATH, also 3.9."""
    if isinstance(error, ModuleNotFoundError) and find_spec(name := str(error.name).partition(".")[0]) is None:
        print(
            f"error: python: {name} not installed for {sys.executable}; `source .venv/bin/activate`, or install it by "
            "`pip install -r requirements.txt`",
            file=sys.stderr,
        )
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = explain_missing_package
# For matrices as small as ours, OpenBLAS takes several times as long if its threads share them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "agg"  # a notebook of another environment names its own, which is not installed here
