"""A sweep gives the experiments that `dvc exp run` gives, and loses nothing to interruptions."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import pytest

from background import start, wait_for
from conftest import MakeProject, commit, edit
from conftest import Run as RunCommand
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import parse_lock
from experiments.grid import members, varied
from experiments.origin import DRAWINGS, Origin, origin, used_pictures
from experiments.runs import Run
from samples import draw, some_digits

SWEEP = "python", "tools/sweep.py"


@pytest.fixture(scope="module")
def prepared(copy_finished: MakeProject) -> Path:
    """A project with its data, for sweeps of different parameters."""
    return copy_finished()


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the functions of the tools work."""
    for module in ("experiments.origin", "repository"):
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


def test_an_origin_has_the_hashes_that_dvc_records(here: Path, run: RunCommand) -> None:
    stages = parse_lock((here / "dvc.lock").read_text())
    made = {path for stage in stages.values() for path in stage.outs}
    recorded = {path: md5 for stage in stages.values() for path, md5 in stage.deps.items() if path not in made}
    (here / "stages/digits/models/__pycache__").mkdir()
    (here / "stages/digits/models/__pycache__/a.pyc").write_text("not part of it")
    found = origin({DRAWINGS, "nothing"})
    assert {path: found.files[path] for path in recorded if path in found.files} == {
        path: md5 for path, md5 in recorded.items() if path.startswith("stages/") or path == DRAWINGS
    }
    assert found.commit == run(here, "git", "rev-parse", "HEAD").strip()
    (here / "stages/digits/models/new.py").write_text("")
    with pytest.raises(UserError, match=r"^stages/digits/models: has files that experiments do not see, got "):
        origin()
    run(here, "git", "add", "stages")
    changed = {path for path, md5 in origin().files.items() if md5 != found.files[path]}
    assert changed == {"stages/digits/models"}


def test_what_experiments_would_not_see_or_keep_is_said_first(here: Path, run: RunCommand) -> None:
    (here / ".git/info/exclude").write_text("*.png\n")
    (here / DRAWINGS / ".DS_Store").write_text("no picture")
    assert DRAWINGS in origin({DRAWINGS}).files
    draw(here / DRAWINGS, some_digits(0, 1))
    with pytest.raises(UserError, match=rf"^{DRAWINGS}: has files .*\.png; `git add -f {DRAWINGS}` shows them$"):
        origin({DRAWINGS})
    run(here, "git", "add", "-f", DRAWINGS)
    assert DRAWINGS in origin({DRAWINGS}).files
    (here / "shapes").mkdir()
    (here / "shapes/a.png").write_text("a picture")
    run(here, "dvc", "add", "shapes")  # DVC brings it into experiments, though Git does not know it
    assert "shapes" in origin({"shapes"}).files

    (here / ".git/shallow").write_text(run(here, "git", "rev-parse", "HEAD"))
    with pytest.raises(UserError, match=r"^Git: has only the last commits here, .*`git fetch --unshallow`$"):
        origin()


def test_an_experiment_of_other_code_or_pictures_is_no_member() -> None:
    code, pictures = "stages/digits/models", "/somewhere/shapes"
    run = Run("lr=0.1", {"train.lr": 0.1}, {}, {code: "c.dir", pictures: "a"}, {}, "")
    params = {"train.lr": 0.1, "download.dataset": "folder", "download.folder.path": pictures}
    assert used_pictures(params) == {pictures}
    same, other, gone = (Origin("", {code: "c.dir"} | found) for found in ({pictures: "a"}, {pictures: "b"}, {}))
    assert same.difference(run, params) is None
    assert other.difference(run, params | {"download.dataset": "mnist"}) is None
    assert other.difference(run, params) == f"different pictures, got another {pictures}"
    assert gone.difference(run, params) == f"different pictures, got another {pictures}"
    assert same.difference(run, params | {"train.lr": 0.2}) == "a different train.lr, got 0.1"
    run.files[code] = "a.dir"
    assert same.difference(run, params) == f"different code, got another {code}"


