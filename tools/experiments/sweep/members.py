"""The members of a sweep: one experiment for every combination of values."""

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from experiments.origin import Origin
from experiments.revisions import experiments
from experiments.runs import gather
from foundation.command import ROOT
from foundation.repository import flat_params, flattened

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from hydra.errors import HydraException
from ruamel.yaml import YAML


@dataclass(frozen=True)
class Member:
    """One experiment of a sweep.

    Attributes:
        name: such as lr=0.01,seed=3.
        settings: parameters, as `dvc exp run -S` takes them.
        params: all parameters, by dotted name.
    """

    name: str
    settings: list[str]
    params: dict[str, Any]


def members(settings: Sequence[str], prefix: str) -> list[Member]:
    """All combinations of values, in the order in which `dvc exp run --queue` runs them.

    Args:
        settings: as `dvc exp run --queue -S` takes them, such as train.lr=0.01,0.1 or train.seed=range(0,5).
        prefix: of the names.

    Exits with an error if they make no sweep of this repository's parameters.
    """
    flat_params()  # or one that cannot be read would be the error of a temporary file
    try:
        sweeps = get_hydra_sweeps({"params.yaml": list(settings)})
    except (DvcException, HydraException) as error:
        problem = str(error).splitlines()[:2]
        sys.exit(f"error: -S: {', '.join(problem)}; write values as in train.lr=0.01,0.1")
    combinations = list({tuple(sweep["params.yaml"]): None for sweep in sweeps})  # without repetitions
    several = [len(set(values)) > 1 for values in zip(*combinations, strict=True)]
    if not any(several):
        sys.exit(
            f"error: -S: has to have two values or more, got {' '.join(settings)}; write them as in train.lr=0.01,0.1"
        )
    found = [
        Member(prefix + name_of(list(compress(values, several))), list(values), parameters(values))
        for values in combinations
    ]
    names = [member.name for member in found]
    if same := next((name for name in names if names.count(name) > 1), None):
        sys.exit(f"error: -S: has to have values with different names, got {same} twice; run them one by one")
    return found


def varied(sweep: Sequence[Member]) -> list[str]:
    """The parameters of which a sweep has several values."""
    columns = zip(*(member.settings for member in sweep), strict=True)
    return [column[0].partition("=")[0].lstrip("+") for column in columns if len(set(column)) > 1]


def name_of(settings: Sequence[str]) -> str:
    """A name that Git allows: the settings, without the section that most belong to."""
    return re.sub(r"[^\w.,=+-]", "-", ",".join(setting.removeprefix("train.") for setting in settings))


def finished(sweep: Sequence[Member], origin: Origin) -> list[str]:
    """The names of the members that the last commit has as experiments.

    Exits with an error if it has an experiment of such a name with other parameters, code or pictures.
    """
    names = experiments(origin.commit)
    there = [member for member in sweep if member.name in names]
    for member, run in zip(there, gather([names[member.name] for member in there]) if there else [], strict=True):
        if problem := origin.difference(run, member.params):
            sys.exit(
                f"error: {member.name}: the experiment of that name has {problem}; `--name` gives the names a prefix, "
                f"`dvc exp remove {member.name}` deletes it"
            )
    return [member.name for member in there]


def parameters(settings: Sequence[str]) -> dict[str, Any]:
    """All parameters, by dotted name, of an experiment with these settings."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(ROOT / "params.yaml", folder))
        try:
            apply_overrides(copy, list(settings))
        except DvcException as error:
            problem = str(error.__cause__ or error).splitlines()[0].rstrip(".")
            sys.exit(f"error: -S: {problem}; write full names of params.yaml, as in train.lr=0.01,0.1")
        return dict(flattened(YAML(typ="safe").load(copy)))
