"""A sweep gives the experiments that `dvc exp run` gives, and loses nothing to interruptions."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from conftest import ROOT, MakeProject, commit, draw, edit, some_digits
from conftest import Run as RunCommand
from experiments.origin import origin
from experiments.pictures import DRAWINGS, md5_of_pictures
from experiments.runs import Run
from experiments.sweep.members import members, varied
from foundation.repository import md5_of_file

import pytest
import yaml

SWEEP = "python", "tools/sweep.py"
SEARCH = "python", "tools/search.py", "--trials", "1"


@pytest.fixture(scope="module")
def prepared(copy_finished: MakeProject) -> Path:
    """A project with its data, for sweeps of different parameters."""
    return copy_finished()


def tree(project: Path, name: str, run: RunCommand) -> str:
    """All files of an experiment, with their contents' hashes."""
    (commit,) = run(project, "git", "for-each-ref", "--format=%(objectname)", f"refs/exps/??/*/{name}").split()
    return run(project, "git", "ls-tree", "-r", commit)


def test_every_combination_is_a_member_with_a_name() -> None:
    sweep = members(["train.lr=0.1,1e-3", "train.seed=range(0,2)", "train.epochs=2"], prefix="a-")
    assert [member.name for member in sweep] == [
        "a-lr=0.1,seed=0",
        "a-lr=0.1,seed=1",
        "a-lr=0.001,seed=0",
        "a-lr=0.001,seed=1",
    ]
    assert sweep[3].settings == ["train.lr=0.001", "train.seed=1", "train.epochs=2"]
    assert varied(sweep) == ["train.lr", "train.seed"]
    assert [member.name for member in members(["preprocess.seed=1,2"], "")] == [
        "preprocess.seed=1",
        "preprocess.seed=2",
    ]


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
    with pytest.raises(SystemExit, match="error: -S: "):
        members(settings, "")


STAND_IN = """
import subprocess, sys
sys.path.insert(0, "tools")
from experiments.launch.experiment import warm_start

def ask(*command):
    print(subprocess.run(command, text=True, capture_output=True, input="given"))

with warm_start():
    ask("python", "shown.py", "a b", "c")
    ask("python", "-u", "shown.py")
    ask("python", "-c", "import sys; sys.exit('why')")
    ask("dvc", "--no-such-option")
    ask("python", "killed.py")
"""
SHOWN = """
import os, sys
print("torch" in sys.modules, os.environ.get("MKL_CBWR"), os.environ.get("MKL_VERBOSE"), sys.argv, os.read(0, 5))
sys.exit(7)
"""


def test_a_stand_in_does_what_python_does(project: Path, run: RunCommand) -> None:
    (project / "stand_in.py").write_text(STAND_IN)
    (project / "shown.py").write_text(SHOWN)
    (project / "killed.py").write_text("import os; os.kill(os.getpid(), 9)")
    warm, *others = run(project, "python", "stand_in.py", MKL_VERBOSE="0").splitlines()
    assert "returncode=7" in warm
    assert "True COMPATIBLE None ['shown.py', 'a b', 'c'] b'given'" in warm
    assert "returncode=7" in others[0]
    assert "False None 0 ['shown.py'] b'given'" in others[0]
    assert "returncode=1" in others[1]
    assert r"stderr='why\n'" in others[1]
    assert "returncode=254" in others[2]
    assert "returncode=137" in others[3]


@pytest.mark.long
def test_members_are_the_experiments_that_dvc_runs(prepared: Path, tmp_path: Path, run: RunCommand) -> None:
    """Those of native arithmetic, which starts cold, and of uncommitted changes, too."""
    alone = Path(shutil.copytree(prepared, tmp_path / "alone"))
    for project in (prepared, alone):
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(re.sub("(?m)^  batch_size: 100$", "  batch_size: 90", text))
    before = run(prepared, "git", "status", "--porcelain")
    options = ["-S", "train.lr=0.2", "-S", "train.arithmetic=portable,native"]
    output = run(prepared, *SWEEP, *options, "--jobs", "2")
    lines = output.splitlines()
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
    assert output.startswith("error: arithmetic=portable: the experiment of that name has a different train.batch_size")


