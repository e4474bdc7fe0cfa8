"""Every command in tools/ keeps to one convention: its help, its exit statuses, and what it may import."""

import ast
import re
from pathlib import Path

from conftest import ROOT, Run

import pytest

COMMANDS = sorted((ROOT / "tools").glob("*.py"))
NAMES = [path.stem for path in COMMANDS]
SOURCES = sorted((ROOT / "tools").rglob("*.py"))
DOCS = [ROOT / "Makefile", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STAGES = {path.stem for path in (ROOT / "stages").iterdir()} - {"__pycache__"}


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_the_help(path: Path, run: Run) -> None:
    output = run(ROOT, "python", f"tools/{path.name}", "--help", COLUMNS="80")
    description, usage, options = re.split(r"(?m)^(usage: .*)$", output)
    assert description.strip() == docstring(path)
    purpose, examples, *_ = description.split("\n\n")
    assert re.fullmatch(r"[A-Z].*[.?]", purpose)  # one line
    assert all(line[9:].startswith(f"python tools/{path.name}") for line in examples.splitlines())
    assert examples.startswith("Example: ")
    assert usage.startswith(f"usage: {path.name} [-h]")
    assert max(map(len, output.splitlines())) <= 80
    assert "default" not in " ".join(options.split()).replace("(default: ", "")
    assert str(ROOT) not in output
    metavars = re.findall(r"(?m)^  (?:-\w(?: \S+)?, )?--[\w-]+ (\S+)", options)
    assert all(metavar.isupper() for metavar in metavars)


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_a_command_stands_in_the_docs(path: Path) -> None:
    assert any(f"tools/{path.name}" in text.read_text(encoding="utf-8") for text in DOCS)


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_an_unknown_option_is_wrong_usage(path: Path, finished: Path, run: Run) -> None:
    given = {"search": ["--trials", "1"], "recipe": ["linear"], "ensemble": ["HEAD"]}.get(path.stem, [])
    output = run(finished, "python", f"tools/{path.name}", *given, "--no-such-option", status=2)
    assert "unrecognized arguments: --no-such-option" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_missing_packages_are_named(path: Path, run: Run) -> None:
    output = run(ROOT, "python", "-S", f"tools/{path.name}", "--help", status=1)
    assert re.fullmatch(r"error: python: [\w, ]+ not installed; `source .venv/bin/activate` first\n", output)


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT / "tools")) for path in SOURCES])
def test_tools_import_nothing_of_the_stages_but_pictures(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(
            "digits.pictures."
        ):  # which they share
            imported.add(str(node.module).split(".")[0])
    assert {"digits", "train"} <= {name.removesuffix(".py") for name in STAGES}
    assert not imported & STAGES


@pytest.mark.parametrize("arguments", ["", "--help"])
def test_a_reader_that_leaves_is_no_error(finished: Path, tmp_path: Path, run: Run, arguments: str) -> None:
    run(finished, "sh", "-c", f"python tools/compare.py HEAD HEAD {arguments} 2> {tmp_path}/errors | true")
    assert (tmp_path / "errors").read_text() == ""
