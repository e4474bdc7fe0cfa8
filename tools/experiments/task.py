"""Run one member of a study as an experiment."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from optuna import TrialPruned
from optuna.trial import Trial

from command import ROOT
from digits.foundation.stage import UserError
from digits.scoring import DIVERGED, PROGRESS
from experiments.processes import Runner, set_options
from experiments.remote import push
from experiments.revisions import experiments, read_files
from experiments.runs import RESULTS, run_of
from experiments.snapshot import Snapshot
from repository import git


class Proposal(NamedTuple):
    """What a trial runs."""

    settings: list[str]  # as `dvc exp run -S` takes them
    params: dict[str, Any]  # all of them, by dotted name


@dataclass(frozen=True)
class Task:
    """How the members of a study are run.

    Attributes:
        snapshot: what their experiments are made from.
        propose: says what a trial of the member of that name runs.
        stages: that an experiment runs; all if empty.
        prune: the epoch from which on the study's pruner may end a training; None for never.
        remote: the Git remote to push experiments to, if any.
    """

    snapshot: Snapshot
    propose: Callable[[Trial, str], Proposal]
    stages: tuple[str, ...] = ()
    prune: int | None = None
    remote: str | None = None

    def run(self, runner: Runner, trial: Trial, name: str) -> float | None:
        """Run a member, unless its experiment exists, push it, and print a line about it.

        Returns:
            Its validation accuracy; None if it was pruned, its loss diverged, or it has no validation images.

        Raises:
            UserError: it failed, for a reason that would fail the next one, too.
        """
        proposal = self.propose(trial, name)
        if name in experiments(self.snapshot.commit):
            accuracy = self.read(name, proposal)
        else:
            begin = time.perf_counter()
            accuracy, result = self.train(runner, trial, name, proposal)
            params = " ".join(
                f"{name.rpartition('.')[2]}={format(value, '.3g' if isinstance(value, float) else '')}"
                for name, value in trial.params.items()
            )
            print(f"{name:16}  {result:14}  {time.perf_counter() - begin:.1f} s  {params}".rstrip(), flush=True)
        if self.remote and name in experiments(self.snapshot.commit):
            push(name, self.remote)
        return accuracy

    def train(self, runner: Runner, trial: Trial, name: str, proposal: Proposal) -> tuple[float | None, str]:
        """Run the experiment of a member; return its validation accuracy as above, and its result in words.

        It runs in a temporary folder, so that the workspace stays as it is and several can run at a time. DVC's queue
        would do the same, but in the background, where its end and its failure must be watched for.
        """
        command = ["dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name, *set_options(proposal.settings)]
        epochs: dict[int, float] = {}
        watch = partial(report_epoch, trial, epochs) if self.prune else len
        try:
            status, printed = runner.run([*command, *self.stages[-1:]], ROOT, watch=watch)
        except TrialPruned:
            epoch, accuracy = epochs.popitem()
            return None, f"val acc {accuracy:.4f} in epoch {epoch}, pruned"
        if status == 0:
            val_accuracy = self.read(name, proposal)
            return val_accuracy, "finished" if val_accuracy is None else f"val acc {val_accuracy:.4f}"
        if DIVERGED not in printed:
            print(printed, file=sys.stderr)
            raise UserError(
                f"{name}: the experiment failed, got the output above; without the cause, the same command continues"
            )
        if epochs:
            trial.report(math.nan, max(epochs) + 1)  # or Optuna would take the last accuracy for the value
        return None, "loss diverged"

    def read(self, name: str, proposal: Proposal) -> float | None:
        """The validation accuracy of a member's experiment, if it has any.

        Raises:
            UserError: it was made from something else than this command began with.
        """
        base = self.snapshot.commit
        commit = experiments(base).get(name)
        if not commit:
            raise UserError(
                f"{name}: must be an experiment of commit {base}, with which this command began, got none; "
                f"the last commit is {git('rev-parse', 'HEAD')} now; run the same command again"
            )
        run = run_of(read_files([commit], RESULTS)[commit], self.stages)
        if problem := self.snapshot.difference(run, proposal.params):
            raise UserError(
                f"{name}: the experiment of that name has {problem}, unlike what this command began with; `--name` "
                f"takes another name, `dvc exp remove {name}` deletes it"
            )
        return run.metrics.get("val_accuracy")


def report_epoch(trial: Trial, epochs: dict[int, float], line: str) -> None:
    """Tell the pruner about an epoch, if this line of train is about one, and add its validation accuracy to `epochs`.

    Raises:
        TrialPruned: the pruner wants no more.
    """
    if match := PROGRESS.match(line):
        epoch, accuracy = int(match[1]), float(match[2])
        epochs[epoch] = accuracy
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise TrialPruned
