"""Section `train` of params.yaml, and which of its values exclude one another."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, Literal

from pydantic import Field

from digits.foundation.params import Section, Seed, Share, params_error
from digits.models.networks import NetworkOptions, SmallCnnOptions
from digits.models.portable_arithmetic import unsuitable_machine

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**6)]


class AffineParams(Section):
    degrees: Annotated[float, Field(ge=0, le=180)]
    shift: Annotated[float, Field(ge=0, le=28)]
    scale: Share
    shear: Annotated[float, Field(ge=0, le=2)]


class ElasticParams(Section):
    alpha: Annotated[float, Field(ge=0, le=1000)]
    sigma: Annotated[float, Field(ge=0.5, le=28)]


class HandwritingParams(Section):
    share: Fraction
    stroke: Fraction
    noise: Fraction


class SgdParams(Section):
    momentum: Share
    nesterov: bool


class StepParams(Section):
    size: Count
    gamma: Annotated[float, Field(gt=0, le=1)]


class TrainParams(Section):
    """Section `train` of params.yaml."""

    model: Literal["logistic", "mlp", "lenet5", "small_cnn", "cnn"]
    mlp: NetworkOptions
    small_cnn: SmallCnnOptions
    cnn: NetworkOptions
    normalize: bool
    augment: Literal["none", "affine", "elastic", "handwriting"]
    affine: AffineParams
    elastic: ElasticParams
    handwriting: HandwritingParams
    others: Fraction
    optimizer: Literal["sgd", "adam", "adamw", "lbfgs"]
    sgd: SgdParams
    lr: Annotated[float, Field(gt=0, le=1e38)]
    schedule: Literal["constant", "linear", "cosine", "step"]
    step: StepParams
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0, le=1e38)]
    label_smoothing: Share
    batch_size: Count
    epochs: Count
    seed: Seed
    arithmetic: Literal["portable", "native"]
    precision: Literal["float32", "bfloat16"]
    channels_last: bool
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=0, le=256)]
    processes: Annotated[int, Field(ge=1, le=10**4)]

    @property
    def is_exact(self) -> bool:
        """Whether the training gives the same bytes on every computer, so that nothing has to be held to one choice."""
        return self.model == "logistic" and self.optimizer != "lbfgs" and self.augment == "none"


def refuse_conflicts(params: TrainParams) -> None:
    """Raise a `UserError` that lists all settings that the chosen arithmetic, optimizer or model does not support."""
    problems = [
        f"\n  train.{name}: {reason}, got {str(attrgetter(name)(params)).lower()}; set it to {supported}"
        for name, reason, supported in _conflicts(params)
    ]
    if problems:
        raise params_error("".join(problems))


def _conflicts(params: TrainParams) -> Iterator[tuple[str, str, str]]:
    """Parameters whose values are not supported: the name, why, and what would be."""
    model = params.model
    if params.arithmetic == "portable" and not params.is_exact:
        portable, or_native = "portable arithmetic", "or arithmetic to native"
        if machine := unsuitable_machine():
            yield "arithmetic", f"portable needs Linux on x86-64 with AVX2, and this is {machine}", "native"
        if params.precision == "bfloat16" and model != "logistic":
            yield "precision", f"{portable} is float32, since processors differ in bfloat16", f"float32, {or_native}"
        if params.device in ("cuda", "mps") and model != "logistic":
            yield "device", f"{portable} runs on the CPU", f"cpu, {or_native}"
        if params.channels_last:
            yield "channels_last", f"{portable} does without, since its sums depend on caches", f"false, {or_native}"
        if params.threads == 0:
            yield "threads", f"{portable} needs the same number on all machines", f"1, {or_native}"
    if params.optimizer == "lbfgs":
        line_search = "lbfgs finds its step by a line search"
        if model != "logistic":
            yield "model", "the optimizer lbfgs trains logistic only", "logistic, or optimizer to sgd, adam or adamw"
        if params.augment != "none":
            yield "augment", "lbfgs needs the same images at every update", "none"
        if params.schedule != "constant":
            yield "schedule", line_search, "constant"
        if params.processes > 1:
            yield "processes", "lbfgs runs in a single one", "1"
        if params.warmup > 0:
            yield "warmup", line_search, "0"
        if params.lr > 1e6:
            yield "lr", f"{line_search} that starts with lr", "1"
    if model == "logistic" and params.precision == "bfloat16":
        yield "precision", "the model logistic is trained in float32", "float32"
    if model == "logistic" and params.device in ("cuda", "mps"):
        yield "device", "the model logistic is trained on the CPU", "cpu"
    if model in ("logistic", "mlp") and params.channels_last:
        yield "channels_last", f"the model {model} has no convolutions", "false"
    if params.optimizer == "sgd" and params.sgd.nesterov and params.sgd.momentum == 0:
        yield "sgd.nesterov", "needs a momentum other than 0", "false, or sgd.momentum to 0.9"
