"""Files of the workspace, of a commit, or of a DVC experiment."""

import io
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.command import ROOT, require
from foundation.repository import git

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

require("matplotlib", "optuna", "pandas", "scipy")

WORKSPACE = "workspace"  # DVC's own name for it
LOCK = "dvc.lock"
MODEL = "models/model.safetensors"


class NotFoundError(SystemExit):
    """A revision or a file in it is missing. Uncaught, it prints its message and ends with status 1."""


def read_files(revisions: Collection[str], paths: Sequence[str]) -> dict[str, "Files"]:
    """Files of revisions, by revision, in one call of Git for all contents.

    Args:
        revisions: "workspace", names of experiments, or whatever Git accepts for a commit.
        paths: relative to the root of the repository.

    Raises:
        NotFoundError: there is no such revision.
    """
    known = experiments()
    commits = {revision: known.get(revision) or commit_of(revision) for revision in revisions if revision != WORKSPACE}
    names = [f"{commit}:{path}" for commit in commits.values() for path in paths]
    texts = iter(read_objects(names))
    found = {name: Files(name, commit, {path: next(texts) for path in paths}) for name, commit in commits.items()}
    if WORKSPACE in revisions:
        found[WORKSPACE] = Files(WORKSPACE, None, {path: text_or_none(ROOT / path) for path in paths})
    return found


class Files:
    """Texts of files in a revision, by path.

    Args:
        revision: its name.
        commit: its hash; None for the workspace.
        texts: by path; None for a file that is missing.

    Raises:
        NotFoundError: for a path that the revision does not have.
    """

    def __init__(self, revision: str, commit: str | None, texts: Mapping[str, str | None]) -> None:
        self.revision, self.commit, self.texts = revision, commit, texts

    def __getitem__(self, path: str) -> str:
        text = self.texts[path]
        if text is None and self.revision == WORKSPACE:
            raise NotFoundError(f"error: {path}: is missing in the workspace; `dvc repro` makes it")
        if text is None:
            raise NotFoundError(
                f"error: {path}: is missing in {self.revision}; name revisions in which the pipeline has run"
            )
        return text

    @property
    def stages(self) -> dict[str, Any]:
        """What dvc.lock, one of the files, says of the last run of each stage.

        Raises:
            NotFoundError: it is missing or damaged.
        """
        try:
            # DVC's own parser: PyYAML takes 1e-05 for text, and twice as long.
            return dict(YAML(typ="safe").load(self[LOCK])["stages"])
        except (YAMLError, LookupError, TypeError, ValueError):
            raise NotFoundError(
                f"error: {self.revision}: dvc.lock is damaged, got text that DVC did not write; "
                "`git checkout HEAD dvc.lock` restores that of the last commit"
            )


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
