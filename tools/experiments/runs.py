"""Runs of the pipeline, as Git has them: parameters, inputs and results."""

import io
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.revisions import LOCK, Files, NotFoundError, experiments, is_current, read_files
from foundation.repository import flattened

if TYPE_CHECKING:
    import pandas as pd

SEED = "train.seed"
RESULTS = [LOCK, "metrics/train.json", "metrics/test.json", "metrics/train.csv"]


@dataclass(frozen=True)
class Run:
    """One run of the pipeline.

    Attributes:
        name: that of the experiment or the revision.
        params: all parameters of its stages, by dotted name.
        inputs: the other inputs of training, data and code: MD5 by path.
        files: what its stages read and none wrote, code and the user's own pictures: MD5 by path.
        metrics: metrics/train.json, and metrics/test.json if it belongs to this run's model.
        csv: the text of metrics/train.csv.
    """

    name: str
    params: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, str]
    metrics: dict[str, float]
    csv: str

    @property
    def curves(self) -> "pd.DataFrame":
        """What metrics/train.csv holds, a row per epoch."""
        import pandas as pd  # here, since it loads slowly, and most commands do without

        return pd.read_csv(io.StringIO(self.csv))

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


def read_run(revision: str, stages: Collection[str] | None = None) -> Run:
    """The run whose results a revision, as in `read_files`, holds.

    Args:
        stages: those that belong to it, unless all do; what dvc.lock says of the others is left from an earlier run.

    Raises:
        NotFoundError: it holds none.
    """
    return run_of(read_files([revision], RESULTS)[revision], stages)


def run_of(files: Files, stages_of_it: Collection[str] | None = None) -> Run:
    """The run that has written these files, which are those of `RESULTS`.

    Args:
        stages_of_it: as in `read_run`.

    Raises:
        NotFoundError: some are missing or damaged.
    """
    stages = {name: entry for name, entry in files.stages.items() if stages_of_it is None or name in stages_of_it}
    if "train" not in stages:
        raise NotFoundError(f"error: dvc.lock: has no stage train in {files.revision}, got {', '.join(stages)}")
    params = {
        name: value
        for stage, entry in stages.items()
        if stage != "export"  # which only repeats them, and may be left from an earlier run
        for section in entry.get("params", {}).values()
        for name, value in flattened(section)
    }
    metrics: dict[str, float] = {}
    for split in ("train", "test") if is_current(stages, "evaluate") else ("train",):
        path = f"metrics/{split}.json"
        try:
            metrics |= json.loads(files[path])
        except ValueError:
            raise NotFoundError(f"error: {files.revision}: {path} is damaged, got no JSON; `dvc repro` rewrites it")
    inputs = {dep["path"]: dep["md5"] for dep in stages["train"]["deps"]}
    return Run(files.revision, params, inputs, files_of(stages), metrics, files["metrics/train.csv"])


def files_of(stages: Mapping[str, Any]) -> dict[str, str]:
    """The MD5 of what stages read and none wrote, by path: code, and the user's own pictures.

    Args:
        stages: those of a dvc.lock.
    """
    made = {out["path"] for stage in stages.values() for out in stage.get("outs", [])}
    deps = [dep for stage in stages.values() for dep in stage.get("deps", [])]
    return {dep["path"]: dep["md5"] for dep in deps if dep["path"] not in made}


def gather(revisions: Sequence[str]) -> list[Run]:
    """The runs of these revisions; without any, that of the last commit and of all experiments that have results.

    Raises:
        NotFoundError: a named revision, or HEAD, has no results.
    """
    wanted = list(revisions or ["HEAD"])
    others = [] if revisions else list(experiments())
    files = read_files([*wanted, *others], RESULTS)
    runs, skipped = [run_of(files[name]) for name in wanted], []
    for name in others:
        try:
            runs.append(run_of(files[name]))
        except NotFoundError:
            skipped.append(name)
    if skipped:
        print(f"left out, without results: {', '.join(skipped)}", file=sys.stderr)
    return runs
