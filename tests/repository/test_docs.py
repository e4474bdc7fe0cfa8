"""README.md and docs/: the commands that each page shows run in their order, and every link leads somewhere."""

import json
import re
from pathlib import Path

import pytest

from conftest import ROOT, Run, edit
from samples import draw_shapes

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 150

SERVER = "needs a server of that name"
# No test runs these, for the reasons given.
NOT_RUN = {
    "source .venv/bin/activate": "sets variables of the user's shell",
    ".venv/bin/pip install torch==2.15.0 torchvision==0.29.2 --index-url <PyTorch's CPU index>": "needs the network",
    "git remote add server digits@server:digits.git": SERVER,
    "dvc remote add --default storage ssh://digits@server/home/digits/storage": SERVER,
    "git push server HEAD:main && dvc push": SERVER,
    "git clone -b main digits@server:digits.git && cd digits": SERVER,
    "(umask 077; echo 'server:5432:digits:digits:PASSWORD' >> ~/.pgpass)": "writes to the user's home",
}
# What another test runs, or CI: the file, a piece of it that stands for the command, and the command.
ELSEWHERE = re.findall(
    r"(?m)^(.+?): (.+) <- (.+)$",
    """
.ci/run: git clone <- git clone <this repository> digits && cd digits
.ci/run: make -C <- make run
.ci/run: MNIST_MIRROR= <- MNIST_MIRROR=/path/to/mnist make run
Makefile: -m venv .venv <- python3 -m venv .venv
Makefile: pip install -r requirements.txt <- pip install -r requirements.txt
Makefile: tools/draw.py $(ARGS) <- make draw ARGS="--model models/cnn.onnx"
Makefile: tools/draw.py $(ARGS) <- make draw ARGS="--model models/ensemble.onnx"
requirements-dev.txt: -r requirements-machines.txt <- pip install -r requirements-machines.txt
tests/training/test_processes.py: "processes": count <- dvc exp run -S train.processes=2
tests/training/test_processes.py: "torchrun", "--nnodes", "2" <- torchrun --nnodes 2 --nproc-per-node 2 \
--rdzv-backend c10d --rdzv-endpoint first:29400 stages/train.py
benchmarks/measure_recipes.py: "dvc", "repro", "preprocess" <- dvc repro preprocess
tests/tools/test_machines.py: "dvc", "pull" <- dvc pull
tests/tools/test_machines.py: "--storage", url, "--push" <- python tools/search.py --trials 200 --storage \
postgresql://digits@server/digits --push
tests/tools/test_machines.py: "--storage", url, "--push" <- python tools/sweep.py -S train.lr=0.001,0.01 -S \
'train.seed=range(0,16)' --storage postgresql://digits@server/digits --push
tests/tools/test_draw.py: "tools/draw.py" <- make draw
tests/tools/test_predict.py: "tools/predict.py" <- python tools/predict.py seven.jpg note.png
tests/tools/test_predict.py: "--model" <- python tools/predict.py --model models/cnn.onnx seven.jpg
tests/tools/test_recipes.py: "tools/recipe.py", name, *SMALL <- make cnn
tests/tools/test_recipes.py: "-n", "other", *SMALL, "-S", "train.seed=1" <- make cnn ARGS="-n cnn-1 -S train.seed=1"
tests/tools/test_recipes.py: -S train.arithmetic=portable -S train.precision=float32 -S train.channels_last=false <- \
make lenet5 ARGS="-S train.arithmetic=portable -S train.precision=float32 -S train.channels_last=false"
tests/tools/test_sweep.py: train.seed=range(0,2) <- python tools/sweep.py -S 'train.seed=range(1,10)'
tests/tools/test_ensemble.py: "tools/ensemble.py" <- python tools/ensemble.py cnn seed={1..9}
tests/tools/test_runs.py: "experiments" <- make experiments
tests/tools/test_runs.py: tools/sweep.py <- python tools/sweep.py --by train.optimizer --picture sweep.png
tests/tools/test_runs.py: call(seeds, swept, "--picture" <- python tools/seeds.py --picture seeds.png
tests/tools/test_reproduce.py: "tools/reproduce.py" <- make reproduce
tests/tools/test_reproduce.py: "-S", "train.model=cnn" <- make reproduce ARGS="-S train.model=cnn"
tests/pipeline/test_processors.py: "--cpu", cpu <- python tools/reproduce.py --cpu Haswell --cpu EPYC-Rome
tests/pipeline/test_processors.py: "cp", "-r", ".dvc/cache/." <- cp -r .dvc/cache/. /path/to/storage
tests/pipeline/test_processors.py: "dvc", "repro", "--pull" <- dvc repro --pull
tests/pipeline/test_processors.py: "pull", "--run-cache" <- dvc pull --run-cache
tests/tools/test_verify.py: "tools/verify.py" <- make verify
tests/tools/test_search.py: "--picture" <- python tools/search.py --trials 20 --jobs 2 --picture search.png
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
RUN_ELSEWHERE = {command for _, _, command in ELSEWHERE}
# Pages for a reader who has run an experiment of this name on another page.
EXPERIMENTS = {
    "many-experiments.md": "faster",
    "plots.md": "faster",
    "your-own-pictures.md": "cnn",
}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> list[str]:
    """The commands in the `console` blocks of a page, without comments, continued lines joined."""
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", read(page))
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(re.sub(r"\s#\s.*", "", line[2:]).split()) for line in lines if line.startswith("$ ")]


def to_run(page: Path) -> list[str]:
    """The commands of a page, without those that run elsewhere or on an earlier page."""
    earlier = [command for other in PAGES[: PAGES.index(page)] for command in commands(other)]
    return [command for command in commands(page) if command not in {*RUN_ELSEWHERE, *NOT_RUN, *earlier}]


def test_the_tables_name_only_what_pages_show() -> None:
    shown = {command for page in PAGES for command in commands(page)}
    assert {*RUN_ELSEWHERE, *NOT_RUN} <= shown
    assert len(ELSEWHERE) + len(NOT_RUN) < len(shown)
    assert set(EXPERIMENTS) <= {page.name for page in PAGES if to_run(page)}


def test_what_runs_elsewhere_stands_there() -> None:
    assert not [(path, piece) for path, piece, _ in ELSEWHERE if piece not in read(ROOT / path)]


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
        is_tool = "tools/" in command  # which starts cold, from this copy of its modules
        run(project, "sh", "-c", short, **({} if is_tool else {"PATH": warm_path}))


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
