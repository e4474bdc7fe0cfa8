"""The database that keeps the trials: SQLite on one machine, PostgreSQL or another server for several."""

import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from digits.foundation.stage import UserError

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
