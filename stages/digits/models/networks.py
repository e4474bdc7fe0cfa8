"""The networks, each from standardised pixels, float32 (N, 1, 28, 28), to logits, float32 (N, 10)."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from digits.foundation.params import Section
from digits.models.network_options import NetworkOptions, NoOptions

import torch
from torch import nn

CLASSES = 10


def logistic() -> nn.Sequential:
    """Softmax regression, that is, multiclass logistic regression: 7,850 parameters."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, CLASSES),
    )


def mlp(width: int, depth: int, dropout: float) -> nn.Sequential:
    """A multilayer perceptron: `depth` hidden layers of `width` units, each followed by dropout."""
    sizes = [28 * 28] + [width] * depth
    return nn.Sequential(
        nn.Flatten(),
        *(layer for inputs, outputs in pairwise(sizes) for layer in hidden(inputs, outputs, dropout)),
        nn.Linear(width, CLASSES),
    )


def lenet5() -> nn.Sequential:
    """LeNet-5 with ReLU, max pooling, all feature maps connected and a linear output layer: 61,706 parameters.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86 (1998), section II.B.
    """
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),  # (N, 6, 14, 14)
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(),  # (N, 16, 5, 5)
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, CLASSES),
    )  # fmt: skip


def cnn(width: int, depth: int, dropout: float) -> nn.Sequential:
    """A compact convolutional network: 1 + 2 `depth` convolutions, the first with `width` output channels.

    Max pooling comes before batch normalisation, which saves it three quarters of its work.
    """
    return nn.Sequential(
        *convolution(1, width, 5, padding=0, pool=True),  # (N, width, 12, 12)
        *block(width, 2 * width, depth),  # (N, 2 width, 6, 6)
        *block(2 * width, 4 * width, depth),  # (N, 4 width, 3, 3)
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * width * 3 * 3, CLASSES),
    )


def hidden(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    """A fully connected layer of `mlp`."""
    return [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]


def block(inputs: int, outputs: int, depth: int) -> list[nn.Module]:
    """`depth` 3 x 3 convolutions of `cnn`; the last halves height and width."""
    pools = [False] * (depth - 1) + [True]
    channels = pairwise([inputs] + [outputs] * depth)
    return [layer for (i, o), pool in zip(channels, pools, strict=True) for layer in convolution(i, o, 3, 1, pool)]


def convolution(inputs: int, outputs: int, size: int, padding: int, pool: bool) -> list[nn.Module]:
    """A convolution, without the bias that batch normalisation would cancel, and the layers that follow it."""
    return [
        nn.Conv2d(inputs, outputs, size, padding=padding, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


NETWORKS: dict[str, tuple[Callable[..., nn.Sequential], type[Section]]] = {
    "logistic": (logistic, NoOptions),
    "mlp": (mlp, NetworkOptions),
    "lenet5": (lenet5, NoOptions),
    "cnn": (cnn, NetworkOptions),
}


def build_layers(architecture: str, options: Mapping[str, Any], seed: int) -> nn.Sequential:
    """The layers of `architecture` with the initial weights that `seed` gives, on the CPU.

    Args:
        architecture: logistic, mlp, lenet5 or cnn.
        options: arguments of the function of that name.
        seed: of PyTorch's default initialisation.

    Raises:
        ValidationError: the options are missing, unknown, of the wrong type or out of range.
    """
    network, schema = NETWORKS[architecture]
    checked = schema(**options)  # validated here, because they may come from a model file
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(**checked.model_dump())