@pytest.mark.long
def test_members_are_the_experiments_that_dvc_runs(
    prepared: Path, tmp_path: Path, run: RunCommand, warm_path: str
) -> None:
    """Those of native arithmetic and of uncommitted changes, too."""
    alone = Path(shutil.copytree(prepared, tmp_path / "alone"))
    for project in (prepared, alone):
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(re.sub("(?m)^  batch_size: 100$", "  batch_size: 90", text))
    before = run(prepared, "git", "status", "--porcelain")
    options = ["-S", "train.lr=0.2", "-S", "train.arithmetic=portable,native"]
    lines = run(prepared, *SWEEP, *options, "--jobs", "2", PATH=warm_path).splitlines()
    assert lines[0] == "0 of 2 experiments are finished"
    assert all(re.fullmatch(r"arithmetic=\w+ +val acc 0\.\d{4}  \d+\.\d s", line) for line in lines[1:3])
    assert lines[3:] == ["no picture: its x axis needs a number that varies, other than the seed"]
    assert run(prepared, "git", "status", "--porcelain") == before
    for arithmetic in ("portable", "native"):
        name = f"arithmetic={arithmetic}"
        settings = "-S", "train.lr=0.2", "-S", f"train.arithmetic={arithmetic}"
        run(alone, "dvc", "exp", "run", "--temp", "--name", name, *settings)
        assert tree(prepared, name, run) == tree(alone, name, run)

    output = run(prepared, *SWEEP, *options)
    assert output.splitlines() == ["2 of 2 experiments are finished", lines[3]]
    run(prepared, "git", "checkout", "params.yaml")
    output = run(prepared, *SWEEP, *options, status=1)
    assert "\nerror: arithmetic=portable: the experiment of that name has a different train.batch_size" in output


@pytest.mark.long
def test_a_member_that_diverges_is_reported_and_one_that_fails_ends_the_sweep(
    prepared: Path, run: RunCommand, warm_path: str
) -> None:
    output = run(prepared, *SWEEP, "-S", "train.lr=1e38,0.3", "-S", "train.epochs=1", "--jobs", "2", PATH=warm_path)
    assert re.search(r"(?m)^lr=1e\+38 +loss diverged ", output)
    assert re.search(r"(?m)^lr=0.3 +val acc ", output)
    output = run(prepared, *SWEEP, "-S", "train.optimizer=sdg,adamm", status=1, PATH=warm_path)
    assert "error: params.yaml" in output
    assert output.splitlines()[-1].startswith("error: optimizer=sdg: the experiment failed, got the output above; ")
    assert "Traceback" not in output


@pytest.mark.long
def test_what_changes_while_experiments_run_is_noticed(
    prepared: Path, environment: dict[str, str], warm_path: str
) -> None:
    command = [*SWEEP, "-S", "train.lr=0.11,0.12,0.13", "-S", "train.epochs=1"]
    with start(prepared, environment | {"PATH": warm_path}, command) as process:
        lines = iter(cast(IO[str], process.stdout))
        assert any(" val acc " in line for line in lines)
        edit(prepared / "params.yaml", "label_smoothing: 0.0", "label_smoothing: 0.1")
        output = "".join(lines)
        assert process.wait(60) == 1
    edit(prepared / "params.yaml", "label_smoothing: 0.1", "label_smoothing: 0.0")
    (name,) = re.findall(
        "error: (.*): the experiment of that name has a different train.label_smoothing, got 0.1, unlike ", output
    )
    assert "Traceback" not in output
    assert f"`dvc exp remove {name}`" in output


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
    for number in signal.SIGKILL, signal.SIGTERM, signal.SIGINT:
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


@pytest.mark.long
def test_a_sweep_belongs_to_a_commit(project: Path, run: RunCommand, warm_path: str) -> None:
    alone = [*SWEEP, "-S", "train.lr=0.3,0.4", "-S", "train.epochs=1"]
    shared = [*alone, "--storage", "sqlite:///study.tmp"]
    output = run(project, *shared, PATH=warm_path)
    assert "\nsweep.png: 2 runs; left out because they differ in other ways: 0\n" in output
    run(project, "dvc", "exp", "remove", "lr=0.4")
    assert "\n1 of 2 experiments are not here: their loss diverged, or other machines have " in run(project, *shared)
    first = run(project, "git", "rev-parse", "HEAD").strip()
    (project / "README.md").write_text("Another project.")
    commit(project, run)
    second = run(project, "git", "rev-parse", "HEAD").strip()
    output = run(project, *shared, status=1)
    assert f"other settings, got\n  commit: {first} there, {second} here\nMake them equal to take part, " in output
    run(project, "git", "checkout", "--quiet", first)
    edit(project / "stages/evaluate.py", "def main()", "# changed\ndef main()")
    assert "has different code, got another stages/evaluate.py, unlike what this command began with; `--name`" in run(
        project, *alone, status=1
    )
