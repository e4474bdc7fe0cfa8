"""What processes that train together have to compute together: gradients, and batch normalisation."""

from collections.abc import Iterable
from typing import Any, cast

from digits.training.optimizers import Gradient
from digits.training.processes import Processes

import torch
from torch import nn
from torch.nn import functional


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
        return cast(torch.Tensor, Normalised.apply(input, self.weight, self.bias, self))

    @torch.no_grad()
    def statistics(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The number of values per channel, and their mean and biased variance, (C,), over all processes.

        They are sent as sums, in float64, in which the squared mean can be subtracted again.
        """
        count = values.numel() // self.num_features
        sums = torch.zeros(3, self.num_features, dtype=torch.float64, device=values.device)
        if count > 0:
            # Momentum 0 leaves the running statistics, whose type decides on that of the result.
            running = self.running_mean, self.running_var
            mean, variance = torch.batch_norm_update_stats(values, *running, momentum=0.0)
            sums = count * torch.stack([torch.ones_like(mean), mean, variance + mean.double().square()])
        self.processes.sum([sums])
        total, mean, square = sums[0], sums[1] / sums[0], sums[2] / sums[0]
        return total, mean, (square - mean.square()).clamp(min=0)

    @torch.no_grad()
    def gather(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Update the running statistics as `nn.BatchNorm2d` does, with the unbiased variance."""
        for gathered, new in ((self.running_mean, mean), (self.running_var, variance)):
            cast(torch.Tensor, gathered).lerp_(new.float(), cast(float, self.momentum))
        cast(torch.Tensor, self.num_batches_tracked).add_(1)


class Normalised(torch.autograd.Function):
    """What a `SharedBatchNorm` does during training; its parameters get the gradients of this process's images.

    Source: S. Ioffe and C. Szegedy, Batch Normalization (2015), section 3, https://arxiv.org/abs/1502.03167.
    """

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, norm: SharedBatchNorm
    ) -> torch.Tensor:
        total, mean, variance = norm.statistics(values)
        norm.gather(mean, variance * total / (total - 1))
        mean, variance = mean.float(), variance.float()
        ctx.norm, ctx.total = norm, total.float()
        ctx.save_for_backward(values, weight, mean, (variance + norm.eps).rsqrt())
        return functional.batch_norm(values, mean, variance, weight, bias, eps=norm.eps)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
        (slope,) = slopes
        values, weight, mean, scale = ctx.saved_tensors
        by_weight = by_bias = torch.zeros_like(weight)
        if len(values) > 0:  # PyTorch would divide by it
            _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
                slope, values, weight, None, None, mean, scale, True, ctx.norm.eps, [False, True, True]
            )
        sums = torch.stack([by_weight, by_bias])
        ctx.norm.processes.sum([sums])
        mean_weight, mean_bias = sums / ctx.total
        # The gradient weight * scale * (slope - mean_bias - (values - mean) * scale * mean_weight), as factors of the
        # two large tensors.
        of_slope = weight * scale
        of_values = -of_slope * scale * mean_weight
        rest = -of_slope * mean_bias - of_values * mean
        by_channel = [part[:, None, None] for part in (of_slope, of_values, rest)]
        by_values = torch.addcmul(by_channel[2], values, by_channel[1]).addcmul_(slope, by_channel[0])
        return by_values.to(values.dtype), by_weight, by_bias, None


def share_batch_norm(layers: nn.Sequential, processes: Processes) -> None:
    """Replace every batch normalisation by one over the images of all processes."""
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[i] = SharedBatchNorm(layer, processes)
