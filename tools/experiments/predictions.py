"""What revisions predicted for the test images, alone, or together with runs that differ in their seed alone."""

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits.foundation.stage import UserError
from digits.scoring import score
from experiments.crossed import Crossed, crossed
from experiments.revisions import LOCK, WORKSPACE, Files, experiments, is_current, read_files
from experiments.runs import SEED, gather

PREDICTIONS, TRAINING = "metrics/predictions.csv", "metrics/train.json"
TEST = "data/tensors/test.safetensors"
Group = dict[int, NDArray[np.int64]]  # for each seed, in their order, the images that are classified correctly: 0 or 1


class Results(NamedTuple):
    """A revision, the MD5 of its test images, and the actual and the predicted class of each."""

    name: str
    md5: str
    actual: list[str]
    predicted: list[str]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether it gets each image right: (images,)."""
        return np.array([actual == predicted for actual, predicted in zip(self.actual, self.predicted, strict=True)])

    def score(self) -> dict[str, Any]:
        """Its name, and what `digits.scoring.score` says of it."""
        return {"name": self.name, **score(int(self.correct.sum()), len(self.actual))}


def read_results(revisions: Sequence[str]) -> list[Results]:
    """What these revisions predicted, all for the same test images.

    Raises a `UserError` if results are missing, damaged, from another model, or for other images than the first's.
    """
    files = read_files(revisions, [TRAINING, PREDICTIONS, LOCK])
    results = [results_of(files[revision]) for revision in revisions]
    first, *others = results
    for other in others:
        if (other.md5, other.actual) != (first.md5, first.actual):
            raise UserError(
                f"{TEST}: must be the same in all revisions, got different ones in {other.name} and "
                f"{first.name}; compare revisions with the same parameters in section download"
            )
    return results


def results_of(files: Files) -> Results:
    """The predictions among these files of a revision; raises a `UserError` if they are not those of its model."""
    revision = files.revision
    _ = files[TRAINING]  # which is missing while a training runs, or if it was interrupted
    if not is_current(files.stages, "evaluate"):
        checkout = f"dvc exp apply {revision}; " if revision in experiments() else f"git checkout {revision} && "
        raise UserError(
            f"{PREDICTIONS}: must come from the model of {revision}, got predictions of an earlier one; "
            f"`{'' if revision == WORKSPACE else checkout}dvc repro` scores it in the workspace"
        )
    try:
        rows = list(csv.DictReader(io.StringIO(files[PREDICTIONS])))
    except csv.Error:
        rows = []
    actual, predicted = ([row.get(column) or "" for row in rows] for column in ("actual", "predicted"))
    md5 = files.stages["evaluate"].deps.get(TEST)
    if not rows or not all(actual + predicted) or not md5:
        raise UserError(
            f"{revision}: {PREDICTIONS} or {LOCK} is damaged, got no predictions or no hash of their images; "
            "`dvc repro` rewrites both"
        )
    return Results(revision, md5, actual, predicted)


def model_of(group: Group) -> Crossed:
    """The model of its accuracy."""
    return crossed(np.array([*group.values()]))


def read_groups(revisions: Sequence[str]) -> dict[str, Group]:
    """The group of each revision: it, and all scored runs of the last commit and of experiments that are alike.

    Raises a `UserError` if two groups are the same or have less than two seeds in common, and what `read_results` does.
    """
    scored = [run for run in gather([]) if "accuracy" in run.metrics]
    named = {run.name: run for run in gather(revisions)}
    if without := [name for name, run in named.items() if SEED not in run.params]:
        raise UserError(f"dvc.lock: must say the {SEED} of {without[0]}, got none; `dvc repro` writes it")
    if len({run.key_without(SEED) for run in named.values()}) < len(revisions):
        raise UserError(
            f"revisions: must differ in more than {SEED}, got {', '.join(revisions)}; name a single run of each recipe"
        )
    names = {
        name: {
            run.params[SEED]: run.name
            for run in [*scored, named[name]]
            if run.key_without(SEED) == named[name].key_without(SEED)
        }
        for name in revisions
    }
    first = revisions[0]
    for name, runs in names.items():
        if len(shared := runs.keys() & names[first].keys()) < 2:
            apply = f"`dvc exp apply {name}`, then " if name in experiments() else ""
            raise UserError(
                f"{SEED}: {' and '.join(dict.fromkeys((first, name)))} must have two seeds or more"
                f"{' in common' if name != first else ''}, with test results, got {sorted(shared) or 'none'}; "
                f"{apply}`python tools/sweep.py -S 'train.seed=range(0,6)'` runs more"
            )
    results = read_results([run for runs in names.values() for run in runs.values()])
    correct = {item.name: item.correct.astype(np.int64) for item in results}
    return {name: {seed: correct[runs[seed]] for seed in sorted(runs)} for name, runs in names.items()}
