"""Files of the workspace, of a commit, or of a DVC experiment."""

import io
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from command import ROOT
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import LockedStage, parse_lock
from repository import git, printed_by

WORKSPACE = "workspace"  # DVC's own name for it
LOCK = "dvc.lock"
MODEL = "models/model.safetensors"


@dataclass(frozen=True)
class Files:
    """Texts of files in a revision, by path."""

    revision: str  # its name
    commit: str | None  # None for the workspace
    texts: Mapping[str, str | None]  # a file that is missing has None, or no entry

    def __getitem__(self, path: str) -> str:
        """The text of a file; raises a `UserError` if the revision does not have it."""
        text = self.texts.get(path)
        if text is None:
            here = self.revision == WORKSPACE
            advice = "`dvc repro` makes it" if here else "name revisions in which the pipeline has run"
            raise UserError(f"{path}: is missing in {'the ' if here else ''}{self.revision}; {advice}")
        return text

    @cached_property
    def stages(self) -> dict[str, LockedStage]:
        """What dvc.lock, one of the files, says of the last run of each stage; a `UserError` if it cannot be read."""
        return parse_lock(self[LOCK], self.revision)


def read_files(revisions: Collection[str], paths: Sequence[str]) -> dict[str, Files]:
    """Files of revisions, by revision, in one call of Git for all contents; paths are relative to the project's root.

    A revision is "workspace", the name of an experiment, or what Git accepts for a commit; else raises a `UserError`.
    """
    known = experiments()
    commits = {revision: known.get(revision) or commit_of(revision) for revision in revisions if revision != WORKSPACE}
    texts = read_objects([f"{commit}:./{path}" for commit in commits.values() for path in paths])
    found = {name: Files(name, commit, {path: next(texts) for path in paths}) for name, commit in commits.items()}
    if WORKSPACE in revisions:
        there = [path for path in paths if (ROOT / path).is_file()]
        here = {path: (ROOT / path).read_text(encoding="utf-8", errors="replace") for path in there}
        found[WORKSPACE] = Files(WORKSPACE, None, here)
    return found


def commit_of(revision: str) -> str:
    commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not commit or not commit.isalnum():  # Git takes ^HEAD for all that is not in HEAD
        raise UserError(
            f"revision: must be a commit, an experiment or {WORKSPACE}, got {revision}; see `dvc exp list -A`"
        )
    return commit


def read_objects(names: Sequence[str]) -> Iterator[str | None]:
    """The texts of Git's objects, such as HEAD:./dvc.lock; None for one that does not exist."""
    done = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=ROOT, input="\n".join(names).encode(), stdout=subprocess.PIPE, check=True
    )
    output = io.BytesIO(done.stdout)
    for _ in names:
        *_, last = output.readline().split()  # the object's hash, kind and size, or its name and "missing"
        yield None if last == b"missing" else output.read(int(last) + 1)[:-1].decode(errors="replace")


def experiments(base: str = "") -> dict[str, str]:
    """The commit of every experiment, or of those of the commit `base`, by name; of two with one name, the latest."""
    of = git("rev-parse", base) if base else None
    pattern = f"refs/exps/{of[:2]}/{of[2:]}/*" if of else "refs/exps/??/*/*"
    form = "--format=%(refname:lstrip=4) %(objectname)"
    listed = printed_by("git", "for-each-ref", "--sort=creatordate", form, pattern)
    return dict(line.rsplit(" ", 1) for line in listed.splitlines())


def is_current(stages: Mapping[str, LockedStage], later: str) -> bool:
    """Whether what a stage after train has written belongs to the model, by the stages of a dvc.lock.

    A run of `train` alone, such as a trial of a search, keeps the test results of the model before.
    """
    return {"train", later} <= stages.keys() and stages["train"].outs.get(MODEL) == stages[later].deps.get(MODEL)
