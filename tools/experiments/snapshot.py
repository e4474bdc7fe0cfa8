"""What the experiments of a sweep or a search are made from, and what machines must agree on to share them.

DVC takes the last commit and the workspace as they are when an experiment begins, so those that a command runs one
after the other are of one kind only if nobody changes anything meanwhile.
"""

import platform
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, version
from typing import Any

from dvc.dependency import Dependency
from dvc.exceptions import DvcException
from dvc.repo import Repo

from command import ROOT
from digits import dataset
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import flattened
from experiments.runs import Run
from repository import flat_params, git, md5_of_file

WIRING = "dvc.yaml"
CODE = "stages/"
DRAWINGS = str(dataset.DRAWINGS)


@dataclass(frozen=True)
class Snapshot:
    """The last commit, and the workspace's code and pictures, as they are at one moment."""

    commit: str
    files: dict[str, str]  # MD5 of dvc.yaml, of the code that stages depend on, and of the user's pictures, by path

    def difference(self, run: Run, params: Mapping[str, Any]) -> str | None:
        """How a run differs from one that is made from this, with all these parameters; None if it does not."""
        for name, value in run.params.items():
            if value != params.get(name, value):  # a stage of the user's own may have parameters of another file
                return f"a different {name}, got {value}"
        pictures = used_pictures(params)
        for path, md5 in run.files.items():
            if (path in pictures or path.startswith(CODE)) and self.files.get(path) != md5:
                return f"different {'pictures' if path in pictures else 'code'}, got another {path}"
        return None

    def agreement(self, free: Collection[str]) -> dict[str, Any]:
        """All that a trial's result depends on here, except the parameters `free`, each with a name for people.

        Data other than the user's pictures follow from the parameters: archives are checked against published hashes.
        """
        params = {f"parameter {name}": value for name, value in flat_params().items() if name not in free}
        return {"commit": self.commit, **params, **self.files, "Python": platform.python_version(), **libraries()}


def take_snapshot(pictures: Collection[str] = ()) -> Snapshot:
    """The last commit, code and pictures as they are now; a `UserError` if DVC could not run or keep them so."""
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise UserError(
            "Git: has only the last commits here, with which DVC keeps no experiments; `git fetch --unshallow`"
        )
    if not str(ROOT).isascii() or set("#?%{}") & set(str(ROOT)):
        raise UserError(f"{ROOT}: DVC runs no `--temp` in a folder of such a name, which must be ASCII without #?%{{}}")
    try:
        with Repo(str(ROOT)) as repo:
            code = {dep.def_path for dep in repo.index.deps if dep.def_path.startswith(CODE)}
            there = [path for path in (*sorted(code), *sorted(pictures)) if (ROOT / path).exists()]
            for path in there:
                refuse_hidden(path, repo)
            files = {path: Dependency(None, str(ROOT / path), repo=repo).get_hash().value for path in there}
    except DvcException as error:
        raise UserError(f"{WIRING}: cannot be used, got {str(error).splitlines()[0]}; `dvc status` says what is wrong")
    return Snapshot(git("rev-parse", "HEAD") or "", {WIRING: md5_of_file(ROOT / WIRING)} | files)


def used_pictures(params: Mapping[str, Any]) -> set[str]:
    """The folders of pictures that runs with these parameters, by dotted name, are trained on."""
    own = {str(params["download.folder.path"])} if params.get("download.dataset") == "folder" else set()
    return own | ({DRAWINGS} if params.get("preprocess.drawings") else set())


def refuse_hidden(path: str, repo: Repo) -> None:
    """Raise a `UserError` if a path has files that neither Git nor DVC knows, which experiments would not see."""
    listed = (git("ls-files", "-z", "--others", "--", path) or "").split("\0")
    hidden = [file for file in listed if file and not repo.dvcignore.is_ignored_file(str(ROOT / file))]
    outs = [out.fs_path for out in repo.index.outs] if hidden else []
    hidden = [file for file in hidden if not any((ROOT / file).is_relative_to(out) for out in outs)]
    if hidden:
        more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
        raise UserError(
            f"{path}: experiments would lack {', '.join(hidden[:3])}{more}; `git add -f {path}`, or `dvc add` for many "
            "pictures, hands them on"
        )


def libraries() -> dict[str, str]:
    """The installed versions of the packages in requirements.txt, some of which only certain pictures need."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    return {name: version(name) if any(Distribution.discover(name=name)) else "none" for name in names}


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """A line for each entry in which two agreements differ."""
    there, here = (dict(flattened(values)) for values in (there, here))
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return [f"{name}: {there.get(name, 'none')} there, {here.get(name, 'none')} here" for name in names]
