"""What the members of a study run: every combination of values in a sweep, proposals of a sampler in a search.

A search space is a file that gives parameters of params.yaml a range, choices or a fixed value.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from hydra.errors import HydraException
from optuna.pruners import MedianPruner
from optuna.samplers import PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import Trial

from command import ROOT
from digits.foundation.params import short_repr
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import flattened, parse_yaml
from experiments.study import finished_trials
from experiments.task import Proposal
from repository import flat_params, read_mapping

UNPRUNED = 5  # trials that have a value before any is pruned
Space = dict[str, Any]  # by the parameter's name: {"low": …, "high": …, "log": …}, a list, or one value


def members(settings: Sequence[str], prefix: str) -> dict[str, Proposal]:
    """All combinations of values by name, such as lr=0.01,seed=3, in the order of `dvc exp run --queue`.

    The names begin with `prefix`. Settings are as `dvc exp run --queue -S` takes them, such as train.lr=0.01,0.1 or
    train.seed=range(0,5). Raises a `UserError` if they do not make a sweep of this repository's parameters.
    """
    flat_params()  # or one that cannot be read would be the error of a temporary file
    try:
        sweeps = get_hydra_sweeps({"params.yaml": list(settings)})
    except (DvcException, HydraException) as error:
        problem = str(error).splitlines()[:2]
        raise UserError(f"-S: {', '.join(problem)}; write values as in train.lr=0.01,0.1")
    combinations = list({tuple(sweep["params.yaml"]): None for sweep in sweeps})  # without repetitions
    several = [len(set(values)) > 1 for values in zip(*combinations, strict=True)]
    if not any(several):
        raise UserError(
            f"-S: must have two values or more, got {' '.join(settings)}; write them as in train.lr=0.01,0.1"
        )
    names = [prefix + name_of(list(compress(values, several))) for values in combinations]
    if same := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"-S: must have values with different names, got {same} twice; run them one by one")
    found = [Proposal(list(values), parameters(values)) for values in combinations]
    return dict(zip(names, found, strict=True))


def varied(sweep: Mapping[str, Proposal]) -> list[str]:
    """The parameters of which a sweep has several values."""
    columns = zip(*(member.settings for member in sweep.values()), strict=True)
    return [column[0].partition("=")[0].lstrip("+") for column in columns if len(set(column)) > 1]


def name_of(settings: Sequence[str]) -> str:
    """A name that Git allows: the settings, without the section that most belong to."""
    return re.sub(r"[^\w.,=+-]", "-", ",".join(setting.removeprefix("train.") for setting in settings))


def parameters(settings: Sequence[str]) -> dict[str, Any]:
    """All parameters, by dotted name, of an experiment with these settings."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(ROOT / "params.yaml", folder))
        try:
            apply_overrides(copy, list(settings))
        except DvcException as error:
            problem = str(error.__cause__ or error).splitlines()[0].rstrip(".")
            raise UserError(f"-S: {problem}; write full names of params.yaml, as in train.lr=0.01,0.1")
        return dict(flattened(parse_yaml(copy.read_text(encoding="utf-8"))))


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
            "preprocess.val_size: must be above 0, since validation images judge, got none; set it in params.yaml"
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


@dataclass(frozen=True)
class Sampler:
    """Proposes what the members of a search run, the same whenever, wherever and however often it is asked.

    What it knows of a search that is under way does not depend on which trials happen to be finished.
    """

    space: Space  # what to try
    params: dict[str, Any]  # all parameters, by dotted name; those of `space` replace them
    seed: int  # above 0
    window: int  # a proposal follows from the trials of all members that are so many or more before it, and no others
    prune: int | None = None  # the epoch from which on a training may be ended, judged by the same trials

    def propose(self, trial: Trial, member: str) -> Proposal:
        """What a trial of a member, named NAME-NUMBER, runs; those that it follows from must be finished."""
        name, _, number = member.rpartition("-")
        known = [f"{name}-{earlier}" for earlier in range(int(number) - self.window + 1)]
        seed = int(np.random.SeedSequence([self.seed, int(number)]).generate_state(1)[0])
        pruner = MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=self.prune or 0)
        memory = optuna.create_study(direction="maximize", sampler=TPESampler(seed=seed), pruner=pruner)
        memory.add_trials(finished_trials(trial.study, known))
        twin = memory.ask()
        values = {name: suggest(twin, name, entry) for name, entry in self.space.items()}
        trial.study.sampler = PartialFixedSampler(values, RandomSampler())
        for name, entry in self.space.items():
            suggest(trial, name, entry)
        return Proposal(as_settings(values), self.params | values, twin if self.prune else None)


def suggest(trial: Trial, name: str, entry: Any) -> Any:
    """The value of a parameter in this trial."""
    match entry:
        case list():
            return trial.suggest_categorical(name, entry)
        case {"low": int(), "high": int()}:
            return trial.suggest_int(name, **entry)
        case dict():
            # Without the last bits, since the C library's exp and log differ in them with and without FMA.
            return min(max(float(f"{trial.suggest_float(name, **entry):g}"), entry["low"]), entry["high"])
    return entry


def as_settings(values: dict[str, Any]) -> list[str]:
    """Parameters as `dvc exp run -S` takes them."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]
