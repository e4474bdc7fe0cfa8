"""Experiments on their way to other machines: Git has their files, DVC's remote their data and models."""

import subprocess
import sys
from collections.abc import Sequence

from command import ROOT
from digits.foundation.stage import UserError
from experiments.processes import Runner
from experiments.revisions import experiments
from repository import git

PAUSES = 0, 10, 10, 10, 10  # seconds before each attempt


def check_remotes(remote: str) -> None:
    """Raise a `UserError` unless this repository can push to a Git remote and to a DVC remote."""
    if git("ls-remote", "--quiet", remote, "HEAD") is None:
        raise UserError(f"--push: must be a Git remote that answers, got {remote}; see `git remote -v`")
    done = dvc("config", "core.remote")
    if done.returncode != 0 or not done.stdout.strip():
        raise UserError("--push: needs a default DVC remote, got none; `dvc remote add --default NAME URL`")


def push(runner: Runner, name: str, remote: str) -> None:
    """Push an experiment; raises a `UserError` if all attempts fail, a `KeyboardInterrupt` if `runner` is interrupted.

    Whoever repeats a trial replaces an experiment that arrived before its machine died.
    """
    for pause in PAUSES:
        if runner.stopped.wait(pause) and runner.interrupted:
            raise KeyboardInterrupt
        done = dvc("exp", "push", "--force", remote, name)
        if done.returncode == 0:
            return
    problem = done.stdout.strip()
    raise UserError(f"{name}: cannot be pushed to {remote}, got\n{problem}\nIt is kept here and repeated.")


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
