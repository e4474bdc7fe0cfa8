"""The data that a training reads: what it was in the last run here, and whether the user's own has changed since."""

import json
import subprocess
import sys
from typing import Any

from experiments.revisions import text_or_none
from foundation.command import ROOT
from foundation.repository import use_own_environment

from ruamel.yaml import YAML


def recorded_data() -> dict[str, str]:
    """The MD5 of the files that train read in its last run in this workspace, by path."""
    lock = YAML(typ="safe").load(text_or_none(ROOT / "dvc.lock") or "{}")
    deps = lock.get("stages", {}).get("train", {}).get("deps", [])
    return {dep["path"]: dep["md5"] for dep in deps if dep["path"].startswith("data/")}


def check_data() -> bool:
    """Whether `recorded_data` is what these parameters give.

    Exits with an error if pictures have changed: earlier experiments, and the next ones, would be of different data.
    """
    changes = changed_inputs()
    if path := next((path for path, change in changes.items() if change == "modified" and path[:7] != "stages/"), None):
        sys.exit(
            f"error: {path}: has changed since the pipeline ran here, so that new experiments would be of other data "
            "than earlier ones; `dvc repro preprocess`, then run the same command again"
        )
    return not changes


def changed_inputs() -> dict[str, Any]:
    """The inputs of download and preprocess that differ from those of their last run here, each with DVC's word."""
    use_own_environment()
    command = ["dvc", "status", "--json", "download", "preprocess"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    stages = json.loads(done.stdout) if done.returncode == 0 else {}
    return {
        path: change
        for entries in stages.values()
        for entry in entries
        if isinstance(entry, dict)  # others are about the stage as a whole
        for path, change in entry.get("changed deps", {}).items()
    }
