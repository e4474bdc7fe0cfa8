"""Runs of the pipeline, as Git has them: parameters, inputs and results."""

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.revisions import NotFoundError, experiments, is_scored, read_file
from foundation.repository import flattened

import pandas as pd
import yaml

SEED = "train.seed"


@dataclass(frozen=True)
class Run:
    """One run of the pipeline.

    Attributes:
        name: that of the experiment or the revision.
        params: all parameters of its stages, by dotted name.
        inputs: the other inputs of training, data and code: MD5 by path.
        metrics: metrics/train.json, and metrics/test.json if it belongs to this run's model.
        curves: metrics/train.csv, a row per epoch.
    """

    name: str
    params: dict[str, Any]
    inputs: dict[str, str]
    metrics: dict[str, float]
    curves: pd.DataFrame

    @property
    def val_size(self) -> int:
        """The number of its validation images."""
        return int(self.params["preprocess.val_size"])

    def key_without(self, *free: str) -> str:
        """Everything its result depends on except some parameters; equal for runs that differ in these alone."""
        fixed = {name: value for name, value in self.params.items() if name not in free}
        return json.dumps([fixed, self.inputs], sort_keys=True, default=str)

    def changes(self, base: "Run") -> dict[str, Any]:
        """The parameters, except train.seed, in which it differs from `base`."""
        return {name: value for name, value in self.params.items() if base.params.get(name) != value and name != SEED}


def read_run(revision: str) -> Run:
    """The run whose results a revision, as in `read_file`, holds.

    Raises:
        NotFoundError: it holds none.
    """
    stages = yaml.safe_load(read_file(revision, "dvc.lock"))["stages"]
    if "train" not in stages:
        raise NotFoundError(f"error: dvc.lock: has no stage train in {revision}, got {', '.join(stages)}")
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
    """The runs of these revisions; without any, that of the last commit and of all experiments that have results.

    Raises:
        NotFoundError: a named revision, or HEAD, has no results.
    """
    runs = [read_run(revision) for revision in revisions or ["HEAD"]]
    skipped = []
    for name in experiments() if not revisions else []:
        try:
            runs.append(read_run(name))
        except NotFoundError:
            skipped.append(name)
    if skipped:
        print(f"left out, without results: {', '.join(skipped)}", file=sys.stderr)
    return runs
