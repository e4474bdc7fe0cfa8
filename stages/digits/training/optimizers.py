"""Updates of the parameters.

For networks, sgd, adam and adamw use the functions behind the classes of torch.optim. The first of those classes to be
built imports PyTorch's compiler, which takes a second or two, and their steps take several times as long for a small
model.
"""

import math
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from digits.models.classifier import Classifier
from digits.training.gradients import Gradient, target_table
from digits.training.params import TrainParams

BETAS = 0.9, 0.999  # like EPSILON, the default of torch.optim
EPSILON = 1e-8
MAX_EVALUATIONS = 25  # of the objective per update, enough for the line search to finish
HISTORY = 10  # updates from which L-BFGS estimates the curvature; SciPy's default


class Optimizer:
    """Stochastic gradient descent (sgd), adam or adamw, of parameters that are updated in place from their `grad`.

    Weight decay is an L2 penalty for sgd and adam, decoupled from the gradient for adamw. The momentum, in [0, 1), and
    Nesterov's are for sgd only. If `exact`, it computes the same bits on every computer, on the CPU: in single
    operations, which IEEE 754 defines, where PyTorch's functions fuse some, or not, as the processor can. They take
    longer for large models.
    """

    def __init__(
        self, name: str, parameters: Iterable[torch.Tensor], weight_decay: float, *, momentum: float = 0.0,
        nesterov: bool = False, exact: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.parameters, self.exact = name, list(parameters), exact
        self.weight_decay, self.momentum, self.nesterov = weight_decay, momentum, nesterov
        adaptive = [] if name == "sgd" else self.parameters
        averaged = self.parameters if momentum else adaptive
        self.momenta: list[Any] = [torch.zeros_like(parameter) for parameter in averaged]
        self.squares = [torch.zeros_like(parameter) for parameter in adaptive]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in adaptive]
        # BETAS to the power of the number of steps, which the C library's pow would not give to the last bit.
        self.powers = [torch.ones(2, dtype=torch.float64) for _ in adaptive]

    def step(
        self, gradient: Gradient, images: torch.Tensor, labels: torch.Tensor, lr: float, batch_size: int
    ) -> torch.Tensor:
        """Update the parameters with the learning rate `lr`; return the logits from before the update."""
        logits = gradient(images, labels, batch_size)
        gradients = [cast(torch.Tensor, parameter.grad) for parameter in self.parameters]
        if self.exact:
            for index, one in enumerate(gradients):
                self._update_exactly(index, one.numpy(), lr)
        else:
            self._update(gradients, lr)
        return logits

    def state_dict(self) -> dict[str, Any]:
        """A state for `load_state_dict`, also in another process."""
        return {name: getattr(self, name) for name in ("momenta", "squares", "steps", "powers")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        for name, tensors in state.items():
            for own, saved in zip(getattr(self, name), tensors, strict=True):
                own.copy_(saved)

    @torch.no_grad()
    def _update(self, gradients: list[torch.Tensor], lr: float) -> None:
        if self.name == "sgd":
            sgd(
                self.parameters, gradients, self.momenta, weight_decay=self.weight_decay, momentum=self.momentum,
                lr=lr, dampening=0, nesterov=self.nesterov, maximize=False, foreach=False,
            )  # fmt: skip
            return
        adam(
            self.parameters, gradients, self.momenta, self.squares, [], self.steps, beta1=BETAS[0], beta2=BETAS[1],
            lr=lr, weight_decay=self.weight_decay, decoupled_weight_decay=self.name == "adamw", eps=EPSILON,
            amsgrad=False, maximize=False, fused=True,
        )  # fmt: skip

    @np.errstate(over="ignore", invalid="ignore")  # of a training that diverges
    def _update_exactly(self, index: int, gradient: np.ndarray, lr: float) -> None:
        """Update one of the parameters as `_update` does, to rounding; NumPy's square root is correctly rounded."""
        parameter = self.parameters[index].detach().numpy()
        if self.weight_decay and self.name != "adamw":
            gradient = gradient + parameter * self.weight_decay
        if self.name == "sgd":
            if self.momentum:
                momentum = self.momenta[index].numpy()
                momentum *= self.momentum
                momentum += gradient
                gradient = gradient + momentum * self.momentum if self.nesterov else momentum
            parameter -= gradient * lr
            return
        if self.name == "adamw":
            parameter *= 1 - lr * self.weight_decay
        mean, square, powers = (state[index].numpy() for state in (self.momenta, self.squares, self.powers))
        powers *= BETAS
        mean *= BETAS[0]
        mean += gradient * (1 - BETAS[0])
        square *= BETAS[1]
        square += gradient * gradient * (1 - BETAS[1])
        first, second = (1 - powers).tolist()
        parameter -= mean * (lr / first) / (np.sqrt(square) / math.sqrt(second) + EPSILON)


class Lbfgs:
    """L-BFGS with a strong-Wolfe line search, for batches that are always the same images.

    Parameters are updated in place from their `grad`. An L2 penalty is added to the cross-entropy, whose targets,
    float32 (classes + 1, classes), are the probabilities to learn for each label.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], weight_decay: float, targets: torch.Tensor) -> None:
        self.parameters = list(parameters)
        self.weight_decay, self.targets = weight_decay, targets
        self.optimizer = torch.optim.LBFGS(
            self.parameters, max_iter=1, max_eval=MAX_EVALUATIONS, history_size=HISTORY, line_search_fn="strong_wolfe"
        )
        self.state_dict, self.load_state_dict = self.optimizer.state_dict, self.optimizer.load_state_dict

    def step(
        self, gradient: Gradient, images: torch.Tensor, labels: torch.Tensor, lr: float, batch_size: int
    ) -> torch.Tensor:
        """Update the parameters, trying a step of length `lr` first; return the logits from before the update."""
        seen = []

        @torch.no_grad()
        def objective() -> float:
            logits = gradient(images, labels, batch_size)
            seen.append(logits)
            loss = functional.cross_entropy(logits.T, self.targets[labels]).item()
            for parameter in self.parameters:
                loss += self.weight_decay / 2 * parameter.square().sum().item()
                cast(torch.Tensor, parameter.grad).add_(parameter, alpha=self.weight_decay)
            return loss

        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.step(objective)
        return seen[0]


def choose_optimizer(params: TrainParams, model: Classifier) -> Optimizer | Lbfgs:
    """How to use the gradient."""
    if params.optimizer == "lbfgs":
        targets = torch.from_numpy(target_table(model.classes, params.label_smoothing)).float()
        return Lbfgs(model.parameters(), params.weight_decay, targets)
    options = params.sgd.model_dump() | {"exact": params.model == "logistic"}
    return Optimizer(params.optimizer, model.parameters(), params.weight_decay, **options)
