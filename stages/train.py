"""Train the classifier on the training images and score it on the validation images after every epoch.

Reads train.safetensors, val.safetensors and dataset.json in data/tensors; writes models/model.safetensors,
metrics/train.csv (a row per epoch) and metrics/train.json (the last row, and the number of parameters).
Command: python stages/train.py
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from digits.foundation.arithmetic import unsuitable_machine, use_portable_arithmetic
from digits.foundation.files import write_csv, write_json
from digits.foundation.params import Number, Section, Seed, Share, params_error, read_params
from digits.foundation.stage import run
from digits.models.networks import NetworkOptions
from digits.training.allocator import keep_freed_memory

from pydantic import Field

if TYPE_CHECKING:
    from digits.models.classifier import Classifier
    from digits.training.augmentation import Augmentation
    from digits.training.optimizers import Gradient, Lbfgs, Optimizer
    from digits.training.processes import Processes

TRAIN = Path("data/tensors/train.safetensors")
VAL = Path("data/tensors/val.safetensors")
SUMMARY = Path("data/tensors/dataset.json")
MODEL = Path("models/model.safetensors")
CURVES = Path("metrics/train.csv")
METRICS = Path("metrics/train.json")


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


def main() -> None:
    params = read_params("train", TrainParams)
    refuse_conflicts(params)
    if params.arithmetic == "portable":
        use_portable_arithmetic()
    keep_freed_memory()
    from digits.data.dataset import Description, load_dataset, load_summary
    from digits.models.classifier import Classifier, build_layers
    from digits.models.model_file import ModelInfo, save_model
    from digits.training.checkpoint import Checkpoint, is_recorded, training_key
    from digits.training.loop import Training, fit, resolve_device
    from digits.training.processes import FIRST, connected
    from digits.training.schedules import Schedule
    from digits.training.shared import share_batch_norm

    import torch

    torch.set_num_threads(params.threads or os.cpu_count() or 1)
    torch.manual_seed(params.seed)  # dropout
    device = resolve_device("cpu" if params.arithmetic == "portable" else params.device)
    summary = load_summary(SUMMARY)
    classes = len(summary.classes)
    train, val = load_dataset(TRAIN, classes, at_random=True), load_dataset(VAL, classes, allow_empty=True)
    mean, std = (summary.pixel_mean, summary.pixel_std) if params.normalize else (0.0, 1.0)
    options = dict(getattr(params, params.model, {}))
    model = Classifier(build_layers(params.model, options, classes, params.seed), mean, std).to(device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{summary.name}: {len(train):,} training and {len(val):,} validation images, on {device}")
    print(f"{params.model}: {parameters:,} parameters")
    if params.precision == "bfloat16" and device.type == "cpu" and not has_bfloat16_units():
        print("note: this processor has no units for bfloat16; float32 is many times as fast here:")
        print("dvc exp run -S train.precision=float32")

    processor = None if params.arithmetic == "portable" else torch.cpu.get_capabilities()
    key = training_key(params.model_dump_json(), [TRAIN, VAL, SUMMARY], device, processor)
    checkpoint = Checkpoint(key) if FIRST else None
    with connected(params.processes, device) as processes:
        if processes.count > 1:
            processes.require_same(key)
            share_batch_norm(model.layers, processes)
        gradient = choose_gradient(params, model, processes)
        training = Training(model, choose_optimizer(params, model), torch.Generator().manual_seed(params.seed))
        saved = checkpoint.load() if checkpoint else None
        if saved:
            write_csv(CURVES, saved["rows"])
            if len(saved["rows"]) == params.epochs and is_recorded("train", CURVES):
                saved = None
        if saved := processes.from_first(saved):
            training.load_state_dict(saved)
            print(f"resuming after epoch {len(training.rows)} of {params.epochs}, from an earlier run's checkpoint")

        start = time.perf_counter()
        for row in fit(
            training,
            gradient,
            Schedule(params.schedule, params.lr, params.warmup, params.epochs, **params.step.model_dump()),
            train,
            val,
            augmentation=choose_augmentation(params),
            batch_size=len(train) if params.optimizer == "lbfgs" else params.batch_size,
            processes=processes,
        ):
            if checkpoint and (checkpoint.is_due() or row["epoch"] == params.epochs):
                checkpoint.save(training.state_dict())
                write_csv(CURVES, training.rows)
            print(progress(row, params.epochs, time.perf_counter() - start), flush=True)
    if not checkpoint:
        return
    about = Description(name=summary.name, classes=summary.classes, pictures=summary.pictures)
    info = ModelInfo(architecture=params.model, options=options, dataset=about)
    save_model(MODEL, model.arrays(), info)
    last = {name: value for name, value in training.rows[-1].items() if name not in ("epoch", "lr")}
    known = {name: value for name, value in last.items() if value is not None}  # val_* without validation images
    write_json(METRICS, known | {"parameters": parameters})


def refuse_conflicts(params: TrainParams) -> None:
    """Refuse settings that the chosen model or optimizer does not support.

    Raises:
        UserError: there are conflicts; the message lists all of them.
    """
    portable = params.arithmetic == "portable"
    machine = unsuitable_machine() if portable else None
    lbfgs, logistic = params.optimizer == "lbfgs", params.model == "logistic"
    line_search = "lbfgs finds its step by a line search"
    conflicts = [
        (
            machine is not None,
            f"arithmetic: portable needs Linux on x86-64 with AVX2, got {machine}; set it to native",
        ),
        (
            portable and params.precision == "bfloat16",
            "precision: portable arithmetic is float32, since processors differ in bfloat16, got bfloat16; set it to "
            "float32, or arithmetic to native",
        ),
        (
            portable and params.device in ("cuda", "mps"),
            f"device: portable arithmetic runs on the CPU, got {params.device}; set it to cpu, or arithmetic to native",
        ),
        (
            portable and params.channels_last,
            "channels_last: portable arithmetic does without it, since its sums depend on the processor's caches, got "
            "true; set it to false, or arithmetic to native",
        ),
        (
            portable and params.threads == 0,
            "threads: portable arithmetic needs a number that is the same on all machines, got 0; set it to 1, or "
            "arithmetic to native",
        ),
        (
            lbfgs and not logistic,
            f"optimizer: lbfgs needs the model logistic, got {params.model}; use sgd, adam or adamw",
        ),
        (
            lbfgs and params.augment != "none",
            f"augment: lbfgs needs the same images at every update, got {params.augment}; set it to none",
        ),
        (
            lbfgs and params.schedule != "constant",
            f"schedule: {line_search}, got {params.schedule}; set it to constant",
        ),
        (
            lbfgs and params.processes > 1,
            f"processes: lbfgs runs in a single one, got {params.processes}; set it to 1",
        ),
        (lbfgs and params.warmup > 0, f"warmup: {line_search}, got {params.warmup}; set it to 0"),
        (lbfgs and params.lr > 1e6, f"lr: {line_search} that starts with lr, got {params.lr:g}; set it to 1"),
        (
            logistic and params.precision == "bfloat16",
            "precision: the model logistic is trained in float32, got bfloat16; set it to float32",
        ),
        (
            params.channels_last and params.model in ("logistic", "mlp"),
            f"channels_last: the model {params.model} has no convolutions, got true; set it to false",
        ),
        (
            params.optimizer == "sgd" and params.sgd.nesterov and params.sgd.momentum == 0,
            "sgd.nesterov: needs momentum, got a momentum of 0; set sgd.momentum, for example to 0.9",
        ),
    ]
    problems = [f"\n  train.{problem}" for applies, problem in conflicts if applies]
    if problems:
        raise params_error("".join(problems))


def choose_gradient(params: TrainParams, model: "Classifier", processes: "Processes") -> "Gradient":
    """How to compute the gradient: in closed form for softmax regression, by autograd for the other models."""
    from digits.training.gradients import Backpropagation, SoftmaxRegression, addmm_portably
    from digits.training.shared import averaged

    import torch

    several = processes.count > 1
    gradient: Gradient
    if params.model == "logistic":
        addmm = addmm_portably if params.arithmetic == "portable" else torch.addmm
        gradient = SoftmaxRegression(model, params.label_smoothing, addmm, several).gradient
    else:
        settings = params.label_smoothing, params.precision, params.channels_last
        gradient = Backpropagation(model, *settings, several).gradient
    return averaged(gradient, model.parameters(), processes) if several else gradient


def choose_optimizer(params: TrainParams, model: "Classifier") -> "Optimizer | Lbfgs":
    from digits.training.optimizers import Lbfgs, Optimizer

    if params.optimizer == "lbfgs":
        return Lbfgs(model.parameters(), params.weight_decay, params.label_smoothing)
    return Optimizer(params.optimizer, model.parameters(), params.weight_decay, **params.sgd.model_dump())


def choose_augmentation(params: TrainParams) -> "Augmentation | None":
    from digits.training.augmentation import Augmentation

    if params.augment == "none":
        return None
    more = getattr(params, params.augment).model_dump()
    return Augmentation(**params.affine.model_dump() | more)


def has_bfloat16_units() -> bool:
    """Whether this processor has instructions for bfloat16: avx512_bf16, amx_bf16 or, on ARM, bf16."""
    import torch

    return any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)


def progress(row: dict[str, Any], epochs: int, seconds: float) -> str:
    """A line of at most 80 characters about an epoch."""
    val = f"  val loss {row['val_loss']:.4f} acc {row['val_accuracy']:.4f}" if row["val_loss"] is not None else ""
    return (
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"
        f"  train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.4f}{val}  {seconds:.1f} s"
    )


if __name__ == "__main__":
    run(main)
