"""This repository, through Git, DVC and params.yaml. It may be a folder of a larger Git repository."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from command import ROOT
from digits.foundation.params import read_yaml, short_repr
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import flattened

WRONG_USAGE = 254  # DVC's exit status for it


def git(*arguments: str) -> str | None:
    """What a Git command prints about this repository; None if it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace")
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None


def printed_by(program: str, *arguments: str) -> str:
    """What Git or DVC prints about this repository; raises a `UserError` with its own words if it fails."""
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode != 0:
        problem = done.stderr.strip().expandtabs() or f"status {done.returncode}"
        raise UserError(f"{program}: `{program} {arguments[0]}` failed, got {problem}")
    return done.stdout.removesuffix("\n")


def cache_folder() -> Path:
    """DVC's cache."""
    return Path(printed_by("dvc", "cache", "dir"))


def md5_of_file(path: Path) -> str:
    """The MD5 by which DVC knows the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def flat_params() -> dict[str, Any]:
    """All values of params.yaml by dotted name; raises a `UserError` if it cannot be read."""
    return dict(flattened(read_mapping(ROOT / "params.yaml", "`git checkout HEAD params.yaml` restores it")))


def read_mapping(path: Path, advice: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; raises a `UserError` with this advice if it cannot be read."""
    values = read_yaml(path, advice)
    if not isinstance(values, dict):
        raise UserError(f"{path}: must map parameters to values, got {short_repr(values)}; {advice}")
    return values
