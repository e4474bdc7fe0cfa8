"""Measurements of benchmarks/run.py that need a process of their own; each prints a JSON object."""

import builtins
import importlib
import json
import sys
import time
from itertools import pairwise
from typing import Any

from digits.models.portable_arithmetic import use_portable_arithmetic
from digits.training.machine import keep_freed_memory
from digits.training.params import TrainParams


def stage(name: str, started: float) -> dict[str, float]:
    """Run a stage and return where the seconds went; `started` is the time just before this process began."""
    script = importlib.import_module(name)
    ready = time.monotonic()
    spent = []  # on what the stage imports while it runs, such as PyTorch
    usual, inside = builtins.__import__, []

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.monotonic()
        inside.append(start)
        try:
            return usual(*args, **kwargs)
        finally:
            inside.pop()
            if not inside:
                spent.append(time.monotonic() - start)

    builtins.__import__ = timed
    sys.argv = [name]
    script.main()
    work = time.monotonic() - ready - sum(spent)
    return {"start and imports": ready - started + sum(spent), "work": work}


def epoch(values: str, images: int) -> dict[str, float]:
    """Seconds of a network's fastest epoch in the stage train but the first, with `values` (JSON) for its params."""
    params = TrainParams(**json.loads(values))
    if params.arithmetic == "portable":
        use_portable_arithmetic()
    import numpy as np
    import torch

    import train as script
    from digits.dataset import load_dataset
    from digits.models.classifier import Classifier, build_layers
    from digits.training.augmentation import choose_augmentation
    from digits.training.gradients import choose_gradient
    from digits.training.loop import Training, fit
    from digits.training.optimizers import choose_optimizer
    from digits.training.schedules import Schedule
    from loops import CLASSES

    keep_freed_memory()
    torch.set_num_threads(params.threads)
    options = dict(getattr(params, params.model, {}))
    model = Classifier(build_layers(params.model, options, CLASSES, params.seed), 0.13, 0.31)
    rows = fit(
        Training(
            model,
            choose_optimizer(params, model),
            choose_gradient(params, model),
            torch.Generator().manual_seed(0),
            params.batch_size,
            choose_augmentation(params),
        ),
        Schedule(params.schedule, params.lr, params.warmup, params.epochs, **params.step.model_dump()),
        load_dataset(script.TRAIN, CLASSES).take(np.arange(images)),
        load_dataset(script.VAL, CLASSES),
    )
    ends = [time.perf_counter() for _ in rows]
    return {"seconds": min(end - start for start, end in pairwise(ends))}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stage", name, started]:
            result = stage(name, float(started))
        case ["epoch", values, images]:
            result = epoch(values, int(images))
    print(json.dumps(result))
