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
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState

from command import positive
from digits.foundation.stage import UserError
from experiments.runner import InterruptedExperiment, Runner
from experiments.storage import DATABASE_ERRORS
from experiments.study import FINISHED, LIVING, LostTrials, SurplusError, check_agreement, claim, members
from experiments.trial import Task

UNPRUNED = 5  # trials that are finished before any is pruned


def add_options(parser: argparse.ArgumentParser, database: str | None) -> None:
    """Add the options of an engine to a command whose study is in that database by default; None for in memory."""
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="run this many at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--storage",
        default=database,
        metavar="URL",
        help="share the trials by this database, such as postgresql://user@host/name"
        + (" (default: the file search.db)" if database else ""),
    )
    parser.add_argument(
        "--push",
        nargs="?",
        const="origin",
        metavar="REMOTE",
        help="push each experiment as it ends to this Git remote (default: origin) and to the DVC remote",
    )


@dataclass(frozen=True)
class Engine:
    """Runs all members of a study.

    Attributes:
        study, storage: the study, and where it is kept.
        names: of the members, which are those of their experiments.
        wanted: the agreement, which a machine that began in the same moment may have overwritten.
        task: how a member is run.
        runner: runs their experiments.
    """

    study: optuna.Study
    storage: BaseStorage
    names: list[str]
    wanted: dict[str, Any]
    task: Task
    runner: Runner = field(default_factory=Runner)

    def run(self, jobs: int, command: str) -> None:
        """Run `jobs` members at a time until all are finished, here or elsewhere.

        Exits if the command of that name is interrupted.

        Raises:
            UserError: one failed, or the database is gone.
        """
        self.runner.run_threads(jobs, self.work, command)

    def work(self) -> None:
        """Run members until all are finished.

        Raises:
            UserError: one failed, or the database is gone.
        """
        pruner = (
            MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=self.task.prune) if self.task.prune else NopPruner()
        )
        # Of this thread alone. The sampler must not propose before the task does.
        study = optuna.load_study(
            study_name=self.study.study_name, storage=self.storage, sampler=RandomSampler(), pruner=pruner
        )
        lost = LostTrials(getattr(self.storage, "grace_period", math.inf))
        failures = 0
        while not self.runner.stopped.is_set():
            try:
                check_agreement(study, self.wanted)
                if members(study.get_trials(deepcopy=False, states=FINISHED)) >= set(self.names):
                    return
                if members(study.get_trials(deepcopy=False, states=LIVING)) >= set(self.names):
                    self.runner.stopped.wait(1)
                    lost.fail(study)
                else:
                    self.run_trial(study, lost)
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

    def run_trial(self, study: optuna.Study, lost: LostTrials) -> None:
        """Run a trial, unless other processes are faster to take the last member."""
        numbers: list[int] = []  # that of the trial, unless it failed by itself

        def objective(trial: Trial) -> float:
            numbers.append(trial.number)
            try:
                accuracy = self.task.run(self.runner, trial, claim(trial, self.names, lost))
            except UpdateFinishedTrialError:
                raise
            except Exception:
                numbers.clear()
                raise
            if accuracy is None:
                raise TrialPruned  # not a failure, from which Optuna would not learn
            return accuracy

        try:
            study.optimize(objective, n_trials=1, catch=(SurplusError, InterruptedExperiment))
        except Exception:
            if not numbers or study.get_trials(deepcopy=False)[numbers[0]].state != TrialState.FAIL:
                raise
            print("note: this trial's heartbeats did not arrive in time; another process repeats it", flush=True)


def database_error(error: BaseException | None) -> BaseException | None:
    """The error of the database behind another error: Optuna tidies up after it, fails at that, too, and hides it."""
    while error and not isinstance(error, DATABASE_ERRORS):
        error = error.__context__
    return error
