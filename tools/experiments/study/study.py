"""Trials that several processes share: each is run once, and again only if the process that runs it dies."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from experiments.study.agreement import differences
from experiments.study.remote import PushError
from experiments.study.storage import DATABASE_ERRORS, Storage, again, begin_heartbeats, refuse_password
from foundation.command import ROOT

import optuna
from filelock import FileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

AGREEMENT = "agreement"
MEMBER = "member"  # what a trial of a sweep runs; the trials of a search propose something themselves
BEGINNING = 10  # seconds in which other machines may be creating the tables of a new database


class TrialError(Exception):
    """A trial failed for a reason that would fail the next one, too."""


class SurplusError(Exception):
    """Another process has begun the last trial in the same moment."""


def add_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the options for several machines to a command."""
    parser.add_argument(
        "--storage",
        default=default,
        metavar="URL",
        help="share the trials by this database, such as postgresql://user@host/name"
        + (" (default: the file search.db)" if default else ""),
    )
    parser.add_argument(
        "--push",
        nargs="?",
        const="origin",
        metavar="REMOTE",
        help="push each experiment as it ends to this Git remote (default: origin) and to the DVC remote",
    )


def open_study(url: str, name: str, wanted: dict[str, Any]) -> optuna.Study:
    """Open the study `name` in a database, or begin it there.

    Exits with an error if the database cannot be used, or if the study was begun with another agreement than `wanted`.
    """
    refuse_password(url)
    lock = ROOT / ".dvc/tmp/search.lock"
    lock.parent.mkdir(exist_ok=True)
    deadline = time.monotonic() + (0 if url.startswith("sqlite") else BEGINNING)
    while True:
        try:
            with FileLock(lock):  # or two processes would both create the tables of a file
                study = optuna.create_study(
                    storage=Storage(url), study_name=name, direction="maximize", load_if_exists=True
                )
                if AGREEMENT not in study.user_attrs:
                    study.set_user_attr(AGREEMENT, wanted)
            break
        except (*DATABASE_ERRORS, ImportError) as error:
            if time.monotonic() > deadline or isinstance(error, ImportError):
                sys.exit(f"error: --storage: has to be a database that can be used, got {str(error).splitlines()[0]}")
            time.sleep(1)
    check_agreement(study, wanted)
    return study


def check_agreement(study: optuna.Study, wanted: dict[str, Any]) -> None:
    """Exit if a trial here would not be comparable with those that the study has."""
    if changed := differences(study.user_attrs.get(AGREEMENT, {}), json.loads(json.dumps(wanted))):
        sys.exit(
            f"error: {study.study_name}: was begun elsewhere or earlier with other settings, got\n  "
            + "\n  ".join(changed)
            + "\nMake them equal to take part, or begin anew with another --name."
        )


def work(
    study: optuna.Study,
    total: int,
    objective: Callable[[Trial], float],
    report: Callable[[optuna.Study, FrozenTrial], None],
    wanted: dict[str, Any],
    stopped: Callable[[], bool],
) -> None:
    """Run trials until `total` are finished, together with all other processes that do so.

    Args:
        objective: runs a trial and returns its value.
        report: called after each of them.
        wanted: the agreement, which a machine that began in the same moment may have overwritten.
        stopped: once it is true, no further trial is begun.

    Raises:
        TrialError: by `objective`.
    """
    failures = 0
    while not stopped():
        try:
            check_agreement(study, wanted)
            if len({key(trial) for trial in finished_trials(study)}) >= total:
                return
            if len({key(trial) for trial in living_trials(study)}) < total:
                study.optimize(once(objective, total), n_trials=1, callbacks=[report], catch=SurplusError)
            else:  # wait for the others, and repeat the trial of one that dies
                time.sleep(1)
                begin_heartbeats(study)
                optuna.storages.fail_stale_trials(study)
            failures = 0
        except PushError as error:
            raise TrialError(str(error))
        except Exception as error:
            match database_error(error):
                case None:
                    raise
                case UpdateFinishedTrialError() | ValueError():
                    print("note: nothing was heard of this trial for too long; another process repeats it", flush=True)
                case found if failures == 0:  # it may have cut off an operation
                    failures += 1
                case found:  # after minutes of waiting
                    sys.exit(
                        f"error: --storage: the database is gone, got {str(found).splitlines()[0]}; all finished "
                        "trials are safe in it, and the same command continues once it is back"
                    )


def database_error(error: BaseException | None) -> BaseException | None:
    """The error of the database behind another error: Optuna tidies up after it, fails at that, too, and hides it."""
    while error and not isinstance(error, (*DATABASE_ERRORS, UpdateFinishedTrialError)):
        if isinstance(error, ValueError) and str(error).startswith("Cannot tell a "):  # a trial that is not running
            return error
        error = error.__context__
    return error


def once(objective: Callable[[Trial], float], total: int) -> Callable[[Trial], float]:
    """The objective for trials that nobody else runs, and that are among the first `total`."""

    def run(trial: Trial) -> float:
        earlier = {key(other) for other in living_trials(trial.study) if other.number < trial.number}
        if key(trial) in earlier or len(earlier) >= total:
            raise SurplusError
        try:
            return objective(trial)
        except (KeyboardInterrupt, PushError):
            again(trial.study, trial)  # to continue from its checkpoint
            raise

    return run


def key(trial: Trial | FrozenTrial) -> Any:
    """What a trial does: two with the same key are the same."""
    return trial.user_attrs.get(MEMBER, trial.number)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have a value, or none because the loss diverged."""
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])


def living_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that are finished or running."""
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING])
