"""Run one member of a study as an experiment."""

import csv
import math
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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

CURVES = "metrics/train.csv"


class Proposal(NamedTuple):
    """What a trial runs."""

    settings: list[str]  # as `dvc exp run -S` takes them
    params: dict[str, Any]  # all of them, by dotted name
    twin: Trial | None = None  # in a study whose pruner may end the training, if any may


@dataclass
class Judge:
    """Hears of the epochs of a training, tells the study, and ends a training that is worse than earlier ones were.

    It decides after the same epoch whatever interrupts the training.
    """

    trial: Trial  # of the study
    twin: Trial | None  # the same trial in another study, whose pruner decides; without it, nothing is told
    epochs: dict[int, float] = field(default_factory=dict)  # their validation accuracy, so far

    def hear(self, epoch: int, accuracy: float) -> None:
        """Report an epoch, if it is the next one; raises `TrialPruned` if the pruner wants no more.

        A training that goes on after an interruption is judged at its end.
        """
        if self.twin and epoch == len(self.epochs) + 1:
            self.epochs[epoch] = accuracy
            self.trial.report(accuracy, epoch)
            self.twin.report(accuracy, epoch)
            if self.twin.should_prune():
                raise TrialPruned

    def hear_line(self, line: str) -> None:
        """Hear what train prints, if it is about an epoch; raises what `hear` does."""
        if match := PROGRESS.match(line):
            self.hear(int(match[1]), float(match[2]))

    def hear_table(self, text: str, images: int) -> None:
        """Hear metrics/train.csv, with the digits that train prints for so many images; raises what `hear` does."""
        for row in csv.DictReader(text.splitlines()):
            correct = round(float(row["val_accuracy"]) * images)
            self.hear(int(row["epoch"]), float(f"{correct / images:.4f}"))


@dataclass(frozen=True)
class Task:
    """How the members of a study are run."""

    snapshot: Snapshot  # what their experiments are made from
    propose: Callable[[Trial, str], Proposal]  # what a trial of the member of that name runs
    stages: tuple[str, ...] = ()  # that an experiment runs; all if empty
    remote: str | None = None  # of Git, to push experiments to

    def run(self, runner: Runner, trial: Trial, name: str) -> float | None:
        """Run a member, unless its experiment exists, push it, and print a line about it.

        Returns its validation accuracy, or None if it was pruned, its loss diverged, or it has no validation images.
        Raises a `UserError` if it failed, for a reason that would fail the next one, too.
        """
        proposal = self.propose(trial, name)
        begin = time.perf_counter()
        accuracy, result = self.train(runner, trial, name, proposal)
        if result:
            params = " ".join(
                f"{name.rpartition('.')[2]}={format(value, '.3g' if isinstance(value, float) else '')}"
                for name, value in trial.params.items()
            )
            print(f"{name:16}  {result:14}  {time.perf_counter() - begin:.1f} s  {params}".rstrip(), flush=True)
        if self.remote and name in experiments(self.snapshot.commit):
            push(runner, name, self.remote)
        return accuracy

    def train(self, runner: Runner, trial: Trial, name: str, proposal: Proposal) -> tuple[float | None, str]:
        """Run the experiment of a member; return its validation accuracy as above, and its result in words.

        If the experiment exists, its result needs none, unless it is pruned all the same.
        It runs in a temporary folder, so that the workspace stays as it is and several can run at a time. DVC's queue
        would do the same, but in the background, where its end and its failure must be watched for.
        """
        command = ["dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name, *set_options(proposal.settings)]
        judge = Judge(trial, proposal.twin)
        try:
            if name in experiments(self.snapshot.commit):
                return self.read(name, proposal, judge), ""
            status, printed = runner.run([*command, *self.stages[-1:]], ROOT, watch=judge.hear_line)
            if status == 0:
                val_accuracy = self.read(name, proposal, judge)
                return val_accuracy, "finished" if val_accuracy is None else f"val acc {val_accuracy:.4f}"
        except TrialPruned:
            epoch, accuracy = judge.epochs.popitem()
            return None, f"val acc {accuracy:.4f} in epoch {epoch}, pruned"
        if not (diverged := re.search(rf"{DIVERGED} in epoch (\d+)", printed)):
            print(printed, file=sys.stderr)
            raise UserError(f"{name}: failed, got the output above; once that is mended, the same command continues")
        trial.report(math.nan, int(diverged[1]))  # or Optuna would take the last accuracy for the value
        return None, "loss diverged"

    def read(self, name: str, proposal: Proposal, judge: Judge) -> float | None:
        """The validation accuracy of a member's experiment, if it has any; raises `TrialPruned` if `judge` does.

        Raises a `UserError` if it was made from something else than this command began with.
        """
        base = self.snapshot.commit
        commit = experiments(base).get(name)
        if not commit:
            raise UserError(
                f"{name}: must be an experiment of commit {base}, with which this command began, got none; "
                f"the last commit is {git('rev-parse', 'HEAD')} now; run the same command again"
            )
        files = read_files([commit], [*RESULTS, CURVES])[commit]
        run = run_of(files, self.stages)
        if problem := self.snapshot.difference(run, proposal.params):
            raise UserError(
                f"{name}: the experiment of that name has {problem}, unlike what this command began with; `--name` "
                f"takes another name, `dvc exp remove {name}` deletes it"
            )
        if proposal.twin:
            judge.hear_table(files[CURVES], int(proposal.params["preprocess.val_size"]))
        return run.metrics.get("val_accuracy")
