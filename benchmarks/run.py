"""Measure the pipeline side by side with what people write by hand.

Example: python benchmarks/run.py --quick

Reads data/, which the pipeline fills; rewrites the tables in
benchmarks/RESULTS.md, or, with --quick, prints only.
"""

import gzip
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import child
import seed_script
from bench import ROOT, cloned, run
from command import Parser
from digits.dataset import Dataset, load_dataset, load_summary
from digits.models.classifier import predict, to_pixels
from digits.sources.mirrors import cache_of
from doc_tables import write_table
from loops import CLASSES, autograd, fit_recipe, floor, ours, recipe_params
from tables import table

RESULTS = ROOT / "benchmarks/RESULTS.md"
BATCH_SIZES = (400, 100)
SWEEP_SIZE = 8


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="measure fewer rounds, in some minutes")
    quick = parser.parse_args().quick
    if load_summary(ROOT / "data/tensors/dataset.json").about.name != "mnist":
        sys.exit("error: data/tensors: must hold MNIST, got other data; `git checkout HEAD params.yaml`, `dvc repro`")
    torch.set_num_threads(1)
    threadpool_limits(1)
    train, val, test = (
        load_dataset(ROOT / f"data/tensors/{split}.safetensors", CLASSES) for split in ("train", "val", "test")
    )
    everything = Dataset(np.concatenate([train.images, val.images]), np.concatenate([train.labels, val.labels]))
    with tempfile.TemporaryDirectory() as name, cloned() as clone:
        folder = Path(name)
        unpack_archives(folder / "MNIST/raw")
        found = {
            "machine": describe_machine(),
            "loops": compare_loops(folder, everything, val, rounds=1 if quick else 5),
            "arithmetics": compare_arithmetics(rounds=1 if quick else 5),
            "linear models": compare_linear_models(train, val, test, quick),
            "pipeline": compare_pipelines(folder, clone, rounds=1 if quick else 3, epochs=1 if quick else 50),
            "experiments": compare_experiments(clone, rounds=1 if quick else 3),
        }
    for name, text in found.items():
        print(f"\n{name}\n\n{text}")
        if not quick:
            write_table(RESULTS, name, text)


def describe_machine() -> str:
    """The processor and the versions, but nothing that identifies the machine."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(": ")[2] if names else cpu
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "dvc", "scikit-learn"))
    return f"`make bench` on {os.cpu_count()} cores of {cpu}, Python {platform.python_version()}, {versions}."


def unpack_archives(folder: Path) -> None:
    """Write the files that torchvision's MNIST class reads."""
    folder.mkdir(parents=True)
    for archive in cache_of("mnist").glob("*.gz"):  # where the pipeline of every clone keeps them
        (folder / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))


