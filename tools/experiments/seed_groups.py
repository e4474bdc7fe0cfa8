"""Runs that differ in their seed alone, and what they get right."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from digits.foundation.stage import UserError
from experiments.crossed import Crossed, crossed
from experiments.predictions import read_results
from experiments.runs import SEED, gather

Group = dict[int, NDArray[np.int64]]  # for each seed, in their order, the images that are classified correctly: 0 or 1


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
            f"revisions: must differ in more than {SEED} with --seeds, got {', '.join(revisions)}; name a single run "
            "of each recipe"
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
            raise UserError(
                f"{SEED}: {' and '.join(dict.fromkeys((first, name)))} must have two seeds or more"
                f"{' in common' if name != first else ''}, with test results, got {sorted(shared) or 'none'}; "
                f"`dvc exp apply {name}`, then `python tools/sweep.py -S 'train.seed=range(0,6)'` runs more"
            )
    results = read_results([run for runs in names.values() for run in runs.values()])
    correct = {item.name: item.correct.astype(np.int64) for item in results}
    return {name: {seed: correct[runs[seed]] for seed in sorted(runs)} for name, runs in names.items()}
