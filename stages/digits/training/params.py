"""Section `train` of params.yaml, and which of its values exclude one another."""

from collections.abc import Iterator
from typing import Annotated, Literal

from digits.foundation.arithmetic import unsuitable_machine
from digits.foundation.params import Number, Section, Seed, Share, params_error
from digits.models.networks import NetworkOptions

from pydantic import Field


class AffineParams(Section):
    degrees: Annotated[Number, Field(ge=0, le=180)]
    shift: Annotated[Number, Field(ge=0, le=28)]
    scale: Share
    shear: Annotated[Number, Field(ge=0, le=2)]


class ElasticParams(Section):
    alpha: Annotated[Number, Field(ge=0, le=1000)]
    sigma: Annotated[Number, Field(ge=0.5, le=28)]


class HandwritingParams(Section):
    share: Annotated[Number, Field(ge=0, le=1)]
    stroke: Annotated[Number, Field(ge=0, le=1)]
    noise: Annotated[Number, Field(ge=0, le=1)]


class SgdParams(Section):
    momentum: Share
    nesterov: bool


class StepParams(Section):
    size: Annotated[int, Field(ge=1, le=10**6)]
    gamma: Annotated[Number, Field(gt=0, le=1)]


class TrainParams(Section):
    """Section `train` of params.yaml."""

    model: Literal["logistic", "mlp", "lenet5", "cnn"]
    mlp: NetworkOptions
    cnn: NetworkOptions
    normalize: bool
    augment: Literal["none", "affine", "elastic", "handwriting"]
    affine: AffineParams
    elastic: ElasticParams
    handwriting: HandwritingParams
    optimizer: Literal["sgd", "adam", "adamw", "lbfgs"]
    sgd: SgdParams
    lr: Annotated[Number, Field(gt=0, le=1e38)]
    schedule: Literal["constant", "linear", "cosine", "step"]
    step: StepParams
    warmup: Share
    weight_decay: Annotated[Number, Field(ge=0, le=1e38)]
    label_smoothing: Share
    batch_size: Annotated[int, Field(ge=1, le=10**6)]
    epochs: Annotated[int, Field(ge=1, le=10**6)]
    seed: Seed
    arithmetic: Literal["portable", "native"]
    precision: Literal["float32", "bfloat16"]
    channels_last: bool
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=0, le=256)]
    processes: Annotated[int, Field(ge=1, le=10**4)]


def refuse_conflicts(params: TrainParams) -> None:
    """Refuse settings that the chosen arithmetic, optimizer or model does not support.

    Raises:
        UserError: there are conflicts; the message lists all of them.
    """
    problems: list[str] = []
    if params.arithmetic == "portable":
        problems += _with_portable_arithmetic(params)
    if params.optimizer == "lbfgs":
        problems += _with_lbfgs(params)
    problems += _with_others(params)
    if problems:
        raise params_error("".join(f"\n  train.{problem}" for problem in problems))


def _with_portable_arithmetic(params: TrainParams) -> Iterator[str]:
    if machine := unsuitable_machine():
        yield f"arithmetic: portable needs Linux on x86-64 with AVX2, got {machine}; set it to native"
    if params.precision == "bfloat16":
        yield (
            "precision: portable arithmetic is float32, since processors differ in bfloat16, got bfloat16; set it to "
            "float32, or arithmetic to native"
        )
    if params.device in ("cuda", "mps"):
        yield (
            f"device: portable arithmetic runs on the CPU, got {params.device}; set it to cpu, or arithmetic to native"
        )
    if params.channels_last:
        yield (
            "channels_last: portable arithmetic does without it, since its sums depend on the processor's caches, got "
            "true; set it to false, or arithmetic to native"
        )
    if params.threads == 0:
        yield (
            "threads: portable arithmetic needs a number that is the same on all machines, got 0; set it to 1, or "
            "arithmetic to native"
        )


def _with_lbfgs(params: TrainParams) -> Iterator[str]:
    line_search = "lbfgs finds its step by a line search"
    if params.model != "logistic":
        yield f"optimizer: lbfgs needs the model logistic, got {params.model}; use sgd, adam or adamw"
    if params.augment != "none":
        yield f"augment: lbfgs needs the same images at every update, got {params.augment}; set it to none"
    if params.schedule != "constant":
        yield f"schedule: {line_search}, got {params.schedule}; set it to constant"
    if params.processes > 1:
        yield f"processes: lbfgs runs in a single one, got {params.processes}; set it to 1"
    if params.warmup > 0:
        yield f"warmup: {line_search}, got {params.warmup}; set it to 0"
    if params.lr > 1e6:
        yield f"lr: {line_search} that starts with lr, got {params.lr:g}; set it to 1"


def _with_others(params: TrainParams) -> Iterator[str]:
    if params.model == "logistic" and params.precision == "bfloat16":
        yield "precision: the model logistic is trained in float32, got bfloat16; set it to float32"
    if params.model in ("logistic", "mlp") and params.channels_last:
        yield f"channels_last: the model {params.model} has no convolutions, got true; set it to false"
    if params.optimizer == "sgd" and params.sgd.nesterov and params.sgd.momentum == 0:
        yield "sgd.nesterov: needs momentum, got a momentum of 0; set sgd.momentum, for example to 0.9"
