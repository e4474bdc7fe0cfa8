"""A study: the trials that threads and machines share, in a database or in memory.

Each trial runs one member, which is an experiment. Should its process die, another trial runs that member.
"""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError

from digits.foundation.stage import UserError
from experiments.origin import differences
from experiments.storage import DATABASE_ERRORS, Database, refuse_password

AGREEMENT = "agreement"
MEMBER = "member"
FINISHED = TrialState.COMPLETE, TrialState.PRUNED  # with a value, or pruned or diverged
LIVING = *FINISHED, TrialState.RUNNING
ATTEMPTS = 10  # twice a second: other processes may be creating the tables of a new database


class SurplusError(Exception):
    """Other trials have all members."""


def open_study(url: str | None, name: str, wanted: dict[str, Any]) -> tuple[optuna.Study, BaseStorage]:
    """Open the study `name` in a database (in memory if `url` is None), or begin it there.

    Raises a `UserError` if the database cannot be used, or if the study is another program's, or was begun with another
    agreement than `wanted`.
    """
    refuse_password(url or "")
    for attempt in range(ATTEMPTS):
        try:
            storage = Database(url) if url else InMemoryStorage()
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
            break
        except (*DATABASE_ERRORS, ImportError, RuntimeError) as error:
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


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have a value, or none because the loss diverged."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def members(trials: Iterable[FrozenTrial]) -> set[str]:
    """What these trials run or have run."""
    return {trial.user_attrs[MEMBER] for trial in trials if MEMBER in trial.user_attrs}


def claim(trial: Trial, names: Sequence[str], lost: "LostTrials") -> str:
    """The first of these members that no other trial runs or has run; from now on it is this trial's.

    Trials choose in the order of their numbers, each after all earlier ones have chosen, so no two choose the same.

    Raises:
        SurplusError: there is none.
    """
    while True:
        earlier = trial.study.get_trials(deepcopy=False)[: trial.number]
        if not any(undecided(other) for other in earlier):
            break
        time.sleep(0.1)
        lost.fail(trial.study)
    taken = members(other for other in earlier if other.state in LIVING)
    name = next((name for name in names if name not in taken), None)
    if name is None:
        raise SurplusError
    trial.set_user_attr(MEMBER, name)
    return name


def undecided(trial: FrozenTrial) -> bool:
    """Whether a trial has begun, and has not chosen its member yet."""
    return trial.state == TrialState.RUNNING and MEMBER not in trial.user_attrs


def last_params(study: optuna.Study, name: str) -> dict[str, Any]:
    """The parameters of the last trial of a member that did not come to its end, which another trial repeats."""
    trials = study.get_trials(deepcopy=False, states=[TrialState.FAIL])
    tried = [trial.params for trial in trials if trial.user_attrs.get(MEMBER) == name and trial.params]
    return tried[-1] if tried else {}


class LostTrials:
    """Finds the trials whose processes died.

    Optuna does so for those without a heartbeat of late. It takes one that has had none yet for alive, for ever; so one
    that chooses no member for as long is given up here.
    """

    def __init__(self, silence: float) -> None:
        self.silence = silence
        self.first_seen: dict[int, float] = {}

    def fail(self, study: optuna.Study) -> None:
        """Give up the trials that are lost, so that others take their members."""
        optuna.storages.fail_stale_trials(study)
        for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            now = time.monotonic()
            if undecided(trial) and now - self.first_seen.setdefault(trial.number, now) > self.silence:
                with suppress(ValueError, UpdateFinishedTrialError):  # another process was faster
                    study.tell(trial.number, state=TrialState.FAIL)
