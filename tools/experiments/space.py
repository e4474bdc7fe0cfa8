"""The search space: a file that gives parameters of params.yaml a range, choices or a fixed value."""

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial

from digits.foundation.params import short_repr
from digits.foundation.stage import UserError
from experiments.task import Proposal
from repository import flat_params, read_mapping

Space = dict[str, Any]  # by the parameter's name: {"low": …, "high": …, "log": …}, a list, or one value


def read_space(path: Path) -> Space:
    """Read a search space; raises a `UserError` that lists all its problems if it has any."""
    space, params = read_mapping(path, "give --space a file like search.yaml"), flat_params()
    problems = [f"\n  {name}: {found}" for name in space if (found := problem_of(name, space[name], params))]
    if not any(isinstance(entry, dict | list) for entry in space.values()):
        problems += [" must have a range or choices, got none; see the comment in the committed search.yaml"]
    if problems:
        raise UserError(f"{path}:{''.join(problems)}")
    if not params.get("preprocess.val_size"):
        raise UserError(
            "preprocess.val_size: must be above 0, since validation images judge the trials, got none; set it in "
            "params.yaml"
        )
    return space


def problem_of(name: Any, entry: Any, params: dict[str, Any]) -> str | None:
    """What is wrong with one parameter of a search space; a wrong fixed value or choice is for train to refuse."""
    if name not in params:
        return "is not a parameter of params.yaml; write its full name, as in train.lr"
    if not name.startswith("train."):
        return "must be in section train, so that the same images judge all trials; set it in params.yaml"
    try:
        suggest(optuna.create_study().ask(), name, entry)
    except (TypeError, ValueError, OverflowError) as error:
        return f"must be a range, choices or a value as in search.yaml, got {short_repr(entry)}: {error}"
    return None


def propose(space: Space, params: dict[str, Any], trial: Trial) -> Proposal:
    """What a trial runs.

    Args:
        params: all parameters, by dotted name; those of `space` replace them.
    """
    # A seed per trial, or concurrent processes, and the first trial after an interruption, would repeat each other's
    # proposals. Not multivariate: that would propose before this function is called.
    trial.study.sampler = TPESampler(seed=trial.number, multivariate=False)
    values = {name: suggest(trial, name, entry) for name, entry in space.items()}
    return Proposal(settings(values), params | values)


def suggest(trial: Trial, name: str, entry: Any) -> Any:
    """The value of a parameter in this trial."""
    match entry:
        case list():
            return trial.suggest_categorical(name, entry)
        case {"low": int(), "high": int()}:
            return trial.suggest_int(name, **entry)
        case dict():
            return trial.suggest_float(name, **entry)
    return entry


def settings(values: dict[str, Any]) -> list[str]:
    """Parameters as `dvc exp run -S` takes them."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]
