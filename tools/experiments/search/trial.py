"""A trial of a search: Optuna proposes parameters, and a DVC experiment is trained with them."""

import json
import math
import re
from functools import partial
from typing import Any

from experiments.launch.experiment import DIVERGED, run_experiment
from experiments.origin import Origin
from experiments.search.space import Space
from experiments.study.remote import push
from experiments.study.study import TrialError

from optuna import TrialPruned
from optuna.samplers import TPESampler
from optuna.trial import Trial

SEED = 0
STAGES = "download", "preprocess", "train"  # those of a trial
# The line of train after an epoch with its validation accuracy.
EPOCH = re.compile(r"epoch +(\d+)/.* val loss \S+ acc (\S+) ")


def objective(
    trial: Trial, space: Space, prune: bool, remote: str | None, origin: Origin, params: dict[str, Any]
) -> float:
    """Validation accuracy after training.

    Args:
        prune: whether the study's pruner may end the training.
        remote: the Git remote to push the experiment to, if any.
        origin: what the experiment is made from.
        params: all parameters, by dotted name; those of `space` replace them.

    Raises:
        TrialPruned: the pruner ended the training; or the loss diverged, and the trial has no value.
        TrialError: the experiment failed for another reason, or was made from something else than `origin`.
        PushError: it could not be pushed.
    """
    # A seed per trial, or concurrent processes, and the first trial after an interruption, would repeat each other's
    # proposals. Not multivariate: that would propose before this function is called.
    trial.study.sampler = TPESampler(seed=SEED + trial.number, multivariate=False)
    values = {name: suggest(trial, name, entry) for name, entry in space.items()}
    experiment = f"{trial.study.study_name}-{trial.number}"
    watch = partial(report_epoch, trial) if prune else None
    failure = run_experiment(experiment, settings(values), STAGES[-1], watch=watch)
    if failure is None:
        val_accuracy = origin.read(experiment, params | values, STAGES).metrics["val_accuracy"]
        if remote:
            push(experiment, remote)
        return val_accuracy
    if DIVERGED not in failure:
        raise TrialError(
            f"{failure}\nerror: {experiment}: the experiment failed, got the output above; fix that and run the same "
            "command again, with another --name if the search space changes"
        )
    last = trial.study.get_trials(deepcopy=False)[trial.number].last_step
    if last is not None:
        trial.report(math.nan, last + 1)  # or Optuna would take the last accuracy for the value
    raise TrialPruned  # not a failure, from which Optuna would not learn


def report_epoch(trial: Trial, line: str) -> None:
    """Tell the pruner about an epoch, if this line of train is about one.

    Raises:
        TrialPruned: the pruner wants no more.
    """
    if match := EPOCH.match(line):
        trial.report(float(match[2]), int(match[1]))
        if trial.should_prune():
            raise TrialPruned


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
