"""A sweep gives the experiments that `dvc exp run` gives, and loses nothing to interruptions."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from background import wait_for
from conftest import Run as RunCommand
from conftest import edit
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import parse_lock
from experiments.grid import members, varied
from experiments.runs import Run
from experiments.snapshot import DRAWINGS, Snapshot, take_snapshot, used_pictures
from samples import draw, some_digits

SWEEP = "python", "tools/sweep.py"


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the functions of the tools work."""
    for module in ("experiments.snapshot", "repository"):
        monkeypatch.setattr(f"{module}.ROOT", project)
    return project


def tree(project: Path, name: str, run: RunCommand) -> str:
    """All files of an experiment, with their contents' hashes."""
    (commit,) = run(project, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/??/*/{name}").split()
    return run(project, "git", "ls-tree", "-r", commit)


def test_every_combination_is_a_member_with_a_name() -> None:
    sweep = members(["train.lr=0.1,1e-3", "train.seed=range(0,2)", "train.epochs=2"], prefix="a-")
    assert list(sweep) == ["a-lr=0.1,seed=0", "a-lr=0.1,seed=1", "a-lr=0.001,seed=0", "a-lr=0.001,seed=1"]
    last = sweep["a-lr=0.001,seed=1"]
    assert last.settings == ["train.lr=0.001", "train.seed=1", "train.epochs=2"]
    assert (last.params["train.lr"], last.params["train.seed"], last.params["train.epochs"]) == (0.001, 1, 2)
    assert varied(sweep) == ["train.lr", "train.seed"]
    assert list(members(["preprocess.seed=1,2"], "")) == ["preprocess.seed=1", "preprocess.seed=2"]


@pytest.mark.parametrize(
    "settings",
    [
        ["train.lr=0.1"],
        ["train.lr=0.1,0.10"],
        ["train.lr"],
        ["train.lr=[0.1"],
        ["train.model='a/b','a-b'"],
        ["train.eppochs=1,2"],
        ["lr=0.1,0.2"],
    ],
)
def test_what_makes_no_sweep_is_refused(settings: list[str]) -> None:
    with pytest.raises(UserError, match="-S: "):
        members(settings, "")


def test_a_snapshot_has_the_hashes_that_dvc_records(here: Path, run: RunCommand) -> None:
    stages = parse_lock((here / "dvc.lock").read_text())
    made = {path for stage in stages.values() for path in stage.outs}
    recorded = {path: md5 for stage in stages.values() for path, md5 in stage.deps.items() if path not in made}
    (here / "stages/digits/models/__pycache__").mkdir()
    (here / "stages/digits/models/__pycache__/a.pyc").write_text("not part of it")
    found = take_snapshot({DRAWINGS, "nothing"})
    assert {path: found.files[path] for path in recorded if path in found.files} == {
        path: md5 for path, md5 in recorded.items() if path.startswith("stages/") or path == DRAWINGS
    }
    assert found.commit == run(here, "git", "rev-parse", "HEAD").strip()
    (here / "stages/digits/models/new.py").write_text("")
    with pytest.raises(UserError, match=r"^stages/digits/models: has files that experiments do not see, got "):
        take_snapshot()
    run(here, "git", "add", "stages")
    changed = {path for path, md5 in take_snapshot().files.items() if md5 != found.files[path]}
    assert changed == {"stages/digits/models"}


def test_what_experiments_would_not_see_or_keep_is_said_first(here: Path, run: RunCommand) -> None:
    (here / ".git/info/exclude").write_text("*.png\n")
    (here / DRAWINGS / ".DS_Store").write_text("no picture")
    assert DRAWINGS in take_snapshot({DRAWINGS}).files
    draw(here / DRAWINGS, some_digits(0, 1))
    with pytest.raises(UserError, match=rf"^{DRAWINGS}: has files .*\.png; `git add -f {DRAWINGS}` shows them$"):
        take_snapshot({DRAWINGS})
    run(here, "git", "add", "-f", DRAWINGS)
    assert DRAWINGS in take_snapshot({DRAWINGS}).files
    (here / "shapes").mkdir()
    (here / "shapes/a.png").write_text("a picture")
    run(here, "dvc", "add", "shapes")  # DVC brings it into experiments, though Git does not know it
    assert "shapes" in take_snapshot({"shapes"}).files

    (here / ".git/shallow").write_text(run(here, "git", "rev-parse", "HEAD"))
    with pytest.raises(UserError, match=r"^Git: has only the last commits here, .*`git fetch --unshallow`$"):
        take_snapshot()


def test_an_experiment_of_other_code_or_pictures_is_no_member() -> None:
    code, pictures = "stages/digits/models", "/somewhere/shapes"
    run = Run("lr=0.1", {"train.lr": 0.1}, {}, {code: "c.dir", pictures: "a"}, {})
    params = {"train.lr": 0.1, "download.dataset": "folder", "download.folder.path": pictures}
    assert used_pictures(params) == {pictures}
    same, other, gone = (Snapshot("", {code: "c.dir"} | found) for found in ({pictures: "a"}, {pictures: "b"}, {}))
    assert same.difference(run, params) is None
    assert other.difference(run, params | {"download.dataset": "mnist"}) is None
    assert other.difference(run, params) == f"different pictures, got another {pictures}"
    assert gone.difference(run, params) == f"different pictures, got another {pictures}"
    assert same.difference(run, params | {"train.lr": 0.2}) == "a different train.lr, got 0.1"
    run.files[code] = "a.dir"
    assert same.difference(run, params) == f"different code, got another {code}"


@pytest.mark.long
def test_members_are_the_experiments_that_dvc_runs(
    project: Path, tmp_path: Path, run: RunCommand, warm_path: str
) -> None:
    """Those of native arithmetic and of uncommitted changes, too; one that diverges is none."""
    alone = Path(shutil.copytree(project, tmp_path / "alone"))
    for folder in (project, alone):
        edit(folder / "params.yaml", "\n  batch_size: 100\n", "\n  batch_size: 90\n")
    before = run(project, "git", "status", "--porcelain")
    command = [*SWEEP, "-S", "train.arithmetic=native", "-S", "train.lr=0.2,1e38", "--jobs", "2"]
    begin, *lines, missing, end = run(project, *command, PATH=warm_path).splitlines()
    assert begin == "0 of 2 experiments are finished"
    finished, diverged = sorted(lines)
    assert re.fullmatch(r"lr=0.2 +val acc 0\.\d{4}  \d+\.\d s", finished)
    assert re.fullmatch(r"lr=1e\+38 +loss diverged +\d+\.\d s", diverged)
    assert missing == "1 of 2 experiments are not here: their loss diverged"
    assert end.startswith("no picture: train.lr: must have two values or more in runs that are otherwise like ")
    assert run(project, "git", "status", "--porcelain") == before
    settings = "-S", "train.lr=0.2", "-S", "train.arithmetic=native"
    run(alone, "dvc", "exp", "run", "--temp", "--name", "lr=0.2", *settings)
    assert tree(project, "lr=0.2", run) == tree(alone, "lr=0.2", run)

    run(project, "git", "checkout", "params.yaml")
    output = run(project, *command, status=1)
    assert output.startswith("1 of 2 experiments are finished\n")
    assert "\nerror: lr=0.2: the experiment of that name has a different train.batch_size, got 90, unlike " in output
    assert "`dvc exp remove lr=0.2` deletes it" in output


def processes(project: Path) -> list[bytes]:
    """The command lines of what DVC and the stages run in a project."""
    arguments = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if str(project) in str((path.parent / "cwd").readlink()):
                arguments.append(path.read_bytes())
    return [text for text in arguments if b"dvc" in text or b"stages/" in text]


@pytest.mark.long
def test_an_interrupted_sweep_leaves_no_process_and_continues(
    project: Path, environment: dict[str, str], run: RunCommand, warm_path: str
) -> None:
    # Only the first training must be slow.
    command = [*SWEEP, "-S", "train.epochs=20", "-S", "train.lr=1e-4", "-S", "train.batch_size=1,1000"]
    for number in signal.SIGKILL, signal.SIGTERM:
        shutil.rmtree(project / ".checkpoints")
        with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as process:
            wait_for(lambda: list((project / ".checkpoints").glob("*.pt")))
            os.kill(process.pid, number)
            _, output = process.communicate(timeout=120)
        if number == signal.SIGKILL:
            wait_for(lambda: not processes(project))
        else:
            assert (process.returncode, processes(project)) == (130, [])
            assert output == "error: sweep: interrupted; the same command continues it\n"
    assert run(project, *command, PATH=warm_path).count(" val acc ") == 2
