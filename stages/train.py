"""Train the classifier on the training images and score it on the validation images after every epoch.

Reads train.safetensors, val.safetensors, others.safetensors and dataset.json in data/tensors; writes
models/model.safetensors, metrics/train.csv (a row per epoch) and metrics/train.json (the metrics of the
last epoch, and the number of parameters), both also while it trains.
Command: python stages/train.py
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from digits.foundation.files import write_csv, write_json
from digits.foundation.params import params_error, read_params, read_values
from digits.foundation.stage import repository_root, run
from digits.models.portable_arithmetic import use_portable_arithmetic
from digits.training.machine import keep_freed_memory, usable_cores
from digits.training.params import TrainParams, refuse_conflicts

TRAIN = Path("data/tensors/train.safetensors")
VAL = Path("data/tensors/val.safetensors")
OTHERS = Path("data/tensors/others.safetensors")
SUMMARY = Path("data/tensors/dataset.json")
MODEL = Path("models/model.safetensors")
CURVES = Path("metrics/train.csv")
METRICS = Path("metrics/train.json")
# Source of the file, and of what `tell_editor` writes to it: iterative/dvclive, vscode.py.
STEP = ".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED"


def main() -> None:
    params = read_params("train", TrainParams)
    refuse_conflicts(params)
    portable = params.arithmetic == "portable" and not params.is_exact
    if portable:
        use_portable_arithmetic()
    keep_freed_memory()
    # PyTorch takes seconds to load, which an error in the parameters should not; and it reads how to compute.
    import numpy as np
    import torch
    from tqdm import tqdm

    from digits.dataset import load_dataset, load_summary
    from digits.models.classifier import Classifier, build_layers
    from digits.models.model_file import ModelInfo, save_model
    from digits.scoring import progress
    from digits.training.augmentation import choose_augmentation
    from digits.training.checkpoint import Checkpoint, is_recorded, training_key
    from digits.training.gradients import choose_gradient
    from digits.training.loop import Training, fit, resolve_device
    from digits.training.optimizers import choose_optimizer
    from digits.training.processes import FIRST, connected
    from digits.training.schedules import Schedule

    torch.set_num_threads(1 if params.is_exact else params.threads or usable_cores())
    torch.manual_seed(params.seed)  # dropout
    device = resolve_device("cpu" if portable or params.model == "logistic" else params.device, params.processes)
    summary = load_summary(SUMMARY)
    classes = len(summary.about.classes)
    train, val = load_dataset(TRAIN, classes), load_dataset(VAL, classes, allow_empty=True)
    others = load_dataset(OTHERS, classes + 1, allow_empty=True)
    # A recipe that teaches shapes of no class is also for data that has none.
    taught = round(params.others * len(train)) if len(others) > 0 else 0
    drawn = np.random.default_rng(params.seed).integers(len(others) or 1, size=taught)
    require_shares(params, len(train) + taught)
    mean, std = (summary.pixel_mean, summary.pixel_std) if params.normalize else (0.0, 1.0)
    options = dict(getattr(params, params.model, {}))
    model = Classifier(build_layers(params.model, options, classes, params.seed), mean, std).to(device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{summary.about.name}: {len(train):,} training and {len(val):,} validation images, on {device}")
    if taught:
        print(f"plus {taught:,} images of printed letters, which are not digits")
    print(f"{params.model}: {parameters:,} parameters")
    installed = {"torch": torch.__version__.partition("+")[0], "numpy": np.__version__}
    if not params.is_exact and installed != (named := read_values("versions")):
        print(f"note: the versions in params.yaml are {named}, those installed {installed}:")
        print("the model may differ in its last bits from one that they give")
    processor = {} if portable or params.is_exact else torch.cpu.get_capabilities()
    supported = any(has for name, has in processor.items() if "bf16" in name)
    if processor and params.precision == "bfloat16" and device.type == "cpu" and not supported:
        print("note: this processor has no bfloat16 support; float32 is many times faster here:")
        print("dvc exp run -S train.precision=float32")

    key = training_key(params.model_dump_json(), [TRAIN, VAL, OTHERS, SUMMARY], device, processor)
    checkpoint = Checkpoint(key) if FIRST else None
    with connected(params.processes, device, key) as processes:
        optimizer, gradient = choose_optimizer(params, model), choose_gradient(params, model, processes)
        generator = torch.Generator().manual_seed(params.seed)
        batch_size = len(train) + taught if params.optimizer == "lbfgs" else params.batch_size
        training = Training(model, optimizer, gradient, generator, batch_size, choose_augmentation(params), processes)
        saved = checkpoint.load() if checkpoint else None
        if saved:
            write_metrics(saved["rows"], parameters)
            if len(saved["rows"]) == params.epochs and is_recorded("train", CURVES):
                saved = None
        if saved := processes.from_first(saved):
            training.load_state_dict(saved)
            done = f"{len(training.rows)} of {params.epochs}"
            print(f"resuming after epoch {done}, from an earlier run's checkpoint", flush=True)

        schedule = Schedule(params.schedule, params.lr, params.warmup, params.epochs, **params.step.model_dump())
        start = time.perf_counter()
        # Shown on a terminal alone, and only if it is worth waiting for.
        hidden = None if checkpoint else True
        bar = tqdm(total=params.epochs, initial=len(training.rows), unit="epoch", delay=5, leave=False, disable=hidden)
        for row in fit(training, schedule, train.extended(others.take(drawn), 1), val):
            if checkpoint and (checkpoint.is_due() or row["epoch"] == params.epochs):
                checkpoint.save(training.state_dict())
                write_metrics(training.rows, parameters)
                tell_editor(row["epoch"])
            bar.clear()
            print(progress(row, params.epochs, time.perf_counter() - start), flush=True)
            bar.update()
        bar.close()
    if checkpoint:
        info = ModelInfo(architecture=params.model, options=options, dataset=summary.about, others=taught > 0)
        save_model(MODEL, model.arrays(), info)
        checkpoint.finish()


def write_metrics(rows: list[dict[str, Any]], parameters: int) -> None:
    """Write a table of the epochs so far, and the last one."""
    write_csv(CURVES, rows)
    last = rows[-1] | {"epoch": None, "lr": None, "parameters": parameters}
    write_json(METRICS, {name: value for name, value in last.items() if value is not None})  # val_* may be missing


def tell_editor(step: int) -> None:
    """Let DVC's extension for VS Code, if it watches, read the metrics again, also in a copy of the queue's."""
    with suppress(OSError):  # nothing depends on it
        write_json(repository_root() / STEP, {"pid": os.getpid(), "step": step})


def require_shares(params: TrainParams, images: int) -> None:
    """Raise a `UserError` if the last batch of an epoch of so many images has too few for each process."""
    last = images % params.batch_size or params.batch_size
    # small_cnn ends in a single pixel, and batch normalisation needs two values.
    least = params.processes * (2 if params.model == "small_cnn" else 1)
    if last < least:
        raise params_error(
            f"train.batch_size: must leave {least} images or more for the last batch of {params.model} in "
            f"{params.processes} process(es), got {params.batch_size}, which leaves {last} of {images:,}"
        )


if __name__ == "__main__":
    run(main)
