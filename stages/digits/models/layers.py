"""Layers, each described once for PyTorch, which trains them, and for ONNX, into which they are exported.

A network with a layer that is not here needs a function for it: its names and arguments stand in the documentation of
torch.nn and in ONNX's list of operators.
"""

from typing import Any, NamedTuple

BATCH_NORM_EPSILON = 1e-5  # PyTorch's default


class Layer(NamedTuple):
    """A layer."""

    module: str  # its class in torch.nn
    arguments: dict[str, Any]  # of that class
    # Shapes of what a trained layer consists of, by PyTorch's names, in the order of ONNX's inputs. All are float32 but
    # `num_batches_tracked`, an int64 that ONNX does without.
    tensors: dict[str, tuple[int, ...]]
    operator: str | None  # of ONNX; None for a layer that does nothing once training is over
    attributes: dict[str, Any]  # of that operator


def flatten() -> Layer:
    """From (N, ...) to (N, features)."""
    return Layer("Flatten", {}, {}, "Flatten", {"axis": 1})


def linear(inputs: int, outputs: int) -> Layer:
    """A fully connected layer."""
    tensors = {"weight": (outputs, inputs), "bias": (outputs,)}
    return Layer("Linear", {"in_features": inputs, "out_features": outputs}, tensors, "Gemm", {"transB": 1})


def conv2d(inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0, bias: bool = True) -> Layer:
    """A convolution with `outputs` filters of `size` by `size` pixels, `stride` apart, and zeros around the image."""
    arguments = {"in_channels": inputs, "out_channels": outputs, "kernel_size": size, "stride": stride}
    arguments |= {"padding": padding, "bias": bias}
    tensors = {"weight": (outputs, inputs, size, size), **({"bias": (outputs,)} if bias else {})}
    attributes = {"kernel_shape": [size, size], "strides": [stride, stride], "pads": [padding] * 4}
    return Layer("Conv2d", arguments, tensors, "Conv", attributes)


def max_pool2d(size: int) -> Layer:
    """The largest of each `size` by `size` pixels."""
    return Layer("MaxPool2d", {"kernel_size": size}, {}, "MaxPool", {"kernel_shape": [size] * 2, "strides": [size] * 2})


def batch_norm2d(channels: int) -> Layer:
    """Batch normalisation; once training is over, with the statistics that it gathered."""
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = {**dict.fromkeys(names, (channels,)), "num_batches_tracked": ()}
    arguments = {"num_features": channels, "eps": BATCH_NORM_EPSILON}
    return Layer("BatchNorm2d", arguments, tensors, "BatchNormalization", {"epsilon": BATCH_NORM_EPSILON})


def relu() -> Layer:
    """The larger one of each value and 0."""
    return Layer("ReLU", {}, {}, "Relu", {})


def dropout(share: float) -> Layer:
    """During training, replaces this share of the values by 0, at random."""
    return Layer("Dropout", {"p": share}, {}, None, {})
