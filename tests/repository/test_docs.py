"""The commands that README.md shows run: here, in their order, on the bundled digits, or where the table says."""

import re
from pathlib import Path

from conftest import ROOT, Run

import pytest

# No test runs these: they install from the network, or set a variable of the shell.
NOT_RUN = {
    "source .venv/bin/activate",
    ".venv/bin/pip install torch==2.15.0 torchvision==0.29.2 --index-url <PyTorch's CPU index>",
}
# What another test runs, or CI, each with a piece of it that stands there.
ELSEWHERE = {
    "git clone <this repository> digits && cd digits": (".ci/run", "git clone"),
    "make run": (".ci/run", "make -C"),
    "python3 -m venv .venv": ("Makefile", "-m venv .venv"),
    "pip install -r requirements.txt": ("Makefile", "pip install -r requirements.txt"),
    "MNIST_MIRROR=/path/to/mnist make run": (".ci/run", "MNIST_MIRROR="),
    "make draw": ("tests/tools/test_draw.py", '"tools/draw.py"'),
    "python tools/predict.py seven.jpg note.png": ("tests/tools/test_predict.py", '"tools/predict.py"'),
    "make experiments": ("tests/tools/test_runs.py", '"experiments"'),
    "python tools/sweep.py --by train.optimizer --picture sweep.png": ("tests/tools/test_runs.py", "tools/sweep.py"),
    "python tools/seeds.py --picture seeds.png": ("tests/tools/test_runs.py", "tools/seeds.py"),
    "python tools/search.py --trials 20 --jobs 2 --picture search.png": ("tests/tools/test_search.py", '"--picture"'),
    "dvc remote add --default storage /path/to/storage": ("tests/pipeline/test_sharing.py", '"--default"'),
    'git commit -m "Add a remote" .dvc/config': ("tests/pipeline/test_sharing.py", "commit(project, run)"),
    "git push && dvc push": ("tests/pipeline/test_sharing.py", '"push"'),
    "git push && dvc exp push origin faster": ("tests/pipeline/test_sharing.py", '"exp", "push"'),
    "git pull && dvc exp pull origin faster": ("tests/pipeline/test_sharing.py", '"exp", "pull"'),
    "dvc exp apply faster": ("tests/pipeline/test_sharing.py", '"exp", "apply"'),
    "dvc queue logs NAME --follow": ("tests/pipeline/test_resume.py", '"queue", "logs"'),
}


def commands() -> list[str]:
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"))
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line[2:].split()) for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_runs_elsewhere_stands_there(command: str) -> None:
    assert command in commands()
    path, piece = ELSEWHERE[command]
    assert piece in (ROOT / path).read_text(encoding="utf-8")


def test_the_commands_run_in_their_order(project: Path, run: Run) -> None:
    shown = [command for command in commands() if command not in {*ELSEWHERE, *NOT_RUN}]
    assert len(shown) > 10
    for command in shown:
        run(project, "sh", "-c", command)
        if command.startswith("dvc queue start"):  # its trainings go on in the background
            run(project, "dvc", "queue", "stop", "--kill")
