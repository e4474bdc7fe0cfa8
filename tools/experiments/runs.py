"""Runs of the pipeline, as Git has them: parameters, inputs and results."""

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from digits.foundation.stage import UserError
from experiments.revisions import LOCK, Files, experiments, is_current, read_files

SEED = "train.seed"
RESULTS = [LOCK, "metrics/train.json", "metrics/test.json"]


@dataclass(frozen=True)
class Run:
    """One run of the pipeline."""

    name: str  # of the experiment or the revision
    params: dict[str, Any]  # all parameters of its stages, by dotted name
    inputs: dict[str, str]  # the other inputs of training, data and code: MD5 by path
    files: dict[str, str]  # what its stages read and none wrote, code and the user's own pictures: MD5 by path
    metrics: dict[str, float]  # metrics/train.json, and metrics/test.json if it belongs to this run's model

    @property
    def val_size(self) -> int:
        """The number of its validation images."""
        return int(self.params["preprocess.val_size"])

    def key_without(self, *free: str) -> str:
        """Everything its result depends on except some parameters; equal for runs that differ in these alone."""
        fixed = {name: value for name, value in self.params.items() if name not in free}
        return json.dumps([fixed, self.inputs], sort_keys=True, default=str)


def run_of(files: Files, stages_of_it: Collection[str] = ()) -> Run:
    """The run that has written these files, which are those of `RESULTS`; a `UserError` if some cannot be read.

    What dvc.lock says of stages other than `stages_of_it`, if any are given, is left from an earlier run.
    """
    stages = {name: stage for name, stage in files.stages.items() if name in (stages_of_it or files.stages)}
    if "train" not in stages:
        raise UserError(f"dvc.lock: has no stage train in {files.revision}, got {', '.join(stages)}")
    params: dict[str, Any] = {}
    deps: dict[str, str] = {}
    for name, stage in stages.items():
        deps |= stage.deps
        if name != "export":  # which only repeats parameters, and may be left from an earlier run
            params |= stage.params
    made = {path for stage in stages.values() for path in stage.outs}
    read = {path: md5 for path, md5 in deps.items() if path not in made}
    return Run(files.revision, params, stages["train"].deps, read, metrics_of(files, stages))


def metrics_of(files: Files, stages: dict[str, Any]) -> dict[str, float]:
    """The metrics of a run of these stages."""
    metrics: dict[str, float] = {}
    for split in ("train", "test") if is_current(stages, "evaluate") else ("train",):
        path = f"metrics/{split}.json"
        try:
            metrics |= json.loads(files[path])
        except (TypeError, ValueError):
            raise UserError(f"{files.revision}: {path} is damaged, got no metrics; `dvc repro` rewrites it")
    return metrics


def gather(revisions: Sequence[str]) -> list[Run]:
    """The runs of these revisions; without any, that of the last commit and of all experiments that have results.

    Raises a `UserError` if a named revision, or HEAD, has no results.
    """
    runs, skipped = [], []
    for name, files in read_files(revisions or ["HEAD", *experiments()], RESULTS).items():
        try:
            runs.append(run_of(files))
        except UserError:
            if revisions or name == "HEAD":
                raise
            skipped.append(name)
    if skipped:
        print(f"left out, without results: {', '.join(skipped)}", file=sys.stderr)
    return runs
