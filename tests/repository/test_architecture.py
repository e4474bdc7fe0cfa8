"""docs/architecture.md draws the pipeline and lists the modules as they are."""

import re
from typing import Any

import yaml

from conftest import ROOT
from pipeline_runs import STAGES

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PACKAGE = {"stages/digits/__init__.py"}
ENTRIES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PIPELINE = {name: ENTRIES[name] for name in STAGES}


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
        outputs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
        wired |= {(stage, out if isinstance(out, str) else next(iter(out))) for out in outputs}
    assert drawn == wired


def test_the_table_says_what_is_in_each_room_and_who_uses_it() -> None:
    rows = re.findall(r"(?m)^\| \[[\w.]+\]\(\.\./(stages/digits/[\w.]+)\) \| (.+?) \| (.+?) \|$", PAGE)
    users = {path: list(PIPELINE) if names == "all" else names.split(", ") for path, _, names in rows}
    code = {dep for entry in PIPELINE.values() for dep in entry["deps"] if dep.startswith("stages/digits/")}
    assert users == {dep: [stage for stage in PIPELINE if dep in PIPELINE[stage]["deps"]] for dep in code - PACKAGE}
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
