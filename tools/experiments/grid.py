"""The members of a sweep: one experiment for every combination of values."""

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from hydra.errors import HydraException

from command import ROOT
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import flattened, parse_yaml
from experiments.task import Proposal
from repository import flat_params


def members(settings: Sequence[str], prefix: str) -> dict[str, Proposal]:
    """All combinations of values by name, such as lr=0.01,seed=3, in the order of `dvc exp run --queue`.

    Args:
        settings: as `dvc exp run --queue -S` takes them, such as train.lr=0.01,0.1 or train.seed=range(0,5); a
            `UserError` is raised if they make no sweep of this repository's parameters.
        prefix: of the names.
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
