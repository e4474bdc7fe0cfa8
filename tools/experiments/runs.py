"""The runs of the pipeline that Git knows: what they were given and what they gave."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.revisions import NotThereError, experiments, is_scored, read_file
from foundation.repository import flattened

import pandas as pd
import yaml

SEED = "train.seed"


@dataclass(frozen=True)
class Run:
    """One run of the pipeline.

    Attributes:
        name: of the experiment or the revision.
        params: all parameters that its stages had, by dotted name.
        inputs: MD5 of what training read besides, data and code, by path.
        metrics: those of metrics/train.json, and of metrics/test.json if its own model was scored.
        curves: metrics/train.csv, a row per epoch.
    """

    name: str
    params: dict[str, Any]
    inputs: dict[str, str]
    metrics: dict[str, float]
    curves: pd.DataFrame

    @property
    def val_size(self) -> int:
        """How many validation images it had."""
        return int(self.params["preprocess.val_size"])

    def all_but(self, *free: str) -> str:
        """All that its result depends on but some parameters: runs for which it is the same are alike in the rest."""
        fixed = {name: value for name, value in self.params.items() if name not in free}
        return json.dumps([fixed, self.inputs], sort_keys=True, default=str)

    def differences(self, other: "Run") -> str:
        """Its parameters that `other` does not have, but the seed of training."""
        different = [name for name, value in self.params.items() if other.params.get(name) != value and name != SEED]
        others = ["other code or data"] if self.inputs != other.inputs else []
        return " ".join([f"{name}={self.params[name]}" for name in different] + others)


def read_run(revision: str) -> Run:
    """The run whose results a revision holds, named as `read_file` takes it.

    Raises:
        NotThereError: it holds none.
    """
    stages = yaml.safe_load(read_file(revision, "dvc.lock"))["stages"]
    if "train" not in stages:
        raise NotThereError(f"error: dvc.lock: has to have the stage train in {revision}, got {', '.join(stages)}")
    params = {
        name: value
        for stage in stages.values()
        for section in stage.get("params", {}).values()
        for name, value in flattened(section)
    }
    metrics: dict[str, float] = json.loads(read_file(revision, "metrics/train.json"))
    if is_scored(stages):
        metrics |= json.loads(read_file(revision, "metrics/test.json"))
    inputs = {dep["path"]: dep["md5"] for dep in stages["train"]["deps"]}
    return Run(revision, params, inputs, metrics, pd.read_csv(io.StringIO(read_file(revision, "metrics/train.csv"))))


def gather(revisions: Sequence[str]) -> list[Run]:
    """The runs of these revisions; of none, the last commit's and those of all experiments that have results.

    Raises:
        NotThereError: a revision that was named has no results, or HEAD has none.
    """
    runs = [read_run(revision) for revision in revisions or ["HEAD"]]
    skipped = []
    for name in experiments() if not revisions else []:
        try:
            runs.append(read_run(name))
        except NotThereError:
            skipped.append(name)
    if skipped:
        print(f"left out, without results: {', '.join(skipped)}")
    return runs
