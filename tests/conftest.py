"""A copy of the project to try things in, and a way to run commands there."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from filelock import FileLock

from command import run_command

ROOT = Path(__file__).resolve().parents[1]
# Ctrl-C must reach the commands that tests start, also where the tests run in the background, which ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., str]
MakeProject = Callable[[], Path]
Call = Callable[..., tuple[str, str]]
Once = Callable[[str, Callable[[], Path]], Path]

# Tests start from these values, whatever is chosen in params.yaml: section `train` with the recipe `baseline`.
BASELINE: dict[str, Any] = {
    **yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["train"],
    **yaml.safe_load((ROOT / "recipes/baseline.yaml").read_text(encoding="utf-8"))["train"],
    "seed": 0,
    "device": "auto",
    "processes": 1,
    "cnn": {"width": 16, "depth": 1, "dropout": 0.0},
}
# A short run on the bundled digits.
PARAMS: dict[str, dict[str, Any]] = {
    "download": {"dataset": "optdigits"},
    "preprocess": {"val_size": 137, "seed": 0, "drawings": 0},
    "train": BASELINE | {"lr": 0.1, "batch_size": 100, "epochs": 3},
    "evaluate": {"bins": 10},
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
def run(environment: dict[str, str]) -> Run:
    """Run a command in a folder; check its status; return all that it printed."""

    def run_here(folder: Path, *command: str, status: int = 0, timeout: float = 300, **variables: str) -> str:
        # A file, not a pipe: a worker of DVC's queue, which lives on, would keep a pipe open.
        with tempfile.TemporaryFile("w+") as printed:
            status_now = subprocess.run(
                command,
                cwd=folder,
                env=environment | variables,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=timeout,
            ).returncode
            printed.seek(0)
            output = printed.read()
        assert status_now == status, output
        return output

    return run_here


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
        with modify_yaml(folder / "params.yaml") as params:
            for section, values in PARAMS.items():
                params[section].update(values)
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


@pytest.fixture(scope="session")
def copy_with_experiments(
    copy_finished: MakeProject, run: Run, once: Once, tmp_path_factory: pytest.TempPathFactory
) -> MakeProject:
    """Copy a project with experiments: other seeds, learning rates and validation images, and one of train alone."""

    def make() -> Path:
        folder = copy_finished()
        (folder / "note").write_text("a commit of its own, so that no experiment is taken for the one before")
        commit(folder, run)
        for name, *arguments in (
            ("seed-1", "-S", "train.seed=1"),
            ("slow-0", "-S", "train.lr=0.001", "evaluate"),
            ("slow-1", "-S", "train.lr=0.001", "-S", "train.seed=1", "evaluate"),
            ("split", "-S", "preprocess.seed=1"),
            ("unscored", "-S", "train.lr=0.3", "-S", "train.seed=2", "train"),
        ):
            run(folder, "dvc", "exp", "run", "--temp", "--name", name, *arguments)
        return folder

    return lambda: Path(shutil.copytree(once("experiments", make), tmp_path_factory.mktemp("copy") / "project"))


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, for one test."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call a command of tools/ in a project, in this process, which saves the seconds in which another one starts.

    It checks the status, and returns what was printed and what went to standard error.
    """

    def call_main(command: ModuleType, project: Path, *arguments: str, status: int = 0) -> tuple[str, str]:
        for module in list(sys.modules.values()):
            if getattr(module, "ROOT", None) == ROOT and module.__name__ not in ("command", __name__):
                monkeypatch.setattr(module, "ROOT", project)
        monkeypatch.chdir(project)
        monkeypatch.setattr("sys.argv", [f"{command.__name__}.py", *arguments])
        capsys.readouterr()
        code: object = 0
        try:
            run_command(command.main)
        except SystemExit as error:
            code = error.code or 0
        printed, problems = capsys.readouterr()
        if isinstance(code, str):  # which Python would print, and exit with 1
            code, problems = 1, f"{problems}{code}\n"
        assert code == status, printed + problems
        return printed, problems

    return call_main


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old`, which occurs in the file once, with `new`."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old!r} occurs {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def commit(folder: Path, run: Run) -> None:
    """Commit everything that Git does not ignore."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "as it is")


def committed(folder: Path, revision: str, path: str, run: Run) -> str:
    """A file of a commit, by the commit's name of Git's or of DVC's."""
    commits = run(folder, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{revision}").split()
    return run(folder, "git", "show", f"{commits[0] if commits else revision}:{path}")
