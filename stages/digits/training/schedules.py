"""How the learning rate changes during training, to the last bit: no function of the C library is called."""

import math
from dataclasses import dataclass

from digits.exact import cosine_of_half_turns


@dataclass(frozen=True)
class Schedule:
    """A learning rate that first rises linearly from 0, and then follows the named schedule.

    Attributes:
        name: constant; linear or cosine (falling to 0 along a line or half a cosine); step (falling in steps).
        lr: the highest learning rate.
        warmup: share of the training, in [0, 1), during which it rises.
        epochs: length of the training.
        size: of a step, in epochs.
        gamma: factor of the learning rate at each step.
    """

    name: str
    lr: float
    warmup: float
    epochs: int
    size: int
    gamma: float

    def lr_at(self, progress: float) -> float:
        """The learning rate after the share `progress`, in [0, 1], of the training."""
        if progress < self.warmup:
            return self.lr * (progress / self.warmup)
        return self.lr * self._factor(progress, (progress - self.warmup) / (1 - self.warmup))

    def _factor(self, progress: float, after_warmup: float) -> float:
        match self.name:
            case "constant":
                return 1.0
            case "linear":
                return 1 - after_warmup
            case "cosine":
                return (1 + cosine_of_half_turns(after_warmup)) / 2
            case "step":
                return math.prod([self.gamma] * (int(progress * self.epochs) // self.size))
        raise ValueError(f"no schedule {self.name!r}")
