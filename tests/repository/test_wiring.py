"""dvc.yaml, params.yaml, the scripts and docs/architecture.md say the same."""

import ast
import importlib
import re
import sys
from importlib.metadata import packages_distributions
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

import small_networks
from conftest import ROOT, Run
from digits.dataset import Description
from digits.models import networks
from digits.pictures.conversion import CONVERSIONS
from digits.training.params import TrainParams
from download import FolderParams
from pipeline_runs import STAGES
from small_networks import LRS

# NumPy alone draws from seeds until PyTorch comes in.
VERSIONS = {"download": "versions.numpy", "preprocess": "versions.numpy", "train": "versions", "evaluate": "versions"}
# Without stages that somebody who uses the project as a template has added.
PIPELINE: dict[str, Any] = {
    name: entry for name, entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items() if name in STAGES
}
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
# The rooms of stages/digits, and the single files; each may import from those before it.
ROOMS = ["foundation", "dataset.py", "known_datasets.py", "pictures", "data", "sources", "models", "scoring.py"]
ROOMS += ["evaluation", "export", "figures", "training"]


def imported_modules(path: Path) -> list[str]:
    """The modules that a file imports anywhere in it, by absolute name."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules.append(node.module or "")
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return modules


def outputs(entry: dict[str, Any]) -> set[str]:
    """The paths that a stage writes, by its entry in dvc.yaml."""
    listed = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    return {out if isinstance(out, str) else next(iter(out)) for out in listed}


def test_all_packages_that_the_code_imports_are_in_requirements_txt() -> None:
    lines = (ROOT / "requirements.txt").read_text().lower().splitlines()
    listed = {re.split(r"[^\w.-]", line)[0] for line in lines if line[:1].isalpha()}
    files = [path for folder in ("stages", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    own = {*sys.stdlib_module_names, *(path.name.removesuffix(".py") for path in (*ROOT.glob("*/*"), ROOT / "digits"))}
    distributions = packages_distributions()
    imported = {module.partition(".")[0] for path in files for module in imported_modules(path)} - own
    assert len(imported) > 15
    assert {
        name for name in imported if not listed & {each.lower().replace("_", "-") for each in distributions[name]}
    } == set()


def test_the_versions_that_results_depend_on_are_those_that_are_installed() -> None:
    pinned = dict(re.findall(r"^(torch|numpy)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert yaml.safe_load((ROOT / "params.yaml").read_text())["versions"] == pinned


def test_stages_and_sections_are_in_running_order() -> None:
    assert list(PIPELINE) == STAGES
    sections = STAGES[:4]  # export has nothing to tune
    assert [name for name in yaml.safe_load((ROOT / "params.yaml").read_text()) if name in sections] == sections


def test_the_rooms_are_these_and_each_belongs_to_a_stage() -> None:
    found = {path for path in (ROOT / "stages/digits").iterdir() if path.name not in ("__init__.py", "__pycache__")}
    used = {dep.removeprefix("stages/digits/") for entry in PIPELINE.values() for dep in entry["deps"]}
    assert {path.name for path in found} == set(ROOMS) <= used


def test_imports_point_one_way_and_nothing_imports_a_script() -> None:
    rooms = [path for path in (ROOT / "stages/digits").rglob("*.py") if path != ROOT / "stages/digits/__init__.py"]
    tools = list((ROOT / "tools").rglob("*.py"))
    assert len(rooms) > 35
    assert len(tools) > 15
    for path in rooms + tools:
        last = "figures" if path in tools else path.relative_to(ROOT / "stages/digits").parts[0]  # tools: no training
        allowed = {room.removesuffix(".py") for room in ROOMS[: ROOMS.index(last) + 1]}
        for module in imported_modules(path):
            assert module.split(".")[0] not in STAGES, f"{path}: a stage script is imported by nothing"
            assert not module.startswith("digits.") or module.split(".")[1] in allowed, f"{path}: {module}"


@pytest.mark.parametrize("folder", ["stages", "tools"])
def test_scripts_import_no_package_before_a_missing_one_would_be_named(folder: str) -> None:
    scripts = [path for path in (ROOT / folder).glob("*.py") if "__main__" in path.read_text()]
    assert len(scripts) >= 4
    own = {path.name.removesuffix(".py") for place in ("stages", "tools") for path in (ROOT / place).iterdir()}
    for path in scripts:
        tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in tops]
        names = [str(module).partition(".")[0] for module in modules]
        assert set(names) <= sys.stdlib_module_names | own, path
        first = next((name for name in names if name in own), None)
        assert first == ("command" if folder == "tools" else "digits"), path


LEFT_BEHIND = ["__pycache__/x.pyc", ".mypy_cache/x", "x.py~", ".x.py.swp", "x.py.orig", "x.rej", "#x.py#", ".#x.py"]
LEFT_BEHIND += [".DS_Store", ".ipynb_checkpoints/x.py", "x.bak", "x.tmp"]


def test_what_editors_leave_in_a_room_is_no_dependency_and_joins_no_experiment(run: Run) -> None:
    """DVC hashes whole folders, and `dvc exp run` commits what Git does not ignore."""
    paths = [f"stages/digits/models/{name}" for name in LEFT_BEHIND]
    for program in ("dvc", "git"):
        ignored = run(ROOT, program, "check-ignore", *paths).splitlines()
        assert [path for path in ignored if path in paths] == paths, program


@pytest.mark.parametrize("stage", STAGES)
def test_an_entry_names_what_its_script_imports_reads_and_writes(stage: str) -> None:
    entry = PIPELINE[stage]
    assert entry["cmd"] == f"python stages/{stage}.py"
    assert len(entry["desc"]) > 20
    params = ["download", "preprocess", "train"] if stage == "export" else [stage, VERSIONS[stage]]
    assert entry["params"] == params

    code = {dep for dep in entry["deps"] if dep.startswith("stages/")}
    finder = ModuleFinder([str(ROOT / "stages")])
    finder.run_script(str(ROOT / f"stages/{stage}.py"))
    files = [vars(module)["__file__"] for module in finder.modules.values()]  # None for what is built into Python
    # A script, a single file, or the room of a file: whatever a stage imports from, directly or not, and no other.
    assert code == {"/".join(Path(file).relative_to(ROOT).parts[:3]) for file in files if file}
    declared = {*entry["deps"]} - code | outputs(entry)
    read = {"${download.folder.path}"} if stage == "download" else set()  # its path is a parameter
    module = importlib.import_module(stage)
    assert declared == read | {value.as_posix() for value in vars(module).values() if isinstance(value, Path)}


def test_a_choice_is_offered_where_it_is_implemented_and_tested() -> None:
    def choices(params: type[BaseModel], field: str) -> set[str]:
        return set(get_args(params.model_fields[field].annotation))

    assert choices(TrainParams, "model") == set(networks.NETWORKS) == set(small_networks.NETWORKS)
    assert choices(TrainParams, "optimizer") == set(LRS)
    assert choices(FolderParams, "pictures") == choices(Description, "pictures") == set(CONVERSIONS)


def test_constraints_leave_pytorch_free() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("torch", "nvidia", "cuda", "triton"))]
    assert all("==" in line for line in lines)


def test_the_diagram_is_that_of_dvc_yaml() -> None:
    found = re.search(r"(?ms)^```mermaid\n(.*?)^```", PAGE)
    assert found
    nodes = {name: [name] for name in re.findall(r"\b(\w+)\(\[", found[1])}
    nodes |= {name: paths.split("<br>") for name, paths in re.findall(r'\b(\w+)\["(.+?)"\]', found[1])}
    arrows = re.findall(r"(?m)^ *(\w+).*? --> (\w+)", found[1])
    drawn = {(source, target) for start, end in arrows for source in nodes[start] for target in nodes[end]}
    wired = set()
    for stage, entry in PIPELINE.items():
        wired |= {(dep, stage) for dep in entry["deps"] if not dep.startswith("stages/")}
        wired |= {(stage, path) for path in outputs(entry)}
    assert drawn == wired


def test_the_table_says_what_is_in_each_room_and_who_uses_it() -> None:
    rows = re.findall(r"(?m)^\| \[[\w.]+\]\(\.\./(stages/digits/[\w.]+)\) \| (.+?) \| (.+?) \|$", PAGE)
    users = {path: list(PIPELINE) if names == "all" else names.split(", ") for path, _, names in rows}
    code = {dep for entry in PIPELINE.values() for dep in entry["deps"] if dep.startswith("stages/digits/")}
    code.remove("stages/digits/__init__.py")
    assert users == {dep: [stage for stage in PIPELINE if dep in PIPELINE[stage]["deps"]] for dep in code}
    for path, text, _ in rows:
        if (folder := ROOT / path).is_dir():
            modules = {file.stem for file in folder.glob("*.py")} - {"__init__"}
            assert set(re.findall(r"`(\w+)`:", text)) == modules, path


def test_the_paths_on_the_page_exist() -> None:
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", PAGE)
    made = ("stages/NAME.py", "data/", ".checkpoints/", ".dvc/tmp/")  # by the reader, or by runs
    places = [ROOT, *(ROOT / name for name in ("stages/digits", "tools"))]
    assert len(named) > 30
    for name in named:
        assert name.startswith(made) or any((place / name).exists() for place in places), name
