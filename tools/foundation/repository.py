"""This repository, through Git, DVC and params.yaml."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foundation.command import ROOT, require

require("dvc", "yaml")

WRONG_USAGE = 254  # DVC's exit status for it


def use_own_environment() -> None:
    """Put the programs beside this Python first on the path: `dvc`, and for DVC the `python` of the stages."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def run_dvc(command: Sequence[str]) -> int:
    """Run a DVC command in this repository and return our exit status for it: 0, 1 or 2.

    Raises:
        KeyboardInterrupt: Ctrl-C, which DVC gets, too; it has ended and tidied up by then.
    """
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
    return 2 if status == WRONG_USAGE else int(status != 0)


def git(*arguments: str) -> str | None:
    """What a Git command prints about this repository; None if it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None


def cache_folder() -> Path:
    """DVC's cache; exits with an error if DVC does not say where it is."""
    use_own_environment()
    done = subprocess.run(["dvc", "cache", "dir"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: dvc: `dvc cache dir` failed, got status {done.returncode}; see its message above")
    return Path(done.stdout.removesuffix("\n"))


def md5_of_file(path: Path) -> str:
    """The MD5 by which DVC knows the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def flat_params() -> dict[str, Any]:
    """All values of params.yaml by dotted name; exits with an error if it cannot be read."""
    return dict(flattened(read_mapping(ROOT / "params.yaml", "`git checkout HEAD params.yaml` restores it")))


def read_mapping(path: Path, advice: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; exits with an error, and this advice, if it cannot be read."""
    # DVC's own parser: PyYAML takes 1e-05 for text. Here, since not every command needs it.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        values = YAML(typ="safe").load(path)
    except OSError as error:
        sys.exit(f"error: {path}: {error.strerror}; {advice}")
    except (YAMLError, UnicodeDecodeError) as error:
        sys.exit(f"error: {path}: is not YAML, got {error}\n{advice}")
    if not isinstance(values, dict):
        sys.exit(f"error: {path}: has to map parameters to values, got {values!r}; {advice}")
    return values


def flattened(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings, each with its dotted name, such as train.lr."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
