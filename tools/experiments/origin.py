"""What the experiments of a sweep or a search are made from.

DVC takes the last commit and the workspace as they are when an experiment begins, so those that a command runs one
after the other are of one kind only if nobody changes anything meanwhile.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.revisions import experiments
from experiments.runs import Run, read_run
from experiments.study.study import TrialError
from foundation.command import ROOT
from foundation.repository import git, md5_of_file


@dataclass(frozen=True)
class Origin:
    """The last commit, and the workspace's code and pictures.

    Attributes:
        commit: the last one.
        code: MD5 of every script and module of the stages, by path.
        pictures: MD5 of folders of the user's own pictures, by path.
    """

    commit: str
    code: dict[str, str]
    pictures: dict[str, str]

    def difference(self, run: Run, params: Mapping[str, Any], used: Collection[str]) -> str | None:
        """How a run differs from one that is made from this, with these parameters; None if it does not.

        Args:
            params: all of them, by dotted name.
            used: the folders of pictures that they use.
        """
        for name, value in run.params.items():
            if value != params.get(name):
                return f"a different {name}, got {value}"
        for path, md5 in run.files.items():
            if path.startswith("stages/") and self.code.get(path) != md5:
                return f"different code, got another {path}"
            if path in used and self.pictures.get(path, md5) != md5:
                return f"different pictures, got another {path}"
        return None

    def read(
        self, name: str, params: Mapping[str, Any], used: Collection[str], stages: Collection[str] | None = None
    ) -> Run:
        """The run of an experiment that has just ended.

        Args:
            name: of the experiment.
            params, used: as in `difference`.
            stages: those that ran, unless all did.

        Raises:
            TrialError: it was made from something else.
        """
        run = read_run(name, stages)
        known = name in experiments(self.commit)
        if problem := self.difference(run, params, used) if known else "another commit below it":
            raise TrialError(
                f"error: {name}: has {problem}, since something changed while this command ran; undo that and "
                f"`dvc exp remove {name}`, then run the same command again"
            )
        return run


def origin(pictures: dict[str, str]) -> Origin:
    """The last commit and the workspace as they are now, with pictures that have been looked up already."""
    paths = sorted((ROOT / "stages").rglob("*.py"))
    code = {path.relative_to(ROOT).as_posix(): md5_of_file(path) for path in paths}
    return Origin(git("rev-parse", "HEAD") or "", code, pictures)
