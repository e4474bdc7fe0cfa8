"""The way to the packages of tools/ and stages/, so named that it is imported before them; clones to run recipes in."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "stages")]


@contextmanager
def cloned() -> Iterator[Path]:
    """A clone of this repository's last commit, with data to train on; it is deleted in the end."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "--quiet", str(ROOT), str(clone))
        run("dvc", "repro", "preprocess", cwd=clone)
        yield clone


def run_recipe(clone: Path, recipe: str, experiment: str, *settings: str) -> str:
    """Run a recipe as an experiment of the clone, with these settings, each `KEY=VALUE`, and return what it prints."""
    run("git", "checkout", "--quiet", "HEAD", ".", cwd=clone)
    options = [part for setting in settings for part in ("-S", setting)]
    return run(sys.executable, "tools/recipe.py", recipe, "--name", experiment, *options, cwd=clone)


def run(*command: str, cwd: Path = ROOT, status: int = 0, variables: Mapping[str, str] = {}) -> str:
    """Run a command, check its exit status, and return what it prints."""
    result = subprocess.run(command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True)
    if result.returncode != status:
        sys.exit(f"{' '.join(command)}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout
