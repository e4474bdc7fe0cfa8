"""One update of the parameters, by the functions behind the classes of torch.optim.

The classes import PyTorch's compiler when the first of them is built, which takes a second, and the steps of so small a
model take them, by default, two to four times as long.
"""

from collections.abc import Iterable

import torch
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

BETAS = 0.9, 0.999  # as torch.optim has them by default, and so EPSILON
EPSILON = 1e-8


class Optimizer:
    """Stochastic gradient descent (sgd, with momentum), adam or adamw.

    Args:
        name: sgd, adam or adamw.
        parameters: updated in place from their `grad`.
        momentum: in [0, 1), counts for sgd alone.
        weight_decay: an L2 penalty for sgd and adam, decoupled from the gradient for adamw.
    """

    def __init__(self, name: str, parameters: Iterable[torch.Tensor], momentum: float, weight_decay: float) -> None:
        self.name = name
        self.parameters = list(parameters)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.momenta: list[torch.Tensor | None] = [None for _ in self.parameters]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update the parameters with the learning rate `lr`."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self.name == "sgd":
            sgd(
                self.parameters, gradients, self.momenta, weight_decay=self.weight_decay, momentum=self.momentum,
                lr=lr, dampening=0, nesterov=False, maximize=False, foreach=False,
            )  # fmt: skip
            return
        update = {"adam": adam, "adamw": adamw}[self.name]
        update(
            self.parameters, gradients, self.means, self.squares, [], self.steps, beta1=BETAS[0], beta2=BETAS[1],
            lr=lr, weight_decay=self.weight_decay, eps=EPSILON, amsgrad=False, maximize=False, fused=True,
        )  # fmt: skip
