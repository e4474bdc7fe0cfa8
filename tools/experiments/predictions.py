"""What revisions predicted for the test images."""

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits.foundation.stage import UserError
from digits.scoring import score
from experiments.revisions import LOCK, WORKSPACE, Files, experiments, is_current, read_files

PREDICTIONS, TRAINING = "metrics/predictions.csv", "metrics/train.json"
TEST = "data/tensors/test.safetensors"


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
