"""A trial of a search: parameters that Optuna proposes, and how well a DVC experiment with them does."""

import json
import subprocess
import sys
from typing import Any

from experiments.revisions import read_file
from experiments.search.space import Space
from foundation.command import ROOT

from optuna import TrialPruned
from optuna.samplers import TPESampler
from optuna.trial import Trial

SEED = 0
DIVERGED = "train.lr: the loss is no longer finite"  # says the stage


class TrialError(Exception):
    """A trial failed for a reason that the next one would have, too."""


def objective(trial: Trial, space: Space) -> float:
    """Validation accuracy after training.

    Raises:
        TrialPruned: the loss diverged.
        TrialError: the experiment failed for another reason.
    """
    # Another seed for every trial: processes at the same time, and the next one after an interruption, must not all
    # propose the same. Not multivariate, which would propose before this function is called.
    trial.study.sampler = TPESampler(seed=SEED + trial.number, multivariate=False)
    values = {name: suggest(trial, name, entry) for name, entry in space.items()}
    experiment = f"{trial.study.study_name}-{trial.number}"
    try:
        failure = train(experiment, values)
    except KeyboardInterrupt:
        trial.study.enqueue_trial(trial.params)  # goes on from its checkpoint
        raise
    if failure is None:
        return val_accuracy(experiment)
    if DIVERGED not in failure:
        print(failure, file=sys.stderr)
        raise TrialError(
            f"{experiment}: the experiment failed, got the output above; put that right and search again, with another "
            "--name if the search space changes"
        )
    raise TrialPruned  # so that Optuna learns from it, as it does not from a failure


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


def train(experiment: str, values: dict[str, Any]) -> str | None:
    """Run an experiment up to the stage `train`; what it printed if it failed.

    It runs in a folder of its own: the workspace stays as it is, and others may run at the same time. DVC's queue does
    the same but in the background, where an end, a failure and an interruption would have to be watched for.
    """
    command = ["dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", experiment, *changes(values), "train"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode != 0 else None


def changes(values: dict[str, Any]) -> list[str]:
    """Arguments of `dvc exp run`."""
    return [part for name, value in values.items() for part in ("-S", f"{name}={json.dumps(value)}")]


def val_accuracy(experiment: str) -> float:
    return float(json.loads(read_file(experiment, "metrics/train.json"))["val_accuracy"])
