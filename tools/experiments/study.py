"""A study: the trials that threads and machines share, and the database that keeps them, or memory.

Each trial runs one member, which is an experiment. Should its process die, another trial runs that member. SQLite
serves a single machine, PostgreSQL or another server several.
"""

import json
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from digits.foundation.stage import UserError
from experiments.snapshot import differences

AGREEMENT = "agreement"
MEMBER = "member"
FINISHED = TrialState.COMPLETE, TrialState.PRUNED  # with a value, or pruned or diverged
ATTEMPTS = 10  # twice a second: other processes may be creating the tables of a new database
HEARTBEAT = 5  # seconds
# Seconds without a heartbeat after which a trial counts as dead, and another process repeats it. A server that restarts
# takes no heartbeats either.
SILENCE, SILENCE_OF_SERVER = 20, 120
OUTAGE = 300  # seconds for which a server that is gone is waited for
# Options of PostgreSQL's driver. Without keepalives, a connection to a machine that lost its power is never given up.
POSTGRESQL: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": "-c TimeZone=UTC",  # heartbeats of machines in different time zones are compared
}
DATABASE_ERRORS = SQLAlchemyError, StorageInternalError
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats and PartialFixedSampler are


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
    """The member that a trial is to run; None if none is left, or an earlier trial has it, by another process."""
    name: str | None = trial.user_attrs.get(MEMBER)
    earlier = trial.study.get_trials(deepcopy=False)[: trial.number]
    return None if name in members(other for other in earlier if other.state != TrialState.FAIL) else name


class Database(RDBStorage):
    """A database of trials, with heartbeats of those that run.

    Raises a `UserError` if the URL has a password, one of `DATABASE_ERRORS` or an ImportError if it cannot be used, and
    a RuntimeError if another version of Optuna made it.
    """

    def __init__(self, url: str) -> None:
        parts = make_url(url)
        if parts.password is not None or "password" in parts.query:
            raise UserError(
                "--storage: must not have a password, which everybody on this machine could read in the list of "
                "processes; put it into ~/.pgpass or the variable PGPASSWORD"
            )
        local = parts.get_backend_name() == "sqlite"
        # Without a pool, connections to SQLite, which take 0.1 ms to open, are closed after use rather than by chance.
        sqlite = {"connect_args": {"timeout": 60}, "poolclass": NullPool}
        engine: dict[str, Any] = sqlite if local else {"pool_pre_ping": True}
        if parts.get_backend_name() == "postgresql":
            engine["connect_args"] = POSTGRESQL
        super().__init__(
            url,
            engine_kwargs=engine,
            heartbeat_interval=HEARTBEAT,
            grace_period=SILENCE if local else SILENCE_OF_SERVER,
        )
        if not local:
            event.listen(self.engine, "do_connect", connect_patiently)
        else:  # or two processes could read that a trial waits before one of them writes that it runs
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set a trial's state. One that begins has a heartbeat, without which Optuna would never take it for lost."""
        if state == TrialState.RUNNING:
            super().record_heartbeat(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def record_heartbeat(self, trial_id: int) -> None:
        """Record a heartbeat. One that fails is left out, since an error would end all later ones, too."""
        with suppress(*DATABASE_ERRORS):
            super().record_heartbeat(trial_id)


def connect_patiently(dialect: Any, _: Any, arguments: Any, options: Any) -> Any:
    """Connect to a database that has been there before, and may be restarting."""
    deadline, waiting = time.monotonic() + OUTAGE, False
    while True:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.OperationalError:
            if time.monotonic() > deadline:
                raise
            if not waiting:
                print(f"note: the database does not answer; waiting for up to {OUTAGE} s", file=sys.stderr, flush=True)
            waiting = True
            time.sleep(1)
