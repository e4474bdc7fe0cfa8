"""A study: the trials that threads and machines share, in a database or in memory.

Each trial runs one member, which is an experiment. Should its process die, another trial runs that member.
"""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError

from digits.foundation.stage import UserError
from experiments.snapshot import differences
from experiments.storage import DATABASE_ERRORS, Database

AGREEMENT = "agreement"
MEMBER = "member"
FINISHED = TrialState.COMPLETE, TrialState.PRUNED  # with a value, or pruned or diverged
ATTEMPTS = 10  # twice a second: other processes may be creating the tables of a new database


def open_study(url: str | None, name: str, wanted: dict[str, Any]) -> tuple[optuna.Study, BaseStorage]:
    """Open the study `name` in a database (in memory if `url` is None), or begin it there.

    Raises a `UserError` if the database cannot be used, or if the study is another program's, or was begun with another
    agreement than `wanted`.
    """
    for attempt in range(ATTEMPTS):
        try:
            storage = Database(url) if url else InMemoryStorage()
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
            break
        except (*DATABASE_ERRORS, ImportError, RuntimeError, ValueError) as error:
            if attempt == ATTEMPTS - 1 or not isinstance(error, DBAPIError | StorageInternalError):
                raise UserError(f"--storage: must be a database that can be used, got {str(error).splitlines()[0]}")
            time.sleep(0.5)
    trials = study.get_trials(deepcopy=False)  # before the agreement, which another process sets before it adds any
    if study.directions != [StudyDirection.MAXIMIZE] or (trials and AGREEMENT not in study.user_attrs):
        raise UserError(f"{name}: must be a study of this command, got another program's; take another --name")
    if AGREEMENT not in study.user_attrs:
        study.set_user_attr(AGREEMENT, wanted)
    check_agreement(study, wanted)
    return study, storage


def check_agreement(study: optuna.Study, wanted: dict[str, Any]) -> None:
    """Raise a `UserError` if a trial here would not be comparable with those that the study has."""
    if changed := differences(study.user_attrs.get(AGREEMENT, {}), json.loads(json.dumps(wanted))):
        raise UserError(
            f"{study.study_name}: was begun elsewhere or earlier with other settings, got\n  "
            + "\n  ".join(changed)
            + "\nMake them equal to take part, or begin anew with another --name."
        )


def finished_trials(study: optuna.Study, names: Sequence[str]) -> list[FrozenTrial]:
    """The trials of these members that have a value, or none because the loss diverged, in the order of the members."""
    found = {trial.user_attrs[MEMBER]: trial for trial in study.get_trials(deepcopy=False, states=FINISHED)}
    return [found[name] for name in names if name in found]


def members(trials: Iterable[FrozenTrial]) -> set[str]:
    """What these trials run or have run."""
    return {trial.user_attrs[MEMBER] for trial in trials if MEMBER in trial.user_attrs}


def add_trial(study: optuna.Study, names: Sequence[str], window: int) -> bool:
    """Add a trial, which waits to be run, of the first of these members that none has; return whether any waits.

    None is added before all members that are `window` or more before it are finished.
    """
    trials = study.get_trials(deepcopy=False)
    taken = members(trial for trial in trials if trial.state != TrialState.FAIL)
    number = next((number for number, name in enumerate(names) if name not in taken), None)
    needed = names[: max(0, number - window + 1)] if number is not None else ()
    if number is None or len(finished_trials(study, needed)) < len(needed):
        return any(trial.state == TrialState.WAITING for trial in trials)
    study.enqueue_trial({}, user_attrs={MEMBER: names[number]})
    return True


def member_of(trial: Trial) -> str | None:
    """The member that a trial is to run; None if there is none left, or an earlier trial has it.

    Two processes may add trials of the same member in the same moment.
    """
    name: str | None = trial.user_attrs.get(MEMBER)
    earlier = trial.study.get_trials(deepcopy=False)[: trial.number]
    return None if name in members(other for other in earlier if other.state != TrialState.FAIL) else name
