"""This repository, through Git, DVC and params.yaml."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundation.command import ROOT, require

require("dvc", "ruamel.yaml", "yaml")


def use_own_environment() -> None:
    """Let commands be found beside the Python that runs this: `dvc`, and for DVC the `python` of the stages."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def git(*arguments: str) -> str | None:
    """What a Git command prints about this repository; None if it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None


def flattened(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings, each with its dotted name, such as train.lr."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
