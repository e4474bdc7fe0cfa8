"""The networks, each from standardised pixels, float32 (N, 1, 28, 28), to logits, float32 (N, classes)."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field

from digits.foundation.params import Section, Share
from digits.models.layers import Layer, batch_norm2d, conv2d, flatten, linear, max_pool2d, relu
from digits.models.layers import dropout as dropout_layer


class SmallCnnOptions(Section):
    """Options of `small_cnn`."""

    width: Annotated[int, Field(ge=1, le=4096)]
    dropout: Share


class NetworkOptions(SmallCnnOptions):
    """Options of `mlp` and `cnn`."""

    depth: Annotated[int, Field(ge=1, le=32)]


def logistic(classes: int) -> list[Layer]:
    """Softmax regression, that is, multiclass logistic regression: 7,850 parameters for 10 classes."""
    return [flatten(), linear(28 * 28, classes)]


def mlp(classes: int, width: int, depth: int, dropout: float) -> list[Layer]:
    """A multilayer perceptron: `depth` hidden layers of `width` units, each followed by dropout."""
    sizes = [28 * 28] + [width] * depth
    hidden = [layer for i, o in pairwise(sizes) for layer in (linear(i, o), relu(), dropout_layer(dropout))]
    return [flatten(), *hidden, linear(width, classes)]


def lenet5(classes: int) -> list[Layer]:
    """LeNet-5 with ReLU, max pooling, all feature maps connected and a linear output: 61,706 parameters for 10 classes.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86 (1998), section II.B.
    """
    return [
        conv2d(1, 6, 5, padding=2), max_pool2d(2), relu(),  # (N, 6, 14, 14)
        conv2d(6, 16, 5), max_pool2d(2), relu(),  # (N, 16, 5, 5)
        flatten(),
        linear(16 * 5 * 5, 120), relu(),
        linear(120, 84), relu(),
        linear(84, classes),
    ]  # fmt: skip


def small_cnn(classes: int, width: int, dropout: float) -> list[Layer]:
    """Four convolutions, the first with `width` output channels, of images that shrink fast.

    A stride in place of the first pooling, and no zeros around the images, save more than half of the time of `cnn`.
    """
    return [
        *convolution(1, width, 5, stride=2),  # (N, width, 12, 12)
        *convolution(width, 2 * width, 3, pool=True),  # (N, 2 width, 5, 5)
        *convolution(2 * width, 4 * width, 3),  # (N, 4 width, 3, 3)
        *convolution(4 * width, 4 * width, 3),  # (N, 4 width, 1, 1)
        flatten(),
        dropout_layer(dropout),
        linear(4 * width, classes),
    ]


def cnn(classes: int, width: int, depth: int, dropout: float) -> list[Layer]:
    """A compact convolutional network: 1 + 2 `depth` convolutions, the first with `width` output channels."""
    return [
        *convolution(1, width, 5, pool=True),  # (N, width, 12, 12)
        *block(width, 2 * width, depth),  # (N, 2 width, 6, 6)
        *block(2 * width, 4 * width, depth),  # (N, 4 width, 3, 3)
        flatten(),
        dropout_layer(dropout),
        linear(4 * width * 3 * 3, classes),
    ]


def block(inputs: int, outputs: int, depth: int) -> list[Layer]:
    """`depth` 3 x 3 convolutions of `cnn`; the last halves height and width."""
    channels = [inputs] + [outputs] * (depth - 1)
    return [
        *(layer for i, o in pairwise(channels) for layer in convolution(i, o, 3, padding=1)),
        *convolution(channels[-1], outputs, 3, padding=1, pool=True),
    ]


def convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0, pool: bool = False
) -> list[Layer]:
    """A convolution, without the bias that batch normalisation would cancel, and the layers that follow it.

    Max pooling comes before batch normalisation, which saves it three quarters of its work.
    """
    return [
        conv2d(inputs, outputs, size, stride, padding, bias=False),
        *([max_pool2d(2)] if pool else []),
        batch_norm2d(outputs),
        relu(),
    ]


NETWORKS: dict[str, tuple[Callable[..., list[Layer]], type[Section]]] = {
    "logistic": (logistic, Section),  # no options
    "mlp": (mlp, NetworkOptions),
    "lenet5": (lenet5, Section),
    "small_cnn": (small_cnn, SmallCnnOptions),
    "cnn": (cnn, NetworkOptions),
}


def layers_of(architecture: str, options: Mapping[str, Any], classes: int) -> list[Layer]:
    """The layers of one of `NETWORKS`, for so many classes, with these options, the other arguments of its function.

    Raises a `ValidationError` if the options are missing, unknown, of the wrong type or out of range.
    """
    network, schema = NETWORKS[architecture]
    return network(classes, **schema(**options).model_dump())  # validated, because they may come from a model file
