"""dvc.yaml, params.yaml and the scripts say the same."""

import importlib
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any, get_args

import small_networks
from conftest import ROOT
from digits.data.dataset import DatasetName, Description
from digits.data.published import PUBLISHED
from digits.foundation.params import read_params
from digits.models import networks
from digits.pictures.conversion import CONVERSIONS
from digits.training.params import TrainParams
from download import DownloadParams, FolderParams, MirrorsParams
from imports import imported_files, imported_modules
from small_networks import LRS

import pytest
import yaml
from pydantic import BaseModel

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SECTIONS = ["download", "preprocess", "train", "evaluate"]
STAGES = [*SECTIONS, "export"]  # which has nothing to tune
# Each package may import from those before it.
PACKAGES = ["foundation", "pictures", "data", "models", "evaluation", "figures", "training"]
FOLDER = "${download.folder.path}"


def paths(entries: list[Any]) -> set[str]:
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def test_all_packages_that_the_code_imports_are_in_requirements_txt() -> None:
    """Or those that come with them, but none that only the tests bring."""
    lines = (ROOT / "requirements.txt").read_text().lower().splitlines()
    listed = {re.split(r"[^\w.-]", line)[0] for line in lines if line[:1].isalpha()}
    needed = [need for name in listed for need in requires(name) or () if "extra ==" not in need]
    required = listed | {re.split(r"[^\w.-]", need.lower())[0] for need in needed}
    files = [path for folder in ("stages", "tools") for path in (ROOT / folder).rglob("*.py")]
    own = {*sys.stdlib_module_names, *(path.name.removesuffix(".py") for path in (*ROOT.glob("*/*"), ROOT / "digits"))}
    distributions = packages_distributions()
    imported = {module.partition(".")[0] for path in files for module in imported_modules(path)} - own
    assert len(imported) > 15
    assert {
        name for name in imported if not required & {each.lower().replace("_", "-") for each in distributions[name]}
    } == set()


def test_every_script_is_a_stage_in_running_order() -> None:
    assert list(PIPELINE) == STAGES
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(STAGES)
    assert list(yaml.safe_load((ROOT / "params.yaml").read_text())) == SECTIONS


def test_every_module_belongs_to_a_stage() -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stages/digits").rglob("*.py")}
    assert modules == {dep for stage in PIPELINE.values() for dep in stage["deps"] if dep.startswith("stages/digits/")}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    folder = ROOT / "stages/digits" / package
    below = {"digits", *(f"digits.{name}" for name in PACKAGES[: PACKAGES.index(package) + 1])}
    for path in folder.rglob("*.py"):
        for module in imported_modules(path):
            assert module.split(".")[0] not in STAGES, f"{path}: a stage script is imported by nothing"
            assert module.split(".")[0] != "digits" or module.rpartition(".")[0] in below, f"{path}: {module}"


def test_the_packages_are_these() -> None:
    found = {path.parent.name for path in (ROOT / "stages/digits").glob("*/__init__.py")}
    assert found == set(PACKAGES)
    for package in PACKAGES:  # so that importing one module of a package costs no other
        modules = imported_modules(ROOT / "stages/digits" / package / "__init__.py")
        assert not [module for module in modules if module.startswith("digits")]


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_on_code_are_those_that_the_script_imports(stage: str) -> None:
    declared = {dep for dep in PIPELINE[stage]["deps"] if dep.endswith(".py")}
    assert declared == imported_files(ROOT / f"stages/{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_inputs_and_outputs_are_the_paths_that_the_script_names(stage: str) -> None:
    entry = PIPELINE[stage]
    declared = {dep for dep in entry["deps"] if not dep.endswith(".py")}
    for kind in ("outs", "metrics", "plots"):
        declared |= paths(entry.get(kind, []))
    module = importlib.import_module(stage)
    read = {FOLDER} if stage == "download" else set()  # its path is a parameter
    assert declared == read | {value.as_posix() for value in vars(module).values() if isinstance(value, Path)}


@pytest.mark.parametrize("stage", STAGES)
def test_command_params_and_description(stage: str) -> None:
    entry = PIPELINE[stage]
    assert entry["cmd"] == f"python stages/{stage}.py"
    own = [section for section in SECTIONS if section == stage]
    assert entry.get("params", []) == (["download", "preprocess", "train"] if stage == "export" else own)
    assert len(entry["desc"]) > 20


@pytest.mark.parametrize("stage", SECTIONS)
def test_the_section_is_what_the_script_reads(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    read_params(stage, getattr(importlib.import_module(stage), f"{stage.capitalize()}Params"))


def choices(params: type[BaseModel], field: str) -> set[str]:
    return set(get_args(params.model_fields[field].annotation))


def test_a_choice_is_offered_where_it_is_implemented_and_tested() -> None:
    assert choices(TrainParams, "model") == set(networks.NETWORKS) == set(small_networks.NETWORKS)
    assert choices(TrainParams, "optimizer") == set(LRS)
    assert choices(DownloadParams, "dataset") == set(get_args(DatasetName)) == {*PUBLISHED, "optdigits", "folder"}
    assert {field.alias or name for name, field in MirrorsParams.model_fields.items()} == set(PUBLISHED)
    assert choices(FolderParams, "pictures") == choices(Description, "pictures") == set(CONVERSIONS)


def test_the_alternative_to_mnist_is_the_same_everywhere() -> None:
    command = importlib.import_module("download").ALTERNATIVES.split("scikit-learn:")[1].replace("\\\n", "").split()
    for name in ("Makefile", "docs/network-and-hardware.md"):
        assert " ".join(command) in " ".join((ROOT / name).read_text().replace("\\\n", "").split()), name


def test_constraints_leave_pytorch_free() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("torch", "nvidia", "cuda", "triton"))]
    assert all("==" in line for line in lines)
