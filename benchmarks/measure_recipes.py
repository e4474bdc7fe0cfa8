"""Measure the recipes of the last commit, once for each seed.

Example: python benchmarks/measure_recipes.py --seeds 2 cnn mlp

Runs them in a clone, as experiments (measured-cnn-0, ...) that this repository
then has, too. Writes recipes/results.csv (a row for each recipe and seed),
recipes/curves.csv (a row for each of their epochs), and, from these two,
recipes/curves.png and the table in README.md. After an interruption the same
command goes on, since it keeps the rows of the same recipe and inputs.
"""

import csv
import hashlib
import json
import re
import statistics
import timeit
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench import ROOT, cloned, run, run_recipe
from command import Parser
from digits.figures.style import COLORS, new_figure, save_figure
from digits.foundation.files import write_csv
from digits.models.classifier import predict, restore
from digits.models.model_file import load_model
from digits.scoring import wilson_interval
from doc_tables import write_table
from tables import table

PAGE = ROOT / "README.md"
RESULTS = ROOT / "recipes/results.csv"
CURVES = ROOT / "recipes/curves.csv"
FIGURE = ROOT / "recipes/curves.png"
TEST_IMAGES = 10_000
CACHE = "cache-of-the-original"  # as a remote of the clone
# A line of train, for the seconds since its start, which stand in no file.
EPOCH = re.compile(r"^epoch .*  (\S+) s$", re.MULTILINE)


def main() -> None:
    parser = Parser(__doc__)
    seeds_help = "measure seeds 0 to N - 1 (default: %(default)s)"
    parser.add_argument("--seeds", type=int, default=6, choices=range(2, 101), metavar="N", help=seeds_help)
    parser.add_argument("names", nargs="*", metavar="RECIPE", help="recipes (default: all)")
    arguments = parser.parse_args()
    known = read_recipes(ROOT)
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no recipe {', '.join(sorted(unknown))}")
    with cloned() as clone:
        run("dvc", "remote", "add", "--quiet", "--local", CACHE, str(ROOT / ".dvc/cache"), cwd=clone)
        for name in arguments.names or read_recipes(clone):
            measure_seeds(clone, name, arguments.seeds)
    for path in (RESULTS, CURVES):  # without recipes that have been deleted
        write_csv(path, [row for row in read_rows(path) if row["recipe"] in known])
    save_figure(FIGURE, draw_curves(pd.read_csv(CURVES)))
    write_table(PAGE, "recipes", recipes_table(pd.read_csv(RESULTS)))


def read_recipes(folder: Path) -> dict[str, dict[str, Any]]:
    """The recipes of the repository in `folder` that are for any data set, by name."""
    paths = sorted((folder / "recipes").glob("*.yaml"))
    recipes = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}
    return {name: recipe for name, recipe in recipes.items() if "download" not in recipe}


def measured_with(clone: Path, name: str) -> dict[str, str]:
    """Hashes of what the results of a recipe depend on, apart from the seed: its parameters, and the rest."""
    stages = run("git", "rev-parse", "HEAD:stages", cwd=clone)
    params = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
    others = [stages, *(params[section] for section in ("download", "preprocess", "versions"))]
    return {"recipe_hash": short_hash(read_recipes(clone)[name]), "inputs": short_hash(others)}


def short_hash(values: Any) -> str:
    """Twelve hexadecimal digits that change with `values`, which JSON can write."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def measure_seeds(clone: Path, name: str, seeds: int) -> None:
    """Measure a recipe with the seeds from 0 to `seeds` - 1, but those that have been measured."""
    hashes = measured_with(clone, name)
    for seed in range(seeds):
        key = {"recipe": name, "seed": seed}
        if any(has(row, key | hashes) for row in read_rows(RESULTS)):
            continue
        print(f"... {name}, seed {seed}", flush=True)
        result, curve = measure(clone, name, seed)
        write_rows(CURVES, key, [key | row for row in curve])
        write_rows(RESULTS, key, [key | hashes | result])


def measure(clone: Path, name: str, seed: int) -> tuple[dict[str, Any], list[dict[Any, Any]]]:
    """Run a recipe as an experiment, measured-NAME-SEED, for this repository; return its results and its epochs."""
    experiment = f"measured-{name}-{seed}"
    output = run_recipe(clone, name, experiment, f"train.seed={seed}")
    run("dvc", "exp", "push", "--quiet", "--force", "--remote", CACHE, "origin", experiment, cwd=clone)
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
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    return result, curve.to_dict("records")


def time_prediction(path: Path) -> float:
    """Median seconds of one prediction for one image, in PyTorch, on one thread."""
    torch.set_num_threads(1)
    model = restore(load_model(path))
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    _, *times = timeit.repeat(lambda: predict(model, image, 1), number=1, repeat=301)
    return statistics.median(times)


def read_rows(path: Path) -> list[dict[str, str]]:
    """A table as text, so that rows are rewritten as they are."""
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []


def has(row: Mapping[str, str], key: Mapping[str, Any]) -> bool:
    """Whether a row of a table has these values."""
    return all(row.get(name) == str(value) for name, value in key.items())


def write_rows(path: Path, key: Mapping[str, Any], new: Sequence[Mapping[Any, Any]]) -> None:
    """Put rows in the place of those with this key."""
    write_csv(path, [*(row for row in read_rows(path) if not has(row, key)), *new])


def recipes_table(results: pd.DataFrame) -> str:
    """A Markdown table: a row for each recipe, means over its seeds, times as medians."""
    lines = []
    for name, rows in sorted(results.groupby("recipe"), key=lambda group: group[1]["test_accuracy"].mean()):
        accuracy = rows["test_accuracy"]
        low, high = wilson_interval(round(accuracy.mean() * TEST_IMAGES), TEST_IMAGES)
        description = (ROOT / f"recipes/{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        cells = {
            "command": f"`make {name}`",
            "what": description.removeprefix("# "),
            "test accuracy, %": f"**{100 * accuracy.mean():.2f}** ± {100 * accuracy.std():.2f}",
            "95 % interval": f"{100 * low:.2f} to {100 * high:.2f}",
            "training": f"{rows['train_seconds'].median():.1f} s",
            "parameters": f"{rows['parameters'].iloc[0]:,}",
            "file": f"{rows['model_bytes'].iloc[0] / 1000:,.0f} kB",
            "one image": f"{rows['predict_ms'].median():.2f} ms",
            "ECE": f"{rows['ece'].mean():.3f}",
        }
        lines.append(cells)
    return table([*lines[0]], [[*cells.values()] for cells in lines], markdown=True, left=2)


def draw_curves(curves: pd.DataFrame) -> Figure:
    """Mean validation errors of the seeds by the median seconds of training."""
    figure = new_figure(9, 5, "Validation errors by time of training")
    axes = figure.subplots()
    epochs = curves.groupby(["recipe", "epoch"]).agg({"seconds": "median", "val_accuracy": "mean"})
    for name in curves["recipe"].unique():
        rows = epochs.loc[name]
        errors = 100 * (1 - rows["val_accuracy"])
        axes.plot(rows["seconds"], errors, "o-", color=COLORS[0], markersize=3, linewidth=1.2)
        place = rows["seconds"].iloc[-1], errors.iloc[-1]
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # on the curves of others
        axes.annotate(str(name), place, (0, -15), textcoords="offset points", ha="center", bbox=paper)
    axes.set(xscale="log", yscale="log", xlabel="seconds of training (logarithmic)", ylabel="errors, % (logarithmic)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.grid(color="#eeeeee", which="both")
    axes.set_axisbelow(True)
    axes.margins(x=0.12, y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
