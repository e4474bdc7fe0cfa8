"""Train the classifier on the training images and score it on the validation images after every epoch.

Reads train.safetensors, val.safetensors and dataset.json in data/tensors; writes models/model.safetensors,
metrics/train.csv (a row per epoch) and metrics/train.json (the last row).
Command: python stages/train.py
"""

import os
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from digits.files import read_json, write_csv, write_json
from digits.params import Number, Section, Seed, read_params
from digits.stage import run

from pydantic import Field

TRAIN = Path("data/tensors/train.safetensors")
VAL = Path("data/tensors/val.safetensors")
SUMMARY = Path("data/tensors/dataset.json")
MODEL = Path("models/model.safetensors")
CURVES = Path("metrics/train.csv")
METRICS = Path("metrics/train.json")


class TrainParams(Section):
    """Section `train` of params.yaml."""

    normalize: bool
    optimizer: Literal["sgd", "adam", "adamw"]
    lr: Annotated[Number, Field(gt=0)]
    schedule: Literal["constant", "linear", "cosine"]
    warmup: Annotated[Number, Field(ge=0, lt=1)]
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    weight_decay: Annotated[Number, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1, le=10**6)]
    epochs: Annotated[int, Field(ge=1, le=10**6)]
    seed: Seed
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Annotated[int, Field(ge=0, le=256)]


def main() -> None:
    params = read_params("train", TrainParams)
    from digits.dataset import load_dataset
    from digits.model import Classifier, ModelInfo, build_layers, save_model
    from digits.optimizer import Optimizer
    from digits.training import fit, resolve_device

    import torch

    torch.set_num_threads(params.threads or os.cpu_count() or 1)
    device = resolve_device(params.device)
    train, val = load_dataset(TRAIN), load_dataset(VAL)
    summary = read_json(SUMMARY)
    print(f"{summary['name']}: {len(train):,} training and {len(val):,} validation images, on {device}")

    mean, std = (summary["pixel_mean"], summary["pixel_std"]) if params.normalize else (0.0, 1.0)
    model = Classifier(build_layers("logistic", params.seed), mean, std).to(device)
    optimizer = Optimizer(params.optimizer, model.parameters(), params.momentum, params.weight_decay)
    rows = []
    start = time.perf_counter()
    for row in fit(
        model,
        optimizer,
        train.to(device),
        val.to(device),
        lr=params.lr,
        schedule=params.schedule,
        warmup=params.warmup,
        batch_size=params.batch_size,
        epochs=params.epochs,
        seed=params.seed,
    ):
        rows.append(row)
        write_csv(CURVES, rows)
        print(progress(row, params.epochs, time.perf_counter() - start), flush=True)
    save_model(MODEL, model, ModelInfo("logistic", summary["name"]))
    del row["epoch"], row["lr"]
    write_json(METRICS, {name: value for name, value in row.items() if value is not None})


def progress(row: dict[str, Any], epochs: int, seconds: float) -> str:
    """One line of at most 80 characters about an epoch."""
    val = f"  val loss {row['val_loss']:.4f} acc {row['val_accuracy']:.4f}" if row["val_loss"] is not None else ""
    return (
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"
        f"  train loss {row['train_loss']:.4f} acc {row['train_accuracy']:.4f}{val}  {seconds:.1f} s"
    )


if __name__ == "__main__":
    run(main)
