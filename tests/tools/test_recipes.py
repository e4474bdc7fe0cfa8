"""Every recipe is complete, and its numbers in README.md are those that were measured."""

import hashlib
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

import measure_recipes as benchmark
import recipe
from background import start, trainings, wait_for
from conftest import ROOT, Call, MakeProject, Run
from digits.models.model_file import load_model
from digits.training.params import TrainParams, refuse_conflicts
from doc_tables import with_table

RECIPES = benchmark.read_recipes(ROOT)
COMMITTED: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
GROUPS = {"model": ["mlp", "small_cnn", "cnn"], "optimizer": ["sgd"], "schedule": ["step"]}
# A network in the time that a test has.
SMALL = ("-S", "train.epochs=1", "-S", "train.mlp.width=32", "-S", "train.cnn.width=4", "-S", "train.threads=1")


def chosen_keys(train: dict[str, Any]) -> set[str]:
    """The keys of section train that count for its choices, but what belongs to a run rather than to a recipe."""
    unused = {group for choice, groups in GROUPS.items() for group in groups if train[choice] != group}
    used = set() if train["augment"] == "none" else {"affine", train["augment"]}
    unused |= {"affine", "elastic", "handwriting"} - used
    return set(COMMITTED["train"]) - unused - {"seed", "device", "processes"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sets_all_that_counts_and_nothing_else(name: str) -> None:
    recipe = RECIPES[name]
    assert list(recipe) == ["train"]  # `offline`, which also chooses a data set, is not measured
    assert set(recipe["train"]) == chosen_keys(recipe["train"])
    refuse_conflicts(TrainParams(**COMMITTED["train"] | recipe["train"]))


def test_every_recipe_has_its_results_and_the_readme_shows_them() -> None:
    results = pd.read_csv(benchmark.RESULTS)
    measured = {(row.recipe, row.recipe_hash) for row in results.itertuples()}
    assert measured == {(name, benchmark.measured_with(ROOT, name)["recipe_hash"]) for name in RECIPES}
    assert results["inputs"].nunique() == 1
    assert (results.groupby("recipe")["seed"].nunique() >= 6).all()
    assert results["model_sha256"].is_unique
    text = benchmark.PAGE.read_text(encoding="utf-8")
    assert text == with_table(text, "recipes", benchmark.recipes_table(results))


def test_the_model_is_compared_with_the_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"train.lr": 0.1, "train.epochs": 5, "download.dataset": "mnist"}
    made = {"train.lr": 0.1, "train.epochs": 5, "train.seed": 0}
    lock = SimpleNamespace(stages={"train": SimpleNamespace(params=made)})
    monkeypatch.setattr(recipe, "read_files", lambda *_: {"workspace": lock})
    monkeypatch.setattr(recipe, "RESULTS", tmp_path / "results.csv")
    monkeypatch.setattr(recipe, "MODEL", tmp_path / "model")
    recipe.MODEL.write_bytes(b"model")
    sha256 = hashlib.sha256(b"model").hexdigest()
    recipe.RESULTS.write_text(f"recipe,seed,model_sha256\na,0,{sha256}\na,1,{64 * '0'}\nb,0,\n")
    for name, lr, seed, expected in [
        ("a", 0.1, 2, r"No published model of a has seed 2 \(they have 0, 1\).\n"),
        ("a", 0.1, 1, "The model is not the published one of a with seed 1, because its\ndata, code, .*\n"),
        ("a", 0.2, 0, ""),
        ("b", 0.1, 0, ""),
        ("a", 0.1, 0, "The model is, byte for byte, the published one of a with seed 0.\n"),
    ]:
        made.update({"train.lr": lr, "train.seed": seed})
        assert re.fullmatch(expected, recipe.verdict(name, wanted))
    for file in (recipe.MODEL, recipe.RESULTS):
        file.unlink()
        assert recipe.verdict("a", wanted) == ""


def test_a_recipe_runs_as_an_experiment(project: Path, run: Run) -> None:
    name = "linear"
    output = run(project, "python", "tools/recipe.py", name, *SMALL, "evaluate")
    assert f"dvc exp run --name {name}" in output
    params = yaml.safe_load((project / "params.yaml").read_text())["train"]
    expected = RECIPES[name]["train"]
    assert all(params[key] == expected[key] for key in ("model", "optimizer", "sgd", "lr") if key in expected)
    assert run(project, "dvc", "exp", "list", "--name-only").split() == [name]
    assert f"existing experiment '{name}'" in run(project, "python", "tools/recipe.py", name, status=1)
    other = ("-n", "other", "-S", "train.seed=1", *SMALL)
    run(project, "python", "tools/recipe.py", name, *other, "train")
    assert run(project, "dvc", "exp", "list", "--name-only").split() == [name, "other"]
    info = load_model(project / "models/model.safetensors").info
    assert (info.architecture, info.dataset.name) == (expected["model"], "optdigits")


@pytest.mark.long
def test_ctrl_c_lets_dvc_tidy_up(make_project: MakeProject, run: Run, environment: dict[str, str]) -> None:
    """Killed rather than interrupted, `dvc exp run` would leave Git's HEAD detached."""
    project = make_project()
    branch = run(project, "git", "symbolic-ref", "HEAD")
    command = ["python", "tools/recipe.py", "mlp", "-S", "train.epochs=1000"]
    with start(project, environment, command, own_group=True) as process:
        wait_for(lambda: trainings(project))
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert run(project, "git", "symbolic-ref", "HEAD") == branch
    assert "Traceback" not in printed


def test_wrong_usage_and_machines_for_native_arithmetic_alone(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tool does not know goes to DVC, which refuses it."""
    assert "choose from" in call(recipe, ROOT, "cnn-bets", status=2)[1]
    monkeypatch.setattr(recipe, "unsuitable_machine", lambda: "Darwin on arm64")
    for name, arithmetic in (("mlp", "native"), ("baseline", "portable")):
        output, _ = call(recipe, ROOT, name, "--no-such-option", status=2)
        assert f"train.arithmetic={arithmetic}" in output
        assert ("Darwin on arm64" in output) == (arithmetic == "native")
