"""A trial of a search: Optuna proposes parameters, and a DVC experiment is trained with them."""

import json
import sys
from typing import Any

from experiments.launch.experiment import DIVERGED, run_experiment
from experiments.revisions import read_file
from experiments.search.space import Space

from optuna import TrialPruned
from optuna.samplers import TPESampler
from optuna.trial import Trial

SEED = 0


class TrialError(Exception):
    """A trial failed for a reason that would fail the next one, too."""


def objective(trial: Trial, space: Space) -> float:
    """Validation accuracy after training.

    Raises:
        TrialPruned: the loss diverged.
        TrialError: the experiment failed for another reason.
    """
    # A seed per trial, or concurrent processes, and the first trial after an interruption, would repeat each other's
    # proposals. Not multivariate: that would propose before this function is called.
    trial.study.sampler = TPESampler(seed=SEED + trial.number, multivariate=False)
    values = {name: suggest(trial, name, entry) for name, entry in space.items()}
    experiment = f"{trial.study.study_name}-{trial.number}"
    try:
        failure = run_experiment(experiment, settings(values), "train")
    except KeyboardInterrupt:
        trial.study.enqueue_trial(trial.params)  # to continue from its checkpoint
        raise
    if failure is None:
        return val_accuracy(experiment)
    if DIVERGED not in failure:
        print(failure, file=sys.stderr)
        raise TrialError(
            f"{experiment}: the experiment failed, got the output above; fix that and run the same command again, with "
            "another --name if the search space changes"
        )
    raise TrialPruned  # not a failure, from which Optuna would not learn


def suggest(trial: Trial, name: str, entry: Any) -> Any:
    """The value of a parameter in this trial."""
    match entry:
        case list():
            return trial.suggest_categorical(name, entry)
        case {"low": int(low), "high": int(high)}:
            return trial.suggest_int(name, low, high, log=entry.get("log", False))
        case {"low": low, "high": high}:
            return trial.suggest_float(name, low, high, log=entry.get("log", False))
        case _:
            return entry


def settings(values: dict[str, Any]) -> list[str]:
    """Parameters as `dvc exp run -S` takes them."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def val_accuracy(experiment: str) -> float:
    return float(json.loads(read_file(experiment, "metrics/train.json"))["val_accuracy"])
