"""Measure the recipes of the last commit in a clone, once for each seed.

Example: python benchmarks/measure_recipes.py --seeds 2 cnn mlp

Writes recipes/results.csv (a row for each recipe and seed), recipes/curves.csv
(a row for each of their epochs), and, from these two, recipes/curves.png and
the table in README.md.
"""

import argparse
import hashlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "stages"))

import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

import loops
from digits.dataset import load_dataset
from digits.figures.style import COLORS, new_figure, save_figure
from digits.foundation.files import write_csv
from digits.models.classifier import predict, restore
from digits.models.model_file import load_model
from digits.scoring import wilson_interval
from doc_tables import write_table

PAGE = ROOT / "README.md"
RESULTS = ROOT / "recipes/results.csv"
CURVES = ROOT / "recipes/curves.csv"
FIGURE = ROOT / "recipes/curves.png"
TUTORIAL = "tutorial"
TUTORIAL_EPOCHS = 4
TEST_IMAGES = 10_000
# A line of train, for the seconds since its start, which stand in no file.
EPOCH = re.compile(r"^epoch .*  (\S+) s$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds",
        type=int,
        default=5,
        choices=range(2, 101),
        metavar="N",
        help="measure seeds 0 to N - 1 (default: %(default)s)",
    )
    parser.add_argument("names", nargs="*", metavar="RECIPE", help="recipes, or tutorial (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {*read_recipes(ROOT), TUTORIAL}:
        parser.error(f"no recipe {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        subprocess.run(["dvc", "repro", "preprocess"], cwd=clone, check=True)
        recipes = read_recipes(clone)
        for name in arguments.names or [*recipes, TUTORIAL]:
            if name == TUTORIAL:
                update(CURVES, name, measure_tutorial(clone))
                continue
            results: list[dict[str, Any]] = []
            curves: list[dict[Hashable, Any]] = []
            for seed in range(arguments.seeds):
                print(f"... {name}, seed {seed}", flush=True)
                result, curve = measure(clone, recipes[name], seed)
                key: dict[Any, Any] = {"recipe": name, "seed": seed}
                results.append(key | {"recipe_hash": recipe_hash(recipes[name])} | result)
                curves += [{**key, **row} for row in curve]
                update(RESULTS, name, results)
                update(CURVES, name, curves)
    save_figure(FIGURE, draw_curves(pd.read_csv(CURVES)))
    write_table(PAGE, "recipes", recipes_table(pd.read_csv(RESULTS)))


def read_recipes(folder: Path) -> dict[str, dict[str, Any]]:
    """The recipes of the repository in `folder` that are for any data set, by name."""
    paths = sorted((folder / "recipes").glob("*.yaml"))
    recipes = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}
    return {name: recipe for name, recipe in recipes.items() if "download" not in recipe}


def recipe_hash(recipe: dict[str, Any]) -> str:
    """A hash that changes with the recipe, so that outdated results are noticed."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def measure(clone: Path, recipe: dict[str, Any], seed: int) -> tuple[dict[str, Any], list[dict[Hashable, Any]]]:
    """Run the pipeline with a recipe; return its results and its epochs."""
    committed = subprocess.run(
        ["git", "show", "HEAD:params.yaml"], cwd=clone, check=True, stdout=subprocess.PIPE
    ).stdout
    params = merge(yaml.safe_load(committed), merge(recipe, {"train": {"seed": seed}}))
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    output = subprocess.run(["dvc", "repro"], cwd=clone, check=True, stdout=subprocess.PIPE, text=True).stdout
    curve = pd.read_csv(clone / "metrics/train.csv")[["epoch", "val_accuracy"]]
    curve["seconds"] = [float(seconds) for seconds in EPOCH.findall(output)]
    train, test = (json.loads((clone / f"metrics/{stage}.json").read_text()) for stage in ("train", "test"))
    model = clone / "models/model.safetensors"
    result = {
        "test_accuracy": test["accuracy"],
        "test_errors": test["errors"],
        "test_loss": test["loss"],
        "ece": test["ece"],
        "val_accuracy": train["val_accuracy"],
        "train_seconds": curve["seconds"].iloc[-1].item(),
        "predict_ms": round(1000 * time_prediction(model), 3),
        "parameters": train["parameters"],
        "model_bytes": model.stat().st_size,
    }
    return result, curve.to_dict("records")


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes`, mappings merged key by key."""
    return values | {
        key: merge(values.get(key, {}), change) if isinstance(change, dict) else change
        for key, change in changes.items()
    }


def time_prediction(path: Path) -> float:
    """Median seconds of one prediction for one image, in PyTorch, on one thread."""
    torch.set_num_threads(1)
    model = restore(load_model(path))
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    predict(model, image, 1)
    times = []
    for _ in range(300):
        start = time.perf_counter()
        predict(model, image, 1)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_tutorial(clone: Path) -> list[dict[str, Any]]:
    """The epochs of the CNN of the best-known PyTorch example, on the same images."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    train, val = (
        load_dataset(clone / f"data/tensors/{split}.safetensors", loops.CLASSES) for split in ("train", "val")
    )
    val_images = torch.tensor(val.images)
    model, epoch = loops.tutorial_cnn(train)
    curve, spent = [], 0.0
    for number in range(1, TUTORIAL_EPOCHS + 1):
        start = time.perf_counter()
        epoch()
        accuracy = float((predict(model, val_images, 1000).argmax(dim=1).numpy() == val.labels).mean())
        spent += time.perf_counter() - start
        curve.append(
            {"recipe": TUTORIAL, "seed": 0, "epoch": number, "val_accuracy": accuracy, "seconds": round(spent, 1)}
        )
    return curve


def update(path: Path, name: str, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Replace the rows of the recipe `name` in a table."""
    found = pd.read_csv(path, dtype=str, keep_default_na=False) if path.exists() else pd.DataFrame(columns=["recipe"])
    kept: list[dict[Any, Any]] = found[found["recipe"] != name].to_dict("records")
    write_csv(path, [*kept, *rows])


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
            (ROOT / f"recipes/{name}.yaml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# "),
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


def draw_curves(curves: pd.DataFrame) -> Figure:
    """Mean validation errors of the seeds by the median seconds of training."""
    figure = new_figure(9, 5, "Validation errors by time of training")
    axes = figure.subplots()
    epochs = curves.groupby(["recipe", "epoch"]).agg({"seconds": "median", "val_accuracy": "mean"})
    for name in curves["recipe"].unique():
        rows = epochs.loc[name]
        errors = 100 * (1 - rows["val_accuracy"])
        color, style = (COLORS[1], "o--") if name == TUTORIAL else (COLORS[0], "o-")
        axes.plot(rows["seconds"], errors, style, color=color, markersize=3, linewidth=1.2)
        # The tutorial's curve ends among those of a recipe: its name stands where it begins.
        label, end, offset = ("the tutorial's CNN", 0, (-2, 10)) if name == TUTORIAL else (str(name), -1, (6, -3))
        place = rows["seconds"].iloc[end], errors.iloc[end]
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # on the curves of others
        axes.annotate(label, place, offset, textcoords="offset points", bbox=paper)
    axes.set(xscale="log", yscale="log", xlabel="seconds of training (logarithmic)", ylabel="errors, % (logarithmic)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.grid(color="#eeeeee", which="both")
    axes.set_axisbelow(True)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
