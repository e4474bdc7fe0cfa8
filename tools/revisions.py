"""Files as they are in the workspace, in a commit, or in an experiment of DVC's."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORKSPACE = "workspace"  # DVC's own name for it


def read_file(revision: str, path: str) -> str:
    """The text of a file that Git has.

    Args:
        revision: "workspace", a name of a commit as Git takes it, or the name of an experiment.
        path: relative to the root of the repository.

    Exits with an error where there is no such revision, or no such file in it.
    """
    if revision == WORKSPACE:
        try:
            return (ROOT / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            sys.exit(f"error: {path}: is missing in the workspace; `dvc repro` makes it")
    commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or experiments().get(revision)
    if not commit:
        sys.exit(
            f"error: revision: has to be a commit, an experiment or {WORKSPACE}, got {revision}; see `dvc exp list -A`"
        )
    text = git("show", f"{commit}:{path}")
    if text is None:
        sys.exit(f"error: {path}: is missing in {revision}; compare revisions in which the pipeline has run")
    return text


def experiments() -> dict[str, str]:
    """The commit of every experiment by its name; of two with the same name, the latest."""
    listed = git("for-each-ref", "--sort=creatordate", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps/??/*/*")
    return dict(line.rsplit(" ", 1) for line in (listed or "").splitlines())


def git(*arguments: str) -> str | None:
    """What a command of Git's prints about this repository; None where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None
