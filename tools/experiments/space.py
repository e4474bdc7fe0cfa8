"""The search space: a file that gives parameters of params.yaml a range, choices or a fixed value."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.samplers import TPESampler
from optuna.trial import Trial

from digits.foundation.stage import UserError
from experiments.trial import Proposal
from repository import flat_params, read_mapping

Space = dict[str, Any]  # by the parameter's name: {"low": …, "high": …, "log": …}, a list, or one value


def read_space(path: Path) -> Space:
    """Read a search space; raises a `UserError` that lists all its problems if it has any."""
    space, params = read_mapping(path, "give --space a file like search.yaml"), flat_params()
    problems = [f"\n  {name}: {problem}" for name in space for problem in problems_of(name, space[name], params)]
    if not problems and not any(is_searched(entry) for entry in space.values()):
        problems = [" must have a range or choices, got none; see the comment in the committed search.yaml"]
    if problems:
        raise UserError(f"{path}:{''.join(problems)}")
    val_size = params.get("preprocess.val_size", 0)
    if not is_number(val_size) or val_size <= 0:
        raise UserError(
            "preprocess.val_size: must be above 0, since validation images judge the trials, got "
            f"{val_size}; set it in params.yaml"
        )
    return space


def problems_of(name: Any, entry: Any, params: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one parameter of a search space."""
    if name not in params:
        yield "is not a parameter of params.yaml; write its full name, as in train.lr"
    elif not name.startswith("train."):
        yield "must be in section train, so that the same images judge all trials; set it in params.yaml"
    if isinstance(entry, dict):
        yield from problems_of_range(entry)
    elif isinstance(entry, list):
        if not entry or not all(map(is_plain, entry)) or len(set(map(repr, entry))) < len(entry):
            yield f"choices must be one or more different plain values, got {entry}"
    elif not is_plain(entry):
        yield f"must be a range, a list of choices, or a plain value, got {entry!r}"


def problems_of_range(entry: dict[Any, Any]) -> Iterator[str]:
    low, high, log = (entry.get(key, False) for key in ("low", "high", "log"))
    if not {"low", "high"} <= set(entry) <= {"low", "high", "log"}:
        yield f"a range must have low and high, may have log, and nothing else, got {entry}"
    elif not (is_number(low) and is_number(high) and low < high):
        yield f"low and high must be numbers, low below high, got {low!r} and {high!r}"
    elif not isinstance(log, bool):
        yield f"log must be true or false, got {log!r}"
    elif log and low <= 0:
        yield f"with log: true, low must be above 0, got {low}"


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
        case {"low": int(low), "high": int(high)}:
            return trial.suggest_int(name, low, high, log=entry.get("log", False))
        case {"low": low, "high": high}:
            return trial.suggest_float(name, low, high, log=entry.get("log", False))
        case _:
            return entry


def settings(values: dict[str, Any]) -> list[str]:
    """Parameters as `dvc exp run -S` takes them."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def is_searched(entry: Any) -> bool:
    return isinstance(entry, dict | list)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_plain(value: Any) -> bool:
    return isinstance(value, str | bool) or is_number(value)
