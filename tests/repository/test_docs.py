"""README.md and docs/: the commands that each page shows run in their order, and every link leads somewhere."""

import json
import re
import sys
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, Run
from samples import draw_shapes

README = ROOT / "README.md"
TOUR = ROOT / "docs/tour.ipynb"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 150

# Commands that no test runs, and who does, or why nobody.
NOT_RUN = {
    "git clone <this repository> digits && cd digits": ".ci/run",
    "make run": ".ci/run",
    ".ci/arm64 ../arm64": ".ci/run",
    "MNIST_MIRROR=/path/to/mnist make run": ".ci/run",
    "python3 -m venv .venv": "Makefile",
    "pip install -r requirements.txt": "Makefile",
    "pip install -r requirements-machines.txt": "Makefile, by requirements-dev.txt",
    ".venv/bin/pip install torch==2.15.0 torchvision==0.29.2 --index-url <PyTorch's CPU index>": "needs the network",
    "source .venv/bin/activate": "sets variables of the user's shell",
    "(umask 077; echo 'server:5432:digits:digits:PASSWORD' >> ~/.pgpass)": "writes to the user's home",
    "dvc gc --workspace --all-experiments": "asks before it deletes",
    "dvc queue logs NAME --follow": "tests/pipeline/test_pipeline.py, without --follow",
    "make experiments": "tests/tools/test_sweep.py",
}
OFFLINE = "python tools/recipe.py offline"  # the only recipe that chooses a data set
GROUPS = {"artifacts", "exp", "metrics", "params", "plots", "queue", "remote"}  # of DVC's commands


def read(page: Path) -> str:
    """The text of a page, or of a notebook without its code."""
    text = page.read_text(encoding="utf-8")
    return text if page != TOUR else "\n\n".join("".join(cell["source"]) for cell in cells("markdown"))


def cells(kind: str) -> list[dict[str, Any]]:
    """The cells of the notebook that are of this kind, "code" or "markdown"."""
    return [cell for cell in json.loads(TOUR.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def commands(page: Path) -> list[str]:
    """The commands in the `console` blocks of a page, without comments, continued lines joined."""
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", read(page))
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(re.sub(r"\s#\s.*", "", line[2:]).split()) for line in lines if line.startswith("$ ")]


def tool_of(command: str) -> str | None:
    """The tool that a command calls, by its path or through make."""
    name = (re.findall(r"(?:^make |tools/)([\w-]+)", command) or [""])[0]
    name = "recipe" if (ROOT / f"recipes/{name}.yaml").is_file() else name
    return name if (ROOT / f"tools/{name}.py").is_file() else None


def is_tested(command: str) -> bool:
    """Whether a test calls the same command of DVC, or another program by the same words, with the same options."""
    words = command.split()
    name = words[: 3 if words[1] in GROUPS else 2] if words[0] == "dvc" else words[:3]
    options = [word for word in words if re.match("--?[a-z]", word) and word not in name]
    called = ", ".join(f'"{word}"' for word in name)
    return (called in TESTS or " ".join(name) in TESTS) and all(f'"{option}"' in TESTS for option in options)


def to_run(page: Path) -> list[str]:
    """The commands of a page that no other test runs, apart from Git's and those that need a server."""
    found = [command for command in commands(page) if command not in NOT_RUN and "server" not in command]
    parts = [part for command in found if not tool_of(command) for part in command.split(" && ")]
    own = [part for part in parts if not part.startswith("git ") and not is_tested(part)]
    return [command for command in found if command == OFFLINE] + own


TESTS = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
SHOWN = {command for page in PAGES for command in commands(page)}


def test_the_settings_on_the_pages_fit() -> None:
    assert OFFLINE in SHOWN
    for command in SHOWN:
        params = yaml.safe_load(read(ROOT / "params.yaml"))
        del params["versions"]  # which are for no stage alone
        for key, values in re.findall(r"-S '?([\w.]+)=(?:range\()?([^\s'\",]+)", command):
            *groups, name = key.split(".")
            group = reduce(dict.__getitem__, groups, params)
            assert name in group, command
            group[name] = yaml.safe_load(values)
        for stage, section in params.items():
            vars(import_module(stage))[f"{stage.capitalize()}Params"](**section)


def test_the_tests_of_a_tool_use_every_option_that_the_pages_show() -> None:
    texts = [read(path) for path in (ROOT / "tests").rglob("test_*.py")]
    for command in filter(tool_of, SHOWN):
        name = tool_of(command)
        of_tool = [text for text in texts if f"tools/{name}.py" in text or re.search(rf"(?m)^import {name}\b", text)]
        options = re.findall(r"(?<=[\s\"])--?[a-zS][\w-]*", command)
        assert any(all(f'"{option}"' in text for option in options) for text in of_tool), command


def test_the_python_on_the_pages_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    found: dict[str, Any] = {}
    blocks = "".join(re.findall(r"(?ms)^```python\n(.*?)^```", "".join(map(read, PAGES))))
    exec(blocks, found)  # noqa: S102 - the project's own
    assert (found["logits"].argmax(1).numpy() == found["probabilities"].argmax(1)).all()


def test_the_commands_of_the_readme_run_in_their_order(project: Path, run: Run) -> None:
    for command in commands(README):
        if command not in NOT_RUN and not tool_of(command):
            run(project, "sh", "-c", re.sub(r"epochs=\d+", "epochs=2", command))


@pytest.mark.long
def test_the_commands_that_no_other_test_runs(project: Path, run: Run, tmp_path: Path) -> None:
    shapes = draw_shapes(tmp_path / "shapes", 1)
    for command in dict.fromkeys(command for page in PAGES if page != README for command in to_run(page)):
        run(project, "sh", "-c", command.replace("/path/to/shapes", str(shapes)))


@pytest.mark.long
def test_the_notebook_runs_and_shows_what_it_printed(project: Path, run: Run) -> None:
    code = cells("code")
    run(project, sys.executable, "-c", "\n".join("".join(cell["source"]) for cell in code))
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"])
    assert TOUR.stat().st_size < 50_000
    assert str(ROOT) not in TOUR.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", read(page))


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page, as long as none repeats."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", prose(page).lower())
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.strip()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The links and images of a page that lead to no other site."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [link for link in found if not re.match(r"https?://", link)]


@pytest.mark.parametrize("page", [*PAGES, TOUR], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_short_and_its_table_leads_to_every_page() -> None:
    assert len(read(README).splitlines()) <= MAX_README_LINES
    linked = {link for row in re.findall(r"(?m)^\|.*$", read(README)) for link in re.findall(r"\]\(([^)]+)\)", row)}
    assert {f"docs/{page.name}" for page in PAGES if page != README} <= linked


def test_every_metric_is_explained() -> None:
    text = read(ROOT / "docs/stages-and-metrics.md")
    for path in (ROOT / "metrics").glob("*.json"):
        for name in json.loads(read(path)):
            assert f"`{name}`" in text, name
