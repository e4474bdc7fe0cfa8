"""Experiments on their way to other machines: Git has their files, DVC's remote their data and models."""

import subprocess
import sys
import time
from collections.abc import Sequence

from experiments.revisions import experiments
from foundation.command import ROOT
from foundation.repository import git

ATTEMPTS = 5
PAUSE = 10  # seconds


class PushError(Exception):
    """An experiment could not be pushed."""


def check_remotes(remote: str) -> None:
    """Exit with an error unless this repository can push to a Git remote and to a DVC remote."""
    if git("ls-remote", "--quiet", remote, "HEAD") is None:
        sys.exit(f"error: --push: has to be a Git remote that answers, got {remote}; see `git remote -v`")
    done = dvc("config", "core.remote")
    if done.returncode != 0 or not done.stdout.strip():
        sys.exit("error: --push: needs a default DVC remote, got none; `dvc remote add --default NAME URL`")


def push(name: str, remote: str) -> None:
    """Push an experiment. Whoever repeats a trial replaces an experiment that arrived before its machine died.

    Raises:
        PushError: several attempts failed.
    """
    for attempt in range(ATTEMPTS):
        done = dvc("exp", "push", "--force", remote, name)
        if done.returncode == 0:
            return
        time.sleep(PAUSE if attempt < ATTEMPTS - 1 else 0)
    raise PushError(
        f"error: {name}: cannot be pushed to {remote}, got\n{done.stdout.strip()}\nIt is kept here and repeated."
    )


def pull(names: Sequence[str], remote: str, *options: str) -> None:
    """Get those of these experiments that other machines have pushed."""
    listed = (git("ls-remote", "--quiet", remote, "refs/exps/*") or "").splitlines()
    pushed = {line.rpartition("/")[2] for line in listed}
    there = experiments("HEAD")
    missing = [name for name in names if name in pushed and name not in there]
    if missing and (done := dvc("exp", "pull", *options, remote, *missing)).returncode != 0:
        print(f"note: some experiments cannot be pulled from {remote}, got\n{done.stdout.strip()}", file=sys.stderr)


def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["dvc", "--wait-for-lock", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
