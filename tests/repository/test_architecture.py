"""docs/architecture.md draws the pipeline and lists the modules as they are."""

import re
from typing import Any

from conftest import ROOT
from imports import imported_files

import yaml

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_the_diagram_is_that_of_dvc_yaml() -> None:
    found = re.search(r"(?ms)^```mermaid\n(.*?)^```", PAGE)
    assert found
    nodes = {name: [name] for name in re.findall(r"\b(\w+)\(\[", found[1])}
    nodes |= {name: paths.split("<br>") for name, paths in re.findall(r'\b(\w+)\["(.+?)"\]', found[1])}
    arrows = re.findall(r"(?m)^ *(\w+).*? --> (\w+)", found[1])
    drawn = {(source, target) for start, end in arrows for source in nodes[start] for target in nodes[end]}
    wired = set()
    for stage, entry in PIPELINE.items():
        wired |= {(dep, stage) for dep in entry["deps"] if not dep.endswith(".py")}
        outputs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
        wired |= {(stage, out if isinstance(out, str) else next(iter(out))) for out in outputs}
    assert drawn == wired


def test_the_table_says_who_uses_each_module() -> None:
    packages = PAGE.partition("## The packages")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| \[(\w+)\]\(\.\./(stages/digits/\w+/\w+\.py)\) \| .+? \| (.+?) \|$", packages)
    assert all(path.endswith(f"/{name}.py") for name, path, _ in rows)
    listed = {path: list(PIPELINE) if users == "all" else users.split(", ") for _, path, users in rows}
    used: dict[str, list[str]] = {}
    for stage in PIPELINE:
        for path in imported_files(ROOT / f"stages/{stage}.py"):
            if path.count("/") == 3 and not path.endswith("__init__.py"):
                used.setdefault(path, []).append(stage)
    assert listed == used
