"""Measurements of benchmarks/run.py that need a process of their own; each prints a JSON object."""

import builtins
import importlib
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digits.foundation.arithmetic import use_portable_arithmetic
from digits.training.allocator import keep_freed_memory
from digits.training.params import TrainParams

READING = ("read_raw", "read_description", "load_dataset", "load_model")
WRITING = ("save_dataset", "save_figure", "save_model", "write_json", "write_csv", "write_raw", "write_description")


def stage(name: str, started: float) -> dict[str, float]:
    """Run a stage and return where the seconds went; `started` is the time just before this process began."""
    use_portable_arithmetic()
    spent = {"imports": 0.0, "reading": 0.0, "writing": 0.0}
    running: list[str] = []

    def timed(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        """`function`, whose seconds count as `kind`, unless something is running that counts already."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if running:
                return function(*args, **kwargs)
            running.append(kind)
            start = time.monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                spent[running.pop()] += time.monotonic() - start

        return wrapper

    script = importlib.import_module(name)
    source = Path(script.__file__ or "").read_text(encoding="utf-8")
    for module_name, imported in re.findall("from (digits[.a-z_]+) import (.+)", source):
        for kind, functions in (("reading", READING), ("writing", WRITING)):
            for function in set(functions) & set(imported.split(", ")):
                for module in (script, importlib.import_module(module_name)):
                    if hasattr(module, function):
                        setattr(module, function, timed(getattr(module, function), kind))
    ready = time.monotonic()
    builtins.__import__ = timed(builtins.__import__, "imports")  # the stages import where they need something
    sys.argv = [name]
    script.main()
    work = time.monotonic() - ready - sum(spent.values())
    return {
        "start and imports": ready - started + spent["imports"],
        "work": work,
        "reading": spent["reading"],
        "writing": spent["writing"],
    }


def train() -> dict[str, float]:
    """Peak memory of the stage train."""
    importlib.import_module("train").main()
    return {"peak_mb": peak_mb()}


def optimizer() -> dict[str, float]:
    """Peak memory of a process that has imported torch and built an optimizer."""
    import torch

    torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    return {"peak_mb": peak_mb()}


def epoch(values: str, images: int) -> dict[str, float]:
    """Seconds of the fastest epoch of the stage train but the first, with `values` (JSON) for its params."""
    params = TrainParams(**json.loads(values))
    if params.arithmetic == "portable":
        use_portable_arithmetic()
    import train as script
    from digits.data.dataset import load_dataset
    from digits.models.classifier import Classifier, build_layers
    from digits.training.choices import choose_augmentation, choose_gradient, choose_optimizer
    from digits.training.loop import Training, fit
    from digits.training.processes import ALONE
    from digits.training.schedules import Schedule
    from loops import CLASSES

    import numpy as np
    import torch

    keep_freed_memory()
    torch.set_num_threads(params.threads)
    options = dict(getattr(params, params.model, {}))
    model = Classifier(build_layers(params.model, options, CLASSES, params.seed), 0.13, 0.31)
    training = Training(model, choose_optimizer(params, model), torch.Generator().manual_seed(0))
    rows = fit(
        training,
        choose_gradient(params, model, ALONE),
        Schedule(params.schedule, params.lr, params.warmup, params.epochs, **params.step.model_dump()),
        load_dataset(script.TRAIN, CLASSES).take(np.arange(images)),
        load_dataset(script.VAL, CLASSES),
        augmentation=choose_augmentation(params),
        batch_size=params.batch_size,
    )
    next(rows)
    seconds = []
    start = time.perf_counter()
    for _ in rows:
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return {"seconds": min(seconds)}


def growth(path: str, epochs: int) -> dict[str, float]:
    """Train on the images of a file, without validation images, whose number would not grow."""
    from digits.data.dataset import load_dataset
    from loops import CLASSES, ours

    import numpy as np
    import torch

    torch.set_num_threads(1)
    train = load_dataset(Path(path), CLASSES)
    epoch = ours(train, train.take(np.arange(0)), 400, "sgd")
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - start)
    return {"images": len(train), "seconds": min(seconds), "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Peak resident memory of this process in MB, 10**6 bytes."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    # Linux's ru_maxrss starts with that of the parent.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stage", name, started]:
            result = stage(name, float(started))
        case ["optimizer"]:
            result = optimizer()
        case ["train"]:
            result = train()
        case ["epoch", values, images]:
            result = epoch(values, int(images))
        case ["growth", path, epochs]:
            result = growth(path, int(epochs))
    print(json.dumps(result))
