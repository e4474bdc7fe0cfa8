"""The user's own pictures, of which experiments that are compared have to have the same."""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from typing import Any

from experiments.revisions import text_or_none
from foundation.command import ROOT
from foundation.repository import git, use_own_environment

from ruamel.yaml import YAML

DRAWINGS = "data/drawings"


def used_pictures(params: Mapping[str, Any]) -> set[str]:
    """The folders of pictures that runs with these parameters, by dotted name, are trained on."""
    own = {str(params["download.folder.path"])} if params.get("download.dataset") == "folder" else set()
    return own | ({DRAWINGS} if params.get("preprocess.drawings") else set())


def recorded_pictures(paths: Collection[str]) -> dict[str, str]:
    """The MD5 that folders of pictures had in the last run here, if there was one with them.

    Exits with an error if experiments would see others: pictures that have changed since, or that Git does not know.
    """
    for path in paths:
        if git("ls-files", "--others", "--exclude-standard", "--", path):
            sys.exit(f"error: {path}: has pictures that experiments do not see; `git add {path}` shows them")
    found = {path: md5 for path, md5 in files_of(recorded_stages()).items() if path in paths}
    if changed := changed_inputs() & {os.path.normpath(ROOT / path) for path in found} if found else set():
        sys.exit(
            f"error: {min(changed)}: has changed since the pipeline ran here; `dvc repro preprocess`, then run the "
            "same command again"
        )
    return found


def recorded_stages() -> dict[str, Any]:
    """What dvc.lock says of the last run in this workspace, stage by stage; nothing if there was none."""
    return dict(YAML(typ="safe").load(text_or_none(ROOT / "dvc.lock") or "{}").get("stages", {}))


def files_of(stages: Mapping[str, Any]) -> dict[str, str]:
    """The MD5 of what stages read and none wrote, by path: code, and the user's own pictures.

    Args:
        stages: those of a dvc.lock.
    """
    made = {out["path"] for stage in stages.values() for out in stage.get("outs", [])}
    deps = [dep for stage in stages.values() for dep in stage.get("deps", [])]
    return {dep["path"]: dep["md5"] for dep in deps if dep["path"] not in made}


def changed_inputs() -> set[str]:
    """The inputs of download and preprocess, as absolute paths, that differ from those of their last run here."""
    use_own_environment()
    command = ["dvc", "--wait-for-lock", "status", "--json", "download", "preprocess"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"error: dvc: `{' '.join(command)}` failed, got\n{done.stderr}")
    entries = [entry for entries in json.loads(done.stdout).values() for entry in entries]
    # Entries that are no dictionaries are about a stage as a whole.
    inputs = [entry.get("changed deps", {}) for entry in entries if isinstance(entry, dict)]
    return {os.path.normpath(ROOT / path) for paths in inputs for path in paths}