def in_turn(variants: Mapping[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> dict[str, float]:
    """Median seconds of each variant, called in turn, after a round that warms up and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for round_number in range(0 if warm_up else 1, rounds + 1):
        for name, function in variants.items():
            progress(f"round {round_number}/{rounds}: {name}")
            start = time.perf_counter()
            function()
            if round_number > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def progress(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def compare_loops(folder: Path, train: Dataset, val: Dataset, rounds: int) -> str:
    """Time per epoch of the seed recipe, loop by loop."""
    medians = {}
    images = torch.from_numpy(train.images)
    floats = to_pixels(images).flatten(1)
    for batch_size in BATCH_SIZES:
        variants: dict[str, Callable[[], object]] = {
            "DataLoader, ToTensor, autograd": partial(next, seed_script.train(str(folder), batch_size)),
            "tensors in memory, `index_select`, autograd": autograd(train, batch_size),
            "this pipeline, sgd": ours(train, val, batch_size=batch_size),
            "this pipeline, adam": ours(train, val, batch_size=batch_size, optimizer="adam"),
            "gathering float images and matrix products alone": floor(floats, batch_size),
            "gathering uint8 images and matrix products alone": floor(images.flatten(1), batch_size),
        }
        medians[batch_size] = in_turn(variants, rounds)
    first = next(iter(variants))
    rows = [
        [name, *(cell for m in medians.values() for cell in (f"{1000 * m[name]:,.0f}", f"{m[first] / m[name]:.1f}"))]
        for name in variants
    ]
    header = ["loop", *(text for size in BATCH_SIZES for text in (f"ms per epoch, batch {size}", "times faster"))]
    return table(header, rows, markdown=True)


def compare_arithmetics(rounds: int) -> str:
    """Time of an epoch in portable and in native arithmetic, recipe by recipe, in float32."""
    images, rows = 5_000, []
    for name in ("mlp", "lenet5", "cnn"):
        seconds: dict[str, list[float]] = {"native": [], "portable": []}
        for round_number in range(rounds):
            progress(f"round {round_number + 1}/{rounds}: {name}")
            for arithmetic, measured in seconds.items():
                measured.append(float(run(sys.executable, child.__file__, name, arithmetic, str(images))))
        native, portable = (statistics.median(measured) for measured in seconds.values())
        ratio = statistics.median(p / n for n, p in zip(*seconds.values(), strict=True))
        rows.append([name, f"{images:,}", f"{1000 * native:,.0f}", f"{1000 * portable:,.0f}", f"{ratio:.2f}"])
    return table(["recipe", "images", "native, ms", "portable, ms", "median ratio"], rows, markdown=True)


def compare_linear_models(train: Dataset, val: Dataset, test: Dataset, quick: bool) -> str:
    """The tuned linear recipe against scikit-learn's solver, whose C is chosen on the validation images."""
    (train_x, train_y), (val_x, val_y), (test_x, test_y) = (
        (to_pixels(torch.tensor(dataset.images)).flatten(1).numpy(), dataset.labels) for dataset in (train, val, test)
    )

    def recipe() -> float:
        model, epochs = fit_recipe(recipe_params("linear"), train, val)
        for _ in epochs:
            pass
        predicted = predict(model, torch.tensor(test.images), 1000).argmax(dim=1).numpy()
        return float((predicted == test.labels).mean())

    def sklearn(c: float, pixels: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        return float(LogisticRegression(C=c, max_iter=1000).fit(train_x, train_y).score(pixels, labels))

    c = 0.3 if quick else max((0.03, 0.1, 0.3, 1.0), key=lambda c: sklearn(c, val_x, val_y))
    first = "this pipeline: adam, cosine, 10 epochs"
    variants: dict[str, Callable[[], float]] = {
        first: recipe,
        f"scikit-learn, lbfgs, C = {c}": partial(sklearn, c, test_x, test_y),
    }
    accuracy: dict[str, float] = {}

    def record(name: str) -> None:
        accuracy[name] = variants[name]()

    medians = in_turn({name: partial(record, name) for name in variants}, rounds=1 if quick else 3, warm_up=False)
    rows = [
        [name, f"{accuracy[name]:.2%}", f"{seconds:.1f}", f"{seconds / medians[first]:.1f}"]
        for name, seconds in medians.items()
    ]
    return table(["model", "test accuracy", "seconds", "times as long"], rows, markdown=True)


def compare_pipelines(folder: Path, clone: Path, rounds: int, epochs: int) -> str:
    """The whole `dvc repro`, from archives to metrics, against the seed recipe as a plain script."""
    wrong = folder / "wrong"
    run("git", "clone", "--quiet", str(clone), str(wrong))
    params = wrong / "params.yaml"
    params.write_text(params.read_text().replace("\ntrain:\n", "\ntrain:\n  typo: 1\n"), encoding="utf-8")
    mirror = {"MNIST_MIRROR": str(cache_of("mnist")), "XDG_CACHE_HOME": str(folder / "cache")}  # no network
    train = sys.executable, "stages/train.py"
    script, repro, nothing = f"the plain script, {epochs} epochs", "`dvc repro --force`", "`dvc repro`, nothing to do"
    medians = in_turn(
        {
            repro: lambda: run("dvc", "repro", "--force", cwd=clone, variables=mirror),
            nothing: lambda: run("dvc", "repro", cwd=clone),
            "`dvc status`": lambda: run("dvc", "status", cwd=clone),
            "a wrong parameter, answered by `python stages/train.py`": lambda: run(*train, cwd=wrong, status=1),
        },
        rounds,
    )
    command = sys.executable, seed_script.__file__, str(folder), str(epochs)
    medians |= in_turn({script: lambda: run(*command)}, 1, warm_up=False)
    rows = [[name, f"{seconds:.2f}"] for name, seconds in medians.items()]
    note = f"\n\nThe script takes {medians[script] / medians[repro]:.1f} times as long." if epochs == 50 else ""
    return table(["command", "seconds"], rows, markdown=True) + note


def compare_experiments(clone: Path, rounds: int) -> str:
    """What one experiment takes, alone and in a sweep, in a clone whose pipeline has run."""
    lrs = (f"{0.001 + number / 10**5:.5f}" for number in count(1))  # each experiment is a new one

    def experiment(*settings: str) -> None:
        run("dvc", "exp", "run", "-S", f"train.lr={next(lrs)}", *settings, cwd=clone)
        run("git", "checkout", "--quiet", ".", cwd=clone)

    def sweep() -> None:
        values = ",".join(islice(lrs, SWEEP_SIZE))
        run(sys.executable, "tools/sweep.py", "-S", f"train.lr={values}", "--jobs", "2", cwd=clone)

    medians = in_turn(
        {
            "`dvc exp run`, 50 epochs": experiment,
            "`dvc exp run`, 1 epoch": partial(experiment, "-S", "train.epochs=1"),
            f"`tools/sweep.py --jobs 2`, {SWEEP_SIZE} experiments": sweep,
        },
        rounds,
        warm_up=False,
    )
    rows = [
        [name, f"{seconds:.1f}", f"{seconds / (SWEEP_SIZE if 'sweep' in name else 1):.1f}"]
        for name, seconds in medians.items()
    ]
    return table(["command", "seconds", "seconds per experiment"], rows, markdown=True)


if __name__ == "__main__":
    main()
