"""README.md and docs/: the commands that each page shows run in their order, and every link leads somewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Run, edit
from samples import draw_shapes

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 150

# Commands that no test runs, and why.
NOT_RUN = {
    "source .venv/bin/activate": "sets variables of the user's shell",
    ".venv/bin/pip install torch==2.15.0 torchvision==0.29.2 --index-url <PyTorch's CPU index>": "needs the network",
    "(umask 077; echo 'server:5432:digits:digits:PASSWORD' >> ~/.pgpass)": "writes to the user's home",
    "dvc gc --workspace --all-experiments": "asks before it deletes",
}
# What another test runs, or CI: the file, a piece of it that stands for the command, and the command.
ELSEWHERE = re.findall(
    r"(?m)^(.+?): (.+) <- (.+)$",
    """
.ci/run: git clone <- git clone <this repository> digits && cd digits
.ci/run: make -C <- make run
.ci/run: MNIST_MIRROR= <- MNIST_MIRROR=/path/to/mnist make run
Makefile: -m venv .venv <- python3 -m venv .venv
Makefile: $(INSTALL) -r requirements.txt <- pip install -r requirements.txt
requirements-dev.txt: -r requirements-machines.txt <- pip install -r requirements-machines.txt
tests/training/test_processes.py: "processes": count <- dvc exp run -S train.processes=2
tests/training/test_processes.py: "torchrun", "--nnodes", "2" <- torchrun --nnodes 2 --nproc-per-node 2 \
--rdzv-backend c10d --rdzv-endpoint first:29400 stages/train.py
benchmarks/measure_recipes.py: "dvc", "repro", "preprocess" <- dvc repro preprocess
tests/tools/test_machines.py: "dvc", "pull" <- dvc pull
tests/tools/test_runs.py: "experiments" <- make experiments
tests/pipeline/test_processors.py: "cp", "-r", ".dvc/cache/." <- cp -r .dvc/cache/. /path/to/storage
tests/pipeline/test_processors.py: "dvc", "repro", "--pull" <- dvc repro --pull
tests/pipeline/test_processors.py: "pull", "--run-cache" <- dvc pull --run-cache
tests/pipeline/test_sharing.py: "--default" <- dvc remote add --default storage /path/to/storage
tests/pipeline/test_sharing.py: commit(project, run) <- git commit -m "Add a remote" .dvc/config
tests/pipeline/test_sharing.py: "push" <- git push && dvc push
tests/pipeline/test_sharing.py: "gto", "register", "digits" <- gto register digits
tests/pipeline/test_sharing.py: "digits@v0.0.1" <- git push origin digits@v0.0.1 && dvc push
tests/pipeline/test_sharing.py: "dvc", "artifacts", "get" <- dvc artifacts get https://github.com/you/digits digits
tests/pipeline/test_sharing.py: "exp", "push" <- git push && dvc exp push origin faster
tests/pipeline/test_sharing.py: "exp", "apply" <- git pull && dvc exp pull origin faster && dvc exp apply faster
tests/pipeline/test_data_sets.py: "fashion-mnist" <- dvc exp run -n fashion -S download.dataset=fashion-mnist
tests/pipeline/test_data_sets.py: "kmnist" <- dvc exp run -n kmnist -S download.dataset=kmnist
tests/pipeline/test_pipeline.py: "dvc", "exp", "run", "--queue" <- dvc exp run --queue -S 'train.lr=0.001,0.01' -S \
'train.seed=range(0,5)'
tests/pipeline/test_pipeline.py: "dvc", "queue", "start", "-j", "2" <- dvc queue start -j 2
tests/pipeline/test_pipeline.py: dvc queue status <- dvc queue status
tests/pipeline/test_pipeline.py: "preprocess.drawings=3" <- dvc exp run --name taught -S preprocess.drawings=10
tests/pipeline/test_pipeline.py: "dvc", "queue", "logs" <- dvc queue logs NAME --follow
""",
)
OFFLINE = "python tools/recipe.py offline"  # which only its page runs
# Pages for a reader who has run an experiment of this name on another page.
EXPERIMENTS = {
    "many-experiments.md": "faster",
    "plots.md": "faster",
    "troubleshooting.md": "NAME",
    "your-own-pictures.md": "cnn",
}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


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


def to_run(page: Path) -> list[str]:
    """The commands of a page, without those that run elsewhere or on an earlier page, or need a server."""
    skipped = {*NOT_RUN, *(command for *_, command in ELSEWHERE)}
    skipped |= {command for other in PAGES[: PAGES.index(page)] for command in commands(other)}
    found = [command for command in commands(page) if command not in skipped and "server" not in command]
    return [command for command in found if command == OFFLINE or not tool_of(command)]


SHOWN = {command for page in PAGES for command in commands(page)}


def test_the_tables_name_only_what_pages_show_and_where_it_stands() -> None:
    assert {*NOT_RUN, OFFLINE, *(command for *_, command in ELSEWHERE)} <= SHOWN
    assert not [(path, piece) for path, piece, _ in ELSEWHERE if piece not in read(ROOT / path)]
    assert set(EXPERIMENTS) <= {page.name for page in PAGES if to_run(page)}


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


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name, marks=[pytest.mark.long] * (page != README)) for page in PAGES if to_run(page)],
)
def test_the_commands_of_a_page_run_in_their_order(
    project: Path, run: Run, warm_path: str, page: Path, tmp_path: Path
) -> None:
    if name := EXPERIMENTS.get(page.name):
        edit(project / "params.yaml", "bins: 10", "bins: 9")
        run(project, "dvc", "exp", "save", "--name", name)  # without training, which takes longer
    shapes = draw_shapes(tmp_path / "shapes", 12)
    for command in to_run(page):
        short = re.sub(r"epochs=\d+", "epochs=2", command)
        short = short.replace("/path/to/shapes", str(shapes)).replace("val_size=48", "val_size=9")
        run(project, "sh", "-c", short, **({} if tool_of(command) else {"PATH": warm_path}))  # tools start cold


def prose(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", read(page))


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page; it numbers those that repeat."""
    found: list[str] = []
    for heading in re.findall(r"(?m)^#+ (.+)$", prose(page)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.append(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return {f"{name}-{found[:i].count(name)}" if name in found[:i] else name for i, name in enumerate(found)}


def links(page: Path) -> list[str]:
    """The links and images of a page that lead to no other site."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [link for link in found if not re.match(r"https?://", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_headings_become_anchors_as_on_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Is `a_b` real?\n## CPU only, or a GPU\n```\n# no heading\n```\n## [One](x.md) & two\n## CPU only, or a GPU\n"
    )
    assert anchors(page) == {"is-a_b-real", "cpu-only-or-a-gpu", "one--two", "cpu-only-or-a-gpu-1"}


def test_the_readme_is_short_and_its_table_leads_to_every_page() -> None:
    assert len(read(README).splitlines()) <= MAX_README_LINES
    linked = {link for row in re.findall(r"(?m)^\|.*$", read(README)) for link in re.findall(r"\]\(([^)]+)\)", row)}
    assert {f"docs/{page.name}" for page in PAGES if page != README} <= linked


def test_every_metric_is_explained() -> None:
    text = read(ROOT / "docs/stages-and-metrics.md")
    for path in (ROOT / "metrics").glob("*.json"):
        for name in json.loads(read(path)):
            assert f"`{name}`" in text, name