@pytest.mark.long
def test_a_member_that_diverges_is_reported_and_one_that_fails_ends_the_sweep(prepared: Path, run: RunCommand) -> None:
    output = run(prepared, *SWEEP, "-S", "train.lr=1e38,0.3", "-S", "train.epochs=1")
    assert re.search(r"(?m)^lr=1e\+38 +loss diverged ", output)
    assert re.search(r"(?m)^lr=0.3 +val acc ", output)
    output = run(prepared, *SWEEP, "-S", "train.optimizer=sdg,adamm", status=1)
    assert "error: params.yaml" in output
    assert output.splitlines()[-1].startswith("error: optimizer=sdg: the experiment failed, got the output above; ")
    assert "Traceback" not in output


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        [*SWEEP, "-S", "train.lr=0.11,0.12,0.13"],
        [*SEARCH[:2], "--trials", "3"],
    ],
    ids=["sweep", "search"],
)
def test_what_changes_while_experiments_run_is_noticed(
    project: Path, environment: dict[str, str], command: list[str]
) -> None:
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = iter(cast(IO[str], process.stdout))
        assert any(" val acc " in line for line in lines)
        edit(project / "params.yaml", "label_smoothing: 0.0", "label_smoothing: 0.1")
        output = "".join(lines)
        assert process.wait(60) == 1
    (name,) = re.findall(
        "error: (.*): has a different train.label_smoothing, got 0.1, since something changed while this ", output
    )
    assert "Traceback" not in output
    assert f"`dvc exp remove {name}`" in output


def processes(project: Path) -> list[bytes]:
    """The command lines of a sweep's server and its forks, and of their clients."""
    pieces = str(project / "tools/experiments/launch").encode(), b"stages/train.py"
    arguments = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if str(project) in str((path.parent / "cwd").readlink()):
                arguments.append(path.read_bytes())
    return [text for text in arguments if any(piece in text for piece in pieces)]


def checkpoints(project: Path) -> set[Path]:
    return set((project / ".checkpoints").glob("*.pt"))


def slow_sweep(arithmetic: str, *values: str) -> list[str]:
    """A command whose trainings take some seconds if batches have one image, in which a process can be killed."""
    options = "train.epochs=10", f"train.arithmetic={arithmetic}", *values
    return [*SWEEP, *(part for option in options for part in ("-S", option))]


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "arithmetic"),
    [
        (signal.SIGINT, "portable"),
        (signal.SIGINT, "native"),
        (signal.SIGTERM, "portable"),
        (signal.SIGKILL, "portable"),
    ],
)
def test_an_interrupted_sweep_leaves_no_process_and_continues(
    project: Path, environment: dict[str, str], run: RunCommand, number: signal.Signals, arithmetic: str
) -> None:
    # Only the first training has to be slow.
    command = slow_sweep(arithmetic, "train.lr=1e-4", "train.batch_size=1,1000")
    before = checkpoints(project)
    with subprocess.Popen(command, cwd=project, env=environment, start_new_session=True) as process:
        wait_for(lambda: checkpoints(project) - before, 300)
        os.killpg(process.pid, number)
        assert process.wait(60) == (130 if number == signal.SIGINT else -number)
    wait_for(lambda: not processes(project), 60)
    output = run(project, *command)
    assert output.count(" val acc ") == 2


