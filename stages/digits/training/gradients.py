"""The gradient of the mean cross-entropy: in closed form for softmax regression, by autograd for the other models."""

from typing import Protocol, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from digits.models.classifier import Classifier, predict, to_pixels
from digits.models.softmax_regression import SoftmaxRegression
from digits.training.params import TrainParams
from digits.training.processes import ALONE, Processes

PREDICTED_AT_ONCE = 1000


class Gradient(Protocol):
    """Sets `grad` of a model's parameters, and predicts."""

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, batch_size: int) -> torch.Tensor:
        """Set `grad` to the gradient of the mean cross-entropy over a batch; return the logits, (classes, N).

        The images, uint8 or float32 (N, 28, 28), 0 to 255, are this process's share of the batch, whose whole size is
        `batch_size`. A label, int64 (N,), is the number of a class or, for a shape of no class, the number of classes.
        """

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float (N, classes), of images, uint8 (N, 28, 28)."""


class ClosedForm:
    """The `Gradient` of softmax regression, of one linear layer, by a formula, in exact arithmetic, on the CPU.

    Logits have the class first, (classes, N), the better layout for a softmax over so few classes. NumPy computes, on
    the memory of PyTorch's tensors: for such small arrays its products and its other operations take half the time. The
    sums of the processes that share each batch add up without rounding, so the number of processes changes no bit. The
    parameters of the model are shared, not copied; label smoothing is as in `target_table`.
    """

    def __init__(self, model: Classifier, label_smoothing: float, processes: Processes = ALONE) -> None:
        linear = cast(nn.Linear, model.layers[-1])
        self.processes = processes
        linear.weight.grad, linear.bias.grad = torch.zeros_like(linear.weight), torch.zeros_like(linear.bias)
        self.weight_grad, self.bias_grad = linear.weight.grad.numpy(), linear.bias.grad.numpy()
        weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
        self.regression = SoftmaxRegression(weight, bias, model.mean.item(), model.std.item())
        self.targets = target_table(model.classes, label_smoothing).T

    @np.errstate(over="ignore", invalid="ignore")  # of a training that diverges
    def __call__(self, images: torch.Tensor, labels: torch.Tensor, batch_size: int) -> torch.Tensor:
        logits, *sums = self.regression.slope_sums(images.numpy(), labels.numpy(), self.targets, batch_size)
        self.processes.sum([torch.from_numpy(each) for each in sums])
        weight_sums, bias_sums = sums
        bias_sums /= batch_size
        weight_sums *= self.regression.scale / batch_size
        if self.regression.shift:
            weight_sums += (self.regression.shift * bias_sums)[:, None]
        self.weight_grad[...], self.bias_grad[...] = weight_sums, bias_sums
        return torch.from_numpy(logits)

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.regression.predict(images.numpy()))


class Backpropagation:
    """The `Gradient` of any model, by autograd.

    The precision is float32, or bfloat16 where autocast considers it safe; weights and updates stay float32. With
    `channels_last`, images and convolution weights are stored with the channels innermost.
    """

    def __init__(
        self, model: Classifier, label_smoothing: float, precision: str, channels_last: bool,
        processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        self.model = model.to(memory_format=torch.channels_last) if channels_last else model
        self.targets = torch.from_numpy(target_table(model.classes, label_smoothing)).to(model.mean)
        self.bfloat16 = precision == "bfloat16"
        self.processes = processes

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, batch_size: int) -> torch.Tensor:
        self.model.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits: torch.Tensor = self.model(to_pixels(images)).float()
        loss = functional.cross_entropy(logits, self.targets[labels])
        (loss * (len(labels) / batch_size)).backward()
        self.processes.sum([cast(torch.Tensor, parameter.grad) for parameter in self.model.parameters()])
        return logits.detach().T

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        return predict(self.model, images, PREDICTED_AT_ONCE)


def target_table(classes: int, label_smoothing: float) -> np.ndarray:
    """The probabilities to learn for each label, float64 (classes + 1, classes); the last is for shapes of no class.

    Of the probability, the share `label_smoothing`, in [0, 1), is spread over all classes, which are equally probable
    for the shapes. Source of the latter: D. Hendrycks, M. Mazeika, T. Dietterich, Deep anomaly detection with outlier
    exposure, ICLR (2019), section 4.
    """
    one_hot = np.eye(classes) * (1 - label_smoothing) + label_smoothing / classes
    return np.vstack([one_hot, np.full(classes, 1 / classes)])


def choose_gradient(params: TrainParams, model: Classifier, processes: Processes = ALONE) -> Gradient:
    """How to compute the gradient: in closed form for softmax regression, by autograd for the other models."""
    if params.model == "logistic":
        return ClosedForm(model, params.label_smoothing, processes)
    return Backpropagation(model, params.label_smoothing, params.precision, params.channels_last, processes)
