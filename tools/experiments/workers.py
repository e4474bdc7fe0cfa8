"""Run the members of a study as experiments, some at a time, together with all other commands that do so.

A sweep and a search differ only in who proposes the parameters of a member: a list or a sampler.
"""

import argparse
import math
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna import TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import Trial

from command import positive
from digits.foundation.stage import UserError
from experiments.processes import Runner
from experiments.study import DATABASE_ERRORS, add_trial, check_agreement, finished_trials, member_of
from experiments.task import Task


def add_options(parser: argparse.ArgumentParser, database: str | None) -> None:
    """Add the options for running a study, which is in that database by default; None for in memory."""
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="run N at a time (default: %(default)s)")
    shared = "share the trials by this database, such as postgresql://user@host/name"
    default = " (default: the file search.db)" if database else ""
    parser.add_argument("--storage", default=database, metavar="URL", help=shared + default)
    pushed = "push each experiment as it ends to this Git remote (default: origin) and to the DVC remote"
    parser.add_argument("--push", nargs="?", const="origin", metavar="REMOTE", help=pushed)


@dataclass(frozen=True)
class Workers:
    """Threads that run the members of a study."""

    study: optuna.Study
    storage: BaseStorage  # where the study is kept
    names: list[str]  # of the members, which are those of their experiments
    wanted: dict[str, Any]  # the agreement, which a machine that began in the same moment may have overwritten
    task: Task  # how a member is run
    window: int  # a member waits until all that are so many or more before it are finished
    runner: Runner = field(default_factory=Runner)

    def run(self, jobs: int) -> None:
        """Run all members, that many at a time; raises what `work` does."""
        self.runner.run_threads(jobs, self.work)

    def work(self) -> None:
        """Run members until all are finished; raises a `UserError` if one failed, or the database is gone."""
        # Of this thread alone. The sampler must not propose before the task does.
        study = optuna.load_study(study_name=self.study.study_name, storage=self.storage, sampler=RandomSampler())
        failures = 0
        while not self.runner.stopped.is_set():
            try:
                check_agreement(study, self.wanted)
                if len(finished_trials(study, self.names)) == len(self.names):
                    return
                if add_trial(study, self.names, self.window):
                    self.run_trial(study)
                else:
                    self.runner.stopped.wait(1)
                    optuna.storages.fail_stale_trials(study)
                failures = 0
            except Exception as error:
                if not (found := database_error(error)):
                    raise
                if failures:  # after minutes of waiting
                    raise UserError(
                        f"--storage: the database is gone, got {str(found).splitlines()[0]}; all finished "
                        "trials are safe in it, and the same command continues once it is back"
                    )
                failures += 1  # the first one may be an operation that was cut off

    def run_trial(self, study: optuna.Study) -> None:
        """Run the trial that has waited longest, unless other processes have taken it."""
        problems: list[Exception] = []

        def objective(trial: Trial) -> float:
            try:
                name = member_of(trial)
                accuracy = self.task.run(self.runner, trial, name) if name else math.nan  # which is a failure
            except Exception as error:
                problems.append(error)
                raise
            if accuracy is None:
                raise TrialPruned  # not a failure, from which Optuna would not learn
            return accuracy

        try:
            study.optimize(objective, n_trials=1, catch=(Exception,))
        except (ValueError, AssertionError, UpdateFinishedTrialError) as error:
            if database_error(error):
                raise
            # So Optuna says that the trial has an end already.
            print("note: this trial's heartbeats did not arrive in time; another process repeats it", flush=True)
            return
        if problems:
            raise problems[0]


def database_error(error: BaseException | None) -> BaseException | None:
    """The error of the database behind another error: Optuna tidies up after it, fails at that, too, and hides it."""
    while error and not isinstance(error, DATABASE_ERRORS):
        error = error.__context__
    return error
