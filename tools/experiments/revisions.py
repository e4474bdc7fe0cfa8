"""Files of the workspace, of a commit, or of a DVC experiment."""

import io
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.command import ROOT, require
from foundation.repository import git

require("matplotlib", "optuna", "pandas", "scipy")

WORKSPACE = "workspace"  # DVC's own name for it
MODEL = "models/model.safetensors"


class NotFoundError(SystemExit):
    """A revision or a file in it is missing. Uncaught, it prints its message and ends with status 1."""


def read_file(revision: str, path: str) -> str:
    """The text of a file in a revision.

    Args:
        revision: "workspace", the name of an experiment, or whatever Git accepts for a commit.
        path: relative to the root of the repository.

    Raises:
        NotFoundError: there is no such revision, or no such file in it.
    """
    return read_files([revision], [path])[revision][path]


def read_files(revisions: Collection[str], paths: Sequence[str]) -> dict[str, "Files"]:
    """The files of revisions, which are as in `read_file`, by revision; their contents in one call of Git.

    Raises:
        NotFoundError: there is no such revision.
    """
    known = experiments()
    commits = {revision: known.get(revision) or commit_of(revision) for revision in revisions if revision != WORKSPACE}
    names = [f"{commit}:{path}" for commit in commits.values() for path in paths]
    texts = iter(read_objects(names))
    found = {revision: Files(revision, {path: next(texts) for path in paths}) for revision in commits}
    if WORKSPACE in revisions:
        found[WORKSPACE] = Files(WORKSPACE, {path: text_or_none(ROOT / path) for path in paths})
    return found


class Files:
    """Texts of files in a revision, by path.

    Raises:
        NotFoundError: for a path that the revision does not have.
    """

    def __init__(self, revision: str, texts: Mapping[str, str | None]) -> None:
        self.revision, self.texts = revision, texts

    def __getitem__(self, path: str) -> str:
        text = self.texts[path]
        if text is None and self.revision == WORKSPACE:
            raise NotFoundError(f"error: {path}: is missing in the workspace; `dvc repro` makes it")
        if text is None:
            raise NotFoundError(
                f"error: {path}: is missing in {self.revision}; name revisions in which the pipeline has run"
            )
        return text


def commit_of(revision: str) -> str:
    commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not commit:
        raise NotFoundError(
            f"error: revision: has to be a commit, an experiment or {WORKSPACE}, got {revision}; see `dvc exp list -A`"
        )
    return commit


def read_objects(names: Sequence[str]) -> Iterator[str | None]:
    """The texts of Git's objects, such as HEAD:dvc.lock; None for one that does not exist."""
    done = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=ROOT, input="\n".join(names).encode(), stdout=subprocess.PIPE, check=True
    )
    output = io.BytesIO(done.stdout)
    for _ in names:
        *_, last = output.readline().split()  # the object's hash, kind and size, or its name and "missing"
        yield None if last == b"missing" else output.read(int(last) + 1)[:-1].decode()


def text_or_none(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def experiments(base: str = "") -> dict[str, str]:
    """The commit of every experiment by its name; of two with the same name, the latest.

    Args:
        base: only those of this commit.
    """
    of = git("rev-parse", base) if base else None
    pattern = f"refs/exps/{of[:2]}/{of[2:]}/*" if of else "refs/exps/??/*/*"
    listed = git("for-each-ref", "--sort=creatordate", "--format=%(refname:lstrip=4) %(objectname)", pattern)
    return dict(line.rsplit(" ", 1) for line in (listed or "").splitlines())


def is_current(stages: Mapping[str, Any], later: str) -> bool:
    """Whether what a stage after train has written belongs to the model, by the stages of a dvc.lock.

    A run of `train` alone, such as a trial of a search, keeps the test results of the model before.
    """
    if not {"train", later} <= set(stages):
        return False
    trained, used = (
        {entry["path"]: entry["md5"] for entry in stages[stage][kind]}.get(MODEL)
        for stage, kind in (("train", "outs"), (later, "deps"))
    )
    return trained == used
