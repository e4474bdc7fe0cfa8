"""Files of the workspace, of a commit, or of a DVC experiment."""

from collections.abc import Mapping
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
    if revision == WORKSPACE:
        try:
            return (ROOT / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NotFoundError(f"error: {path}: is missing in the workspace; `dvc repro` makes it")
    commit = experiments().get(revision) or git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if not commit:
        raise NotFoundError(
            f"error: revision: has to be a commit, an experiment or {WORKSPACE}, got {revision}; see `dvc exp list -A`"
        )
    text = git("show", f"{commit}:{path}")
    if text is None:
        raise NotFoundError(f"error: {path}: is missing in {revision}; name revisions in which the pipeline has run")
    return text


def experiments() -> dict[str, str]:
    """The commit of every experiment by its name; of two with the same name, the latest."""
    listed = git("for-each-ref", "--sort=creatordate", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps/??/*/*")
    return dict(line.rsplit(" ", 1) for line in (listed or "").splitlines())


def is_scored(stages: Mapping[str, Any]) -> bool:
    """Whether the test results belong to the model, by the stages of a dvc.lock.

    A run of `train` alone, such as a trial of a search, keeps the test results of the model before.
    """
    if not {"train", "evaluate"} <= set(stages):
        return False
    trained, scored = (
        {entry["path"]: entry["md5"] for entry in stages[stage][kind]}.get(MODEL)
        for stage, kind in (("train", "outs"), ("evaluate", "deps"))
    )
    return trained == scored
