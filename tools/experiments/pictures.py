"""The user's own pictures, of which experiments that are compared have to have the same."""

import sys
from collections.abc import Collection, Mapping
from typing import Any

from foundation.command import ROOT
from foundation.repository import git

DRAWINGS = "data/drawings"


def used_pictures(params: Mapping[str, Any]) -> set[str]:
    """The folders of pictures that runs with these parameters, by dotted name, are trained on."""
    own = {str(params["download.folder.path"])} if params.get("download.dataset") == "folder" else set()
    return own | ({DRAWINGS} if params.get("preprocess.drawings") else set())


def md5_of_pictures(paths: Collection[str]) -> dict[str, str]:
    """The MD5 by which DVC knows folders of pictures, as they are now, by path; without those that do not exist.

    Exits with an error if they have pictures that Git does not know, which experiments would not see.
    """
    for path in paths:
        if git("ls-files", "--others", "--exclude-standard", "--", path):
            sys.exit(f"error: {path}: has pictures that experiments do not see; `git add {path}` shows them")
    if not paths:
        return {}
    from dvc.dependency import Dependency  # here, since DVC loads slowly
    from dvc.repo import Repo

    there = [path for path in paths if (ROOT / path).is_dir()]
    with Repo(str(ROOT)) as repo:
        return {path: Dependency(None, str(ROOT / path), repo=repo).get_hash().value for path in there}
