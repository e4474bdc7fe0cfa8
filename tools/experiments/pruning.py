"""End a training that is worse than earlier ones were, after the same epoch whatever interrupts it."""

import csv
from dataclasses import dataclass, field

from optuna import TrialPruned
from optuna.trial import Trial

from digits.scoring import PROGRESS


@dataclass
class Judge:
    """Hears of the epochs of a training, and tells the study."""

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
