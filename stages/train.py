"""Train the classifier on the training images and score it on the validation images after every epoch.

Reads train.safetensors, val.safetensors and dataset.json in data/tensors; writes models/model.safetensors,
metrics/train.csv (a row per epoch) and metrics/train.json (the last row, and the number of parameters).
Command: python stages/train.py
"""

import os
import time
from pathlib import Path
from typing import Any

from digits.foundation.arithmetic import use_portable_arithmetic
from digits.foundation.files import write_csv, write_json
from digits.foundation.params import read_params
from digits.foundation.stage import run
from digits.training.allocator import keep_freed_memory
from digits.training.params import TrainParams, refuse_conflicts

TRAIN = Path("data/tensors/train.safetensors")
VAL = Path("data/tensors/val.safetensors")
SUMMARY = Path("data/tensors/dataset.json")
MODEL = Path("models/model.safetensors")
CURVES = Path("metrics/train.csv")
METRICS = Path("metrics/train.json")


def main() -> None:
    params = read_params("train", TrainParams)
    refuse_conflicts(params)
    if params.arithmetic == "portable":
        use_portable_arithmetic()
    keep_freed_memory()
    from digits.data.dataset import load_dataset, load_summary
    from digits.models.classifier import Classifier, build_layers
    from digits.models.model_file import ModelInfo, save_model
    from digits.training.checkpoint import Checkpoint, is_recorded, training_key
    from digits.training.choices import choose_augmentation, choose_gradient, choose_optimizer
    from digits.training.loop import Training, fit, resolve_device
    from digits.training.processes import FIRST, connected
    from digits.training.schedules import Schedule
    from digits.training.shared import share_batch_norm

    import torch

    torch.set_num_threads(params.threads or os.cpu_count() or 1)
    torch.manual_seed(params.seed)  # dropout
    device = resolve_device("cpu" if params.arithmetic == "portable" else params.device)
    summary = load_summary(SUMMARY)
    classes = len(summary.about.classes)
    train, val = load_dataset(TRAIN, classes, at_random=True), load_dataset(VAL, classes, allow_empty=True)
    mean, std = (summary.pixel_mean, summary.pixel_std) if params.normalize else (0.0, 1.0)
    options = dict(getattr(params, params.model, {}))
    model = Classifier(build_layers(params.model, options, classes, params.seed), mean, std).to(device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{summary.about.name}: {len(train):,} training and {len(val):,} validation images, on {device}")
    print(f"{params.model}: {parameters:,} parameters")
    if params.precision == "bfloat16" and device.type == "cpu" and not has_bfloat16_units():
        print("note: this processor has no units for bfloat16; float32 is many times as fast here:")
        print("dvc exp run -S train.precision=float32")

    processor = None if params.arithmetic == "portable" else torch.cpu.get_capabilities()
    key = training_key(params.model_dump_json(), [TRAIN, VAL, SUMMARY], device, processor)
    checkpoint = Checkpoint(key) if FIRST else None
    with connected(params.processes, device) as processes:
        processes.require_same(key)
        if processes.count > 1:
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
    save_model(MODEL, model.arrays(), ModelInfo(architecture=params.model, options=options, dataset=summary.about))
    last = {name: value for name, value in training.rows[-1].items() if name not in ("epoch", "lr")}
    known = {name: value for name, value in last.items() if value is not None}  # val_* without validation images
    write_json(METRICS, known | {"parameters": parameters})


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
