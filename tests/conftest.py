"""A copy of the project to try things in, and a way to run commands there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from digits.foundation.arithmetic import unsuitable_machine, use_portable_arithmetic

use_portable_arithmetic()  # before NumPy and PyTorch are loaded; tests call stages in this process, too

from digits.data.dataset import Dataset
from digits.data.optdigits import load_optdigits
from digits.data.published import PUBLISHED
from experiments.launch.experiment import warm_start

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
torch.set_num_threads(1)
# Ctrl-C must reach the commands that tests start, also where the tests run in the background, which ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
IMAGES, LABELS = load_optdigits().images, load_optdigits().labels
MNIST = PUBLISHED["mnist"].about
CLASSES = len(MNIST.classes)


def some_digits(start: int, stop: int) -> Dataset:
    """Some of the bundled digits."""
    return Dataset(IMAGES[start:stop], LABELS[start:stop])


def draw(folder: Path, digits: Dataset) -> None:
    """Save digits as drawings, dark on light and larger, in a folder for each."""
    for i in range(len(digits)):
        place = folder / str(digits.labels[i])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - digits.images[i]).resize((200, 200)).save(
            place / f"{sha256(digits.images[i]).hexdigest()[:16]}.png"
        )


SHAPES = ["circles", "squares", "triangles"]


def draw_shapes(folder: Path, count: int) -> Path:
    """A folder of pictures for each of three shapes, of many sizes and colours."""
    random = np.random.default_rng(0)
    for number in range(count):
        for shape in SHAPES:
            side = int(random.integers(40, 200))
            paper, ink = random.integers(180, 255, 3), random.integers(0, 120, 3)
            image = Image.new("RGB", (side, side + number), tuple(paper.tolist()))
            pen, radius = ImageDraw.Draw(image), int(side * random.uniform(0.25, 0.45))
            place = (side // 2, side // 2, radius)
            if shape == "circles":
                pen.circle(place[:2], radius, tuple(ink.tolist()))
            else:
                pen.regular_polygon(place, 4 if shape == "squares" else 3, fill=tuple(ink.tolist()))
            (folder / shape).mkdir(parents=True, exist_ok=True)
            image.save(folder / shape / f"{number}.{'jpg' if number % 2 else 'png'}")
    return folder


def some_tensors(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The images and labels of some of the bundled digits, for PyTorch."""
    digits = some_digits(start, stop)
    return torch.from_numpy(digits.images), torch.from_numpy(digits.labels)


Run = Callable[..., str]
MakeProject = Callable[[], Path]
Once = Callable[[str, Callable[[], Path]], Path]

# Tests start from these values, whatever params.yaml has; if a name is in two sections, the first is changed.
PARAMS = {
    "dataset": "optdigits",
    "val_size": 137,
    "optimizer": "sgd",
    "lr": 0.1,
    "schedule": "constant",
    "warmup": 0.0,
    "batch_size": 100,
    "epochs": 3,
    "arithmetic": "native" if unsuitable_machine() else "portable",
}


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for a command, with nothing of the user's own settings."""
    home = tmp_path_factory.mktemp("home")
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"GIT_{role}_{key}": "digits@localhost" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }


@pytest.fixture(scope="session")
def warm_path(environment: dict[str, str]) -> Iterator[str]:
    """A PATH with which `dvc`, and `python` in its stages, start without loading their libraries anew."""
    path = os.environ["PATH"]
    with warm_start():
        first, _ = os.environ["PATH"].split(os.pathsep, 1)
        os.environ["PATH"] = path
        yield os.pathsep.join([first, environment["PATH"]])


@pytest.fixture(scope="session")
def run(environment: dict[str, str], warm_path: str) -> Run:
    """Run a command in a folder; check its status; return all it printed. DVC and stages start warm, others cold."""

    def run_command(folder: Path, *command: str, status: int = 0, timeout: float = 300, **variables: str) -> str:
        is_warm = command[0] == "dvc" or (command[0] == "python" and command[1].startswith("stages/"))
        # A file, not a pipe: a worker of DVC's queue, which lives on, would keep a pipe open.
        with tempfile.TemporaryFile("w+") as printed:
            status_now = subprocess.run(
                command,
                cwd=folder,
                env=environment | ({"PATH": warm_path} if is_warm else {}) | variables,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=timeout,
            ).returncode
            printed.seek(0)
            output = printed.read()
        assert status_now == status, output
        return output

    return run_command


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Make a folder in the first of the parallel test processes that asks for it, for all of them.

    The tests work in copies of it, or leave it as it is.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make_once(name: str, make: Callable[[], Path]) -> Path:
        note = shared / f"{name}.path"
        with FileLock(f"{note}.lock"):
            if not note.exists():
                folder = make()
                note.write_text(str(folder))
        return Path(note.read_text())

    return make_once


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> MakeProject:
    """Make a Git repository of the project's files as they are now, set to a short run on the bundled digits."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]

    def make() -> Path:
        folder = tmp_path_factory.mktemp("project")
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        params = (folder / "params.yaml").read_text(encoding="utf-8")
        for key, value in PARAMS.items():
            params, found = re.subn(rf"(?m)^  {key}: .*$", f"  {key}: {value}", params, count=1)
            assert found, key
        (folder / "params.yaml").write_text(params, encoding="utf-8")
        run(folder, "git", "init", "--quiet")
        commit(folder, run)
        return folder

    return make


@pytest.fixture(scope="session")
def finished(make_project: MakeProject, run: Run, once: Once) -> Path:
    """A project whose pipeline has run and whose results are committed; tests work in copies of it."""

    def make() -> Path:
        folder = make_project()
        run(folder, "dvc", "repro")
        commit(folder, run)
        return folder

    return once("finished", make)


@pytest.fixture(scope="session")
def copy_finished(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeProject:
    """Copy the finished project, for a fixture of several tests."""
    return lambda: Path(shutil.copytree(finished, tmp_path_factory.mktemp("copy") / "project"))


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, for one test."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old`, which occurs in the file once, with `new`."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old!r} occurs {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def commit(folder: Path, run: Run) -> None:
    """Commit everything that Git does not ignore."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "as it is")
