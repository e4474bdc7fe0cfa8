"""How the learning rate changes during training, to the last bit: no function of the C library is called."""

import math
from dataclasses import dataclass

from digits.models.exact import cosine_of_half_turns


@dataclass(frozen=True)
class Schedule:
    """A learning rate that first rises linearly from 0, and then follows the named schedule."""

    name: str  # constant; linear or cosine (falling to 0 along a line or half a cosine); step (falling in steps)
    lr: float  # the highest learning rate
    warmup: float  # share of the training, in [0, 1), during which it rises
    epochs: int  # length of the training
    size: int  # of a step, in epochs
    gamma: float  # factor of the learning rate at each step

    def lr_at(self, progress: float) -> float:
        """The learning rate after the share `progress`, in [0, 1], of the training."""
        if progress < self.warmup:
            return self.lr * (progress / self.warmup)
        after_warmup = (progress - self.warmup) / (1 - self.warmup)
        match self.name:
            case "linear":
                return self.lr * (1 - after_warmup)
            case "cosine":
                return self.lr * ((1 + cosine_of_half_turns(after_warmup)) / 2)
            case "step":
                return self.lr * math.prod([self.gamma] * (int(progress * self.epochs) // self.size))
        return self.lr
