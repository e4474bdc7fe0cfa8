"""What the experiments of a sweep or a search are made from.

DVC takes the last commit and the workspace as they are when an experiment begins, so those that a command runs one
after the other are of one kind only if nobody changes anything meanwhile.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.pictures import used_pictures
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

    def difference(self, run: Run, params: Mapping[str, Any]) -> str | None:
        """How a run differs from one that is made from this, with all these parameters; None if it does not."""
        for name, value in run.params.items():
            if value != params.get(name):
                return f"a different {name}, got {value}"
        pictures = used_pictures(params)
        for path, md5 in run.files.items():
            if path.startswith("stages/") and self.code.get(path) != md5:
                return f"different code, got another {path}"
            if path in pictures and self.pictures.get(path) != md5:
                return f"different pictures, got another {path}"
        return None

    def read(self, name: str, params: Mapping[str, Any], stages: Collection[str] | None = None) -> Run:
        """The run of an experiment that has just ended.

        Args:
            name: of the experiment.
            params: all of them, by dotted name.
            stages: those that ran, unless all did.

        Raises:
            TrialError: it was made from something else.
        """
        commit = experiments(self.commit).get(name)
        run = read_run(commit, stages) if commit else None
        problem = self.difference(run, params) if run else "another commit below it"
        if not run or problem:
            raise TrialError(
                f"error: {name}: has {problem}, since something changed while this command ran; undo that and "
                f"`dvc exp remove {name}`, then run the same command again"
            )
        return run


def origin(pictures: dict[str, str]) -> Origin:
    """The last commit and the workspace as they are now, with pictures of which the MD5 is known already."""
    paths = sorted((ROOT / "stages").rglob("*.py"))
    code = {path.relative_to(ROOT).as_posix(): md5_of_file(path) for path in paths}
    return Origin(git("rev-parse", "HEAD") or "", code, pictures)
