"""Measure the recipes of the last commit: the whole pipeline in a clone, once for each seed.

Writes recipes/results.csv (a row for each recipe and seed), recipes/curves.csv (a row for each of their epochs),
recipes/curves.png and the table in README.md; all three are made from the tables, so that rows come in at any time.
Command: python benchmarks/recipes.py [--seeds 5] [RECIPE ...]
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "stages"))

import loops
from digits.dataset import load_dataset
from digits.figure import COLORS, new_figure, save_figure
from digits.files import read_csv, write_csv
from digits.model import load_model
from digits.scoring import loss_and_accuracy, predict, wilson_interval

import pandas as pd
import torch
import yaml

RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.yaml"))}
RESULTS = ROOT / "recipes/results.csv"
CURVES = ROOT / "recipes/curves.csv"
FIGURE = ROOT / "recipes/curves.png"
README = ROOT / "README.md"
TUTORIAL = "tutorial"
TUTORIAL_EPOCHS = 5
TEST_IMAGES = 10_000
# As train prints an epoch: its number, the validation accuracy, the seconds since the start.
EPOCH = re.compile(r"^epoch +(\d+)/.* val loss \S+ acc (\S+)  (\S+) s$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("names", nargs="*", metavar="RECIPE", help=f"{', '.join([*RECIPES, TUTORIAL])}; all if none")
    arguments = parser.parse_args()
    names = arguments.names or [*RECIPES, TUTORIAL]
    if unknown := set(names) - {*RECIPES, TUTORIAL}:
        parser.error(f"no recipe {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        subprocess.run(["dvc", "repro", "preprocess"], cwd=clone, check=True)
        for name in names:
            for seed in range(1 if name == TUTORIAL else arguments.seeds):
                print(f"... {name}, seed {seed}", flush=True)
                curve = measure_tutorial(clone) if name == TUTORIAL else measure(clone, name, seed)
                update(CURVES, [{"recipe": name, "seed": seed} | row for row in curve])
    draw_curves(pd.read_csv(CURVES))
    results = pd.read_csv(RESULTS)
    README.write_text(with_table(README.read_text(encoding="utf-8"), results), encoding="utf-8")


def measure(clone: Path, name: str, seed: int) -> list[dict[str, Any]]:
    """Run the pipeline with a recipe, put its results into RESULTS, and return the epochs."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    recipe = yaml.safe_load(RECIPES[name].read_text(encoding="utf-8"))
    params = merge(params, merge(recipe, {"train": {"seed": seed}}))
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    output = subprocess.run(["dvc", "repro"], cwd=clone, check=True, stdout=subprocess.PIPE, text=True).stdout
    curve = [
        {"epoch": int(epoch), "seconds": float(seconds), "val_accuracy": float(accuracy)}
        for epoch, accuracy, seconds in EPOCH.findall(output)
    ]
    train, test = (json.loads((clone / f"metrics/{stage}.json").read_text()) for stage in ("train", "test"))
    model = clone / "models/model.safetensors"
    result = {
        "recipe": name,
        "seed": seed,
        "test_accuracy": test["accuracy"],
        "test_errors": test["errors"],
        "test_loss": test["loss"],
        "ece": test["ece"],
        "val_accuracy": train["val_accuracy"],
        "train_seconds": curve[-1]["seconds"],
        "predict_ms": round(1000 * time_prediction(model), 3),
        "parameters": train["parameters"],
        "model_bytes": model.stat().st_size,
    }
    update(RESULTS, [result])
    return curve


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes`, mappings merged key by key."""
    return values | {
        key: merge(values.get(key, {}), change) if isinstance(change, dict) else change
        for key, change in changes.items()
    }


def time_prediction(path: Path) -> float:
    """Median seconds of one prediction for one image, in PyTorch, on one thread."""
    torch.set_num_threads(1)
    model, _ = load_model(path)
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    predict(model, image, 1)
    return statistics.median(seconds(lambda: predict(model, image, 1)) for _ in range(300))


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure_tutorial(clone: Path) -> list[dict[str, Any]]:
    """Epochs of the CNN of the best-known PyTorch example, on the same images."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    train, val = (load_dataset(clone / f"data/tensors/{split}.safetensors") for split in ("train", "val"))
    model, epoch = loops.tutorial_cnn(train)
    curve, spent = [], 0.0
    for number in range(1, TUTORIAL_EPOCHS + 1):
        spent += seconds(epoch)
        _, accuracy = loss_and_accuracy(predict(model, val.images, 1000), val.labels)
        curve.append({"epoch": number, "seconds": round(spent, 1), "val_accuracy": accuracy})
    return curve


def update(path: Path, rows: list[dict[str, Any]]) -> None:
    """Put `rows` into a table in place of the earlier ones of the same recipe and seed."""
    new = {(row["recipe"], str(row["seed"])) for row in rows}
    kept: Iterable[dict[str, Any]] = read_csv(path) if path.exists() else []
    write_csv(path, [row for row in kept if (row["recipe"], row["seed"]) not in new] + rows)


def with_table(text: str, results: pd.DataFrame) -> str:
    """README.md with the table of the recipes between its two marks."""
    head, begin, rest = text.partition("<!-- recipes -->\n")
    _, end, tail = rest.partition("<!-- end of recipes -->\n")
    return head + begin + "\n" + recipes_table(results) + "\n" + end + tail


def recipes_table(results: pd.DataFrame) -> str:
    """A Markdown table: a row for each recipe, means over its seeds, times as medians."""
    lines = [
        "| command | what | test accuracy, % | 95 % interval | training | parameters | file | one image | ECE |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    groups = sorted(results.groupby("recipe"), key=lambda group: group[1]["test_accuracy"].mean())
    for name, rows in groups:
        accuracy = rows["test_accuracy"]
        low, high = wilson_interval(round(accuracy.mean() * TEST_IMAGES), TEST_IMAGES)
        cells = [
            f"`make {name}`",
            RECIPES[str(name)].read_text(encoding="utf-8").splitlines()[0].removeprefix("# "),
            f"**{100 * accuracy.mean():.2f}** ± {100 * accuracy.std():.2f}",
            f"{100 * low:.2f} to {100 * high:.2f}",
            f"{rows['train_seconds'].median():.1f} s",
            f"{rows['parameters'].iloc[0]:,}",
            f"{rows['model_bytes'].iloc[0] / 1000:,.0f} kB",
            f"{rows['predict_ms'].median():.2f} ms",
            f"{rows['ece'].mean():.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw_curves(curves: pd.DataFrame) -> None:
    """Validation errors by seconds of training, the mean over the seeds."""
    figure = new_figure(9, 5, "Validation errors by time of training, mean over the seeds")
    axes = figure.subplots()
    means = curves.groupby(["recipe", "epoch"])[["seconds", "val_accuracy"]].mean()
    for name in curves["recipe"].unique():
        rows = means.loc[name]
        errors = 100 * (1 - rows["val_accuracy"])
        color, style = (COLORS[1], "o--") if name == TUTORIAL else (COLORS[0], "o-")
        axes.plot(rows["seconds"], errors, style, color=color, markersize=3, linewidth=1.2)
        label = "the tutorial's CNN" if name == TUTORIAL else str(name)
        axes.annotate(
            label, (rows["seconds"].iloc[-1], errors.iloc[-1]), (6, 0), textcoords="offset points", va="center"
        )
    axes.set(xscale="log", yscale="log", xlabel="seconds of training (logarithmic)", ylabel="errors, % (logarithmic)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(color="#eeeeee", which="both")
    axes.set_axisbelow(True)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(FIGURE, figure)


if __name__ == "__main__":
    main()