@pytest.mark.long
@pytest.mark.parametrize("storage", [[], ["--storage", "sqlite:///study.tmp"]], ids=["alone", "shared"])
def test_a_sweep_whose_server_is_killed_says_so_and_continues(
    project: Path, environment: dict[str, str], run: RunCommand, storage: list[str]
) -> None:
    slow = slow_sweep("portable", "train.lr=1e-4,2e-4", "train.batch_size=1")
    command, before = [*slow, "--jobs", "2", *storage], checkpoints(project)
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_for(lambda: checkpoints(project) - before, 300)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (server,) = (int(pid) for pid in children if b"server.py" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(server, signal.SIGKILL)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "error: server.py: has ended before what it ran; run the same command again\n" in output
    assert output.endswith(
        ": the experiment failed, got the output above; without the cause, the same command continues\n"
    )
    assert "Traceback" not in output
    assert not processes(project)

    output = run(project, *command)
    assert output.count(" val acc ") == 2
    assert sorted(run(project, "dvc", "exp", "list", "--name-only").split()) == ["lr=0.0001", "lr=0.0002"]
    assert run(project, *command).startswith("2 of 2 experiments are finished\n")


def test_a_server_that_ends_before_it_reads_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        command = [sys.executable, str(ROOT / "tools/experiments/launch/client.py"), str(tmp_path / "socket"), "x.py"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as client:
            connection, _ = server.accept()
            connection.recv(1, socket.MSG_PEEK)  # so that something is left unread
            connection.close()
            _, output = client.communicate(timeout=60)
    assert output == "error: server.py: has ended before what it ran; run the same command again\n"
    assert client.returncode == 1


@pytest.mark.long
def test_a_sweep_belongs_to_a_commit(project: Path, run: RunCommand) -> None:
    alone = [*SWEEP, "-S", "train.lr=0.3,0.4"]
    shared = [*alone, "--storage", "sqlite:///study.tmp"]
    assert "\nsweep.png: 2 runs; left out because they differ in other ways: 0\n" in run(project, *shared)
    run(project, "dvc", "exp", "remove", "lr=0.4")
    assert "\n1 of 2 experiments are not here: their loss diverged, or other machines have " in run(project, *shared)
    first = run(project, "git", "rev-parse", "HEAD").strip()
    (project / "README.md").write_text("Another project.")
    commit(project, run)
    second = run(project, "git", "rev-parse", "HEAD").strip()
    output = run(project, *shared, status=1)
    assert f"other settings, got\n  commit: {first} there, {second} here\nMake them equal to take part, " in output
    assert run(project, *alone).startswith("0 of 2 experiments are finished\n")
    run(project, "git", "checkout", "--quiet", first)
    assert run(project, *alone).startswith("1 of 2 experiments are finished\n")

    (project / "stages/evaluate.py").write_text((project / "stages/evaluate.py").read_text() + "# changed")
    assert "has different code, got another stages/evaluate.py; `--name`" in run(project, *alone, status=1)


@pytest.mark.long
def test_a_sweep_and_a_search_are_of_the_same_pictures(project: Path, run: RunCommand) -> None:
    sweep = [*SWEEP, "-S", "preprocess.drawings=2", "-S", "train.lr=0.3,0.4"]
    draw(project / "data/drawings", some_digits(0, 20))
    assert "error: data/drawings: has pictures that experiments do not see; `git add" in run(project, *sweep, status=1)
    run(project, *SEARCH)  # trains on none
    run(project, "git", "add", "data/drawings")
    run(project, *sweep)
    assert run(project, *sweep).startswith("2 of 2 experiments are finished\n")
    edit(project / "params.yaml", "  drawings: 0", "  drawings: 2")
    run(project, *SEARCH, "--name", "taught")

    draw(project / "data/drawings", some_digits(20, 30))
    run(project, "git", "add", "data/drawings")
    assert "has different pictures, got another data/drawings; `--name`" in run(project, *sweep, status=1)
    assert "\n  data/drawings: " in run(project, *SEARCH, "--name", "taught", status=1)


def test_an_experiment_of_other_code_or_pictures_is_no_member() -> None:
    code, pictures = "stages/train.py", "/somewhere/shapes"
    run = Run("lr=0.1", {"train.lr": 0.1}, {}, {code: md5_of_file(ROOT / code), pictures: "a"}, {}, "")
    same, other, gone = (origin(found) for found in ({pictures: "a"}, {pictures: "b"}, {}))
    params = {"train.lr": 0.1, "download.dataset": "folder", "download.folder.path": pictures}
    assert same.difference(run, params) is None
    assert other.difference(run, params | {"download.dataset": "mnist"}) is None
    assert (
        other.difference(run, params) == f"different pictures, got another {pictures}" == gone.difference(run, params)
    )
    assert same.difference(run, params | {"train.lr": 0.2}) == "a different train.lr, got 0.1"
    run.files[code] = "a"
    assert same.difference(run, params) == f"different code, got another {code}"


def test_pictures_have_the_hash_that_dvc_records(finished: Path, tmp_path: Path) -> None:
    stages = yaml.safe_load((finished / "dvc.lock").read_text())["stages"]
    recorded = {dep["path"]: dep["md5"] for dep in stages["preprocess"]["deps"]}
    assert md5_of_pictures({DRAWINGS}) == {DRAWINGS: recorded[DRAWINGS]}
    assert md5_of_pictures({str(tmp_path), str(tmp_path / "nothing")}).keys() == {str(tmp_path)}
    before = md5_of_pictures({str(tmp_path)})
    (tmp_path / "a.png").write_bytes(b"a")
    assert md5_of_pictures({str(tmp_path)}) != before
