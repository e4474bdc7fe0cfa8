"""What processes that train together have to compute together: gradients, and batch normalisation."""

from collections.abc import Iterable
from typing import Any, cast

from digits.training.optimizers import Gradient
from digits.training.processes import Processes

import torch
from torch import nn


def averaged(gradient: Gradient, parameters: Iterable[torch.Tensor], processes: Processes) -> Gradient:
    """The gradient of the mean over the images of all processes, from one of the sum over those of this process."""
    trained = list(parameters)

    def gradient_of_all(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = gradient(images, labels)
        gradients = [cast(torch.Tensor, parameter.grad) for parameter in trained]
        count = torch.tensor([float(len(labels))], device=logits.device)
        processes.sum([count, *gradients])
        for one in gradients:
            one.div_(count)
        return logits

    return gradient_of_all


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the images of all processes. PyTorch's own, SyncBatchNorm, needs GPUs.

    Args:
        norm: the layer to replace, whose parameters and statistics are shared, not copied.
        processes: that compute a batch together.
    """

    def __init__(self, norm: nn.BatchNorm2d, processes: Processes) -> None:
        super().__init__(norm.num_features, eps=norm.eps)
        self.load_state_dict(norm.state_dict(), assign=True)
        self.processes = processes

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - an override keeps PyTorch's name
        """Normalise float (N, C, H, W); with statistics of the batch during training, else with those it gathered."""
        if not self.training:
            return super().forward(input)
        values = input.float()  # autocast may have made it bfloat16
        pixels = values.new_tensor([values.numel() / self.num_features])
        total = SumOfAll.apply(torch.cat([pixels, values.sum(dim=(0, 2, 3))]), self.processes)
        mean = total[1:] / total[0]
        centered = values - mean[:, None, None]
        squares = SumOfAll.apply(centered.square().sum(dim=(0, 2, 3)), self.processes)
        variance = squares / total[0]
        self.gather(mean.detach(), (squares / (total[0] - 1)).detach())
        scale = self.weight * (variance + self.eps).rsqrt()
        result: torch.Tensor = centered * scale[:, None, None] + self.bias[:, None, None]
        return result.to(input.dtype)

    @torch.no_grad()
    def gather(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Update the running statistics as `nn.BatchNorm2d` does, with the unbiased variance."""
        for gathered, new in ((self.running_mean, mean), (self.running_var, variance)):
            cast(torch.Tensor, gathered).lerp_(new, cast(float, self.momentum))
        cast(torch.Tensor, self.num_batches_tracked).add_(1)


class SumOfAll(torch.autograd.Function):
    """The sum of a tensor over all processes, through which gradients flow: each process's share reaches all losses."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, processes: Processes) -> torch.Tensor:
        ctx.processes = processes
        result = tensor.clone()
        processes.sum([result])
        return result

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        result = slopes[0].clone()
        ctx.processes.sum([result])
        return result, None


def share_batch_norm(layers: nn.Sequential, processes: Processes) -> None:
    """Replace every batch normalisation by one over the images of all processes."""
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[i] = SharedBatchNorm(layer, processes)
