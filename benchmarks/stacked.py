"""Measure softmax regressions trained as one against the pipeline's loop, and sweep MNIST with 64 of them.

Example: python benchmarks/stacked.py

Reads data/, which the pipeline fills, and prints.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "stages"))

import loops
from digits.data.dataset import Dataset, load_dataset
from digits.training.optimizers import Optimizer
from digits.training.schedules import Schedule
from run import in_turn, table
from softmax_regressions import Stack, Trial, fit_stack

import torch

SIZES = (1, 4, 16, 64)
LRS = [0.0005 * 2**power for power in range(8)]
WEIGHT_DECAYS = (0.0, 1e-6, 1e-5, 1e-4)
SEEDS = (0, 1)


def main() -> None:
    torch.set_num_threads(1)
    train, val = (load_dataset(ROOT / f"data/tensors/{split}.safetensors") for split in ("train", "val"))
    print(f"\n{compare(train, val, rounds=5)}\n{sweep(train, val)}")


def compare(train: Dataset, val: Dataset, rounds: int) -> str:
    """Milliseconds per model and epoch, including the scoring of the validation images, and the speed-up.

    The pipeline's loop computes the metrics of the training images, too.
    """
    constant = Schedule("constant", 1.0, warmup=0.0, epochs=10**6, size=1, gamma=1.0)
    rows = []
    for name, batch_size in product(("sgd", "adam"), (400, 100)):
        variants: dict[str, Callable[[], object]] = {"alone": loops.ours(train, val, batch_size, name)}
        for size in SIZES:
            stack = Stack([Trial(0.001, 1e-6, seed) for seed in range(size)])
            optimizer = Optimizer(name, [stack.weight], weight_decay=0.0)
            variants[f"M = {size}"] = partial(next, fit_stack(stack, optimizer, constant, train, val, batch_size))
        alone, *stacked = in_turn(variants, rounds).values()
        each = [seconds / size for seconds, size in zip(stacked, SIZES, strict=True)]
        cells = [f"{1000 * seconds:.0f} ({alone / seconds:.1f})" for seconds in each]
        rows.append([f"{name}, batch {batch_size}", f"{1000 * alone:.0f}", *cells])
    return table(["ms per model and epoch", *variants], rows)


def sweep(train: Dataset, val: Dataset) -> str:
    """The best model, by validation accuracy, of a sweep around the recipe linear."""
    trials = [Trial(*values) for values in product(LRS, WEIGHT_DECAYS, SEEDS)]
    stack = Stack(trials)
    optimizer = Optimizer("adam", [stack.weight], weight_decay=0.0)
    cosine = Schedule("cosine", 1.0, warmup=0.0, epochs=10, size=1, gamma=1.0)
    start = time.perf_counter()
    *_, scores = fit_stack(stack, optimizer, cosine, train, val, batch_size=100)
    seconds = time.perf_counter() - start
    (loss, accuracy), best = max(zip(scores, trials, strict=True), key=lambda pair: pair[0][1])
    return (
        f"{len(trials)} models, adam, cosine, 10 epochs, batch 100: {seconds:.1f} s\n"
        f"best: {best}\nvalidation accuracy {accuracy:.2%}, loss {loss:.4f}"
    )


if __name__ == "__main__":
    main()
