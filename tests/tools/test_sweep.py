"""A sweep gives the experiments that `dvc exp run` gives, loses nothing to interruptions, and is drawn."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import psutil  # which DVC brings and constraints.txt pins
import pytest
from PIL import Image

import sweep
from background import wait_for
from conftest import ROOT, Call, MakeProject, edit
from conftest import Run as RunCommand
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import parse_lock
from experiments.figures import comparable, draw_runs, draw_sweep
from experiments.proposals import members, varied
from experiments.revisions import Files, read_files
from experiments.runs import RESULTS, Run, run_of
from experiments.snapshot import DRAWINGS, Snapshot, take_snapshot, used_pictures
from samples import draw, some_digits

SWEEP = "python", "tools/sweep.py"
# As a user may add them.
OTHER_STAGES = "  list: {cmd: ls}\n  each: {foreach: [a, b], do: {cmd: 'echo ${item}', deps: [params.yaml]}}\n"
# Two at once, as a sweep runs them, of which each takes a minute.
SLEEPS = """
import sys
sys.path.insert(0, "tools")
from command import ROOT
from experiments.processes import Runner
runner = Runner()
command = "sh", "-c", "echo begun; sleep 60"
runner.run_threads(2, lambda: runner.run(command, ROOT, watch=lambda line: print(end=line)))
"""


def test_every_combination_is_a_member_with_a_name() -> None:
    sweep = members(["train.lr=0.1,1e-3", "train.seed=range(0,2)", "train.epochs=2"], prefix="a-")
    assert list(sweep) == ["a-lr=0.1,seed=0", "a-lr=0.1,seed=1", "a-lr=0.001,seed=0", "a-lr=0.001,seed=1"]
    last = sweep["a-lr=0.001,seed=1"]
    assert last.settings == ["train.lr=0.001", "train.seed=1", "train.epochs=2"]
    assert (last.params["train.lr"], last.params["train.seed"], last.params["train.epochs"]) == (0.001, 1, 2)
    assert varied(sweep) == ["train.lr", "train.seed"]
    assert list(members(["preprocess.seed=1,2"], "")) == ["preprocess.seed=1", "preprocess.seed=2"]


def test_what_makes_no_sweep_is_refused() -> None:
    wrong = "train.lr=0.1 train.lr=0.1,0.10 train.lr train.lr=[0.1 train.model='a/b','a-b' train.eppochs=1,2 lr=0.1,0.2"
    for setting in wrong.split():
        with pytest.raises(UserError, match="-S: "):
            members([setting], "")


def test_a_snapshot_has_what_experiments_see(project: Path, run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("experiments.snapshot", "repository"):
        monkeypatch.setattr(f"{module}.ROOT", project)
    stages = parse_lock((project / "dvc.lock").read_text(), "here")
    made = {path for stage in stages.values() for path in stage.outs}
    recorded = {path: md5 for stage in stages.values() for path, md5 in stage.deps.items() if path not in made}
    (project / "stages/digits/models/__pycache__").mkdir()
    (project / "stages/digits/models/__pycache__/a.pyc").write_text("not part of it")
    found = take_snapshot({DRAWINGS, "nothing"})
    assert {path: found.files[path] for path in recorded if path in found.files} == {
        path: md5 for path, md5 in recorded.items() if path.startswith("stages/") or path == DRAWINGS
    }
    assert found.commit == run(project, "git", "rev-parse", "HEAD").strip()
    (project / "stages/digits/models/new.py").write_text("")
    with pytest.raises(UserError, match=r"^stages/digits/models: experiments would lack stages/digits/models/new.py; "):
        take_snapshot()
    run(project, "git", "add", "stages")
    changed = {path for path, md5 in take_snapshot().files.items() if md5 != found.files[path]}
    assert changed == {"stages/digits/models"}

    (project / ".git/info/exclude").write_text("*.png\n")
    (project / DRAWINGS / ".DS_Store").write_text("no picture")
    assert DRAWINGS in take_snapshot({DRAWINGS}).files
    draw(project / DRAWINGS, some_digits(0, 1))
    with pytest.raises(UserError, match=rf"^{DRAWINGS}: experiments would lack .*\.png; `git add -f {DRAWINGS}`, or"):
        take_snapshot({DRAWINGS})
    run(project, "git", "add", "-f", DRAWINGS)
    assert DRAWINGS in take_snapshot({DRAWINGS}).files
    (project / "shapes").mkdir()
    (project / "shapes/a.png").write_text("a picture")
    run(project, "dvc", "add", "shapes")  # DVC brings it into experiments, though Git does not know it
    assert "shapes" in take_snapshot({"shapes"}).files

    edit(project / "dvc.yaml", "  download:\n", OTHER_STAGES + "  download:\n")
    assert take_snapshot({"shapes"}).files.keys() == {*found.files, "shapes"} - {DRAWINGS}

    monkeypatch.setattr("experiments.snapshot.ROOT", Path("/home/ö/digits"))
    with pytest.raises(UserError, match=r"^/home/ö/digits: DVC runs no `--temp` in a folder of such a name, "):
        take_snapshot()
    monkeypatch.setattr("experiments.snapshot.ROOT", project)
    wiring = (project / "dvc.yaml").read_text()
    for wrong in wiring + "stages:", wiring.replace("    deps:", "    dep:", 1):
        (project / "dvc.yaml").write_text(wrong)
        with pytest.raises(UserError, match=r"^dvc.yaml: cannot be used, got .*; `dvc status` says what is wrong$"):
            take_snapshot()
    (project / "dvc.yaml").write_text(wiring)

    (project / ".git/shallow").write_text(run(project, "git", "rev-parse", "HEAD"))
    with pytest.raises(UserError, match=r"^Git: has only the last commits here, .*`git fetch --unshallow`$"):
        take_snapshot()


def test_an_experiment_of_other_code_or_pictures_is_no_member() -> None:
    code, pictures = "stages/digits/models", "/somewhere/shapes"
    run = Run("lr=0.1", {"train.lr": 0.1}, {}, {code: "c.dir", pictures: "a"}, {})
    params = {"train.lr": 0.1, "download.dataset": "folder", "download.folder.path": pictures}
    assert used_pictures(params) == {pictures}
    same, other, gone = (Snapshot("", {code: "c.dir"} | found) for found in ({pictures: "a"}, {pictures: "b"}, {}))
    run.params["x"] = 3  # of another file than params.yaml
    assert same.difference(run, params) is None
    assert other.difference(run, params | {"download.dataset": "mnist"}) is None
    assert other.difference(run, params) == f"different pictures, got another {pictures}"
    assert gone.difference(run, params) == f"different pictures, got another {pictures}"
    assert same.difference(run, params | {"train.lr": 0.2}) == "a different train.lr, got 0.1"
    run.files[code] = "a.dir"
    assert same.difference(run, params) == f"different code, got another {code}"


@pytest.mark.long
def test_members_are_those_that_dvc_runs(project: Path, tmp_path: Path, run: RunCommand) -> None:
    """Those of native arithmetic and of uncommitted changes, too; one that diverges is none."""
    alone = Path(shutil.copytree(project, tmp_path / "alone"))
    for folder in (project, alone):
        edit(folder / "params.yaml", "\n  batch_size: 100\n", "\n  batch_size: 90\n")
    before = run(project, "git", "status", "--porcelain")
    command = [*SWEEP, "-S", "train.arithmetic=native", "-S", "train.lr=0.2,1e38", "--jobs", "2"]
    begin, *lines, missing, end = run(project, *command).splitlines()
    assert begin == "0 of 2 experiments are finished"
    finished, diverged = sorted(lines)
    assert re.fullmatch(r"lr=0.2 +val acc 0\.\d{4}  \d+\.\d s", finished)
    assert re.fullmatch(r"lr=1e\+38 +loss diverged +\d+\.\d s", diverged)
    assert missing == "1 of 2 experiments are not here: their loss diverged"
    assert end.startswith("no picture: train.lr: must have two values or more in runs on the same images that ")
    assert run(project, "git", "status", "--porcelain") == before
    settings = "-S", "train.lr=0.2", "-S", "train.arithmetic=native"
    run(alone, "dvc", "exp", "run", "--temp", "--name", "lr=0.2", *settings)
    # All files, with their contents' hashes.
    commits = "git", "for-each-ref", "--format=%(objectname)", "refs/exps/??/*/lr=0.2"
    found, expected = (run(each, "git", "ls-tree", "-r", run(each, *commits).strip()) for each in (project, alone))
    assert found == expected

    run(project, "git", "checkout", "params.yaml")
    output = run(project, *command, status=1)
    assert output.startswith("1 of 2 experiments are finished\n")
    assert "\nerror: lr=0.2: the experiment of that name has a different train.batch_size, got 90, unlike " in output
    assert "`dvc exp remove lr=0.2` deletes it" in output


def processes(project: Path) -> list[psutil.Process]:
    """What DVC and the stages run in a project."""
    found = [each for each in psutil.process_iter(["cwd", "cmdline"]) if str(project) in str(each.info["cwd"])]
    return [each for each in found if re.search("dvc|stages/", " ".join(each.info["cmdline"] or []))]


@pytest.mark.long
def test_an_interrupted_sweep_leaves_no_process_and_continues(
    project: Path, environment: dict[str, str], run: RunCommand
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
    assert run(project, *command).count(" val acc ") == 2


@pytest.mark.long
def test_experiments_are_drawn_and_listed(copy_with_experiments: MakeProject, run: RunCommand, call: Call) -> None:
    project = copy_with_experiments()
    drawn, _ = call(sweep, project, "--picture", "lr.png")
    assert drawn == "lr.png: 5 runs; left out because they differ in other ways: 1\n"
    with Image.open(project / "lr.png") as image:
        assert image.size == (800, 450)
    for arguments, problem in [
        (["nothing"], "error: revision: must be a commit, an experiment or workspace, got nothing"),
        (["--x", "train.model"], "error: train.model: must be a numeric parameter"),
        (["--by", "train.lr"], "error: train.lr: must be a numeric parameter other than --by"),
        (["--x", "train.rate"], "error: train.rate: must be a parameter, got none of that name in HEAD"),
        (["HEAD", "seed-1"], "error: train.lr: must have two values or more in runs on the same images that"),
        (["--picture", "README.md/a.png"], "error: README.md/a.png: cannot be "),
    ]:
        assert problem in call(sweep, project, *arguments, status=1)[1]

    def lines(arguments: str) -> list[str]:
        listed = run(project, "make", "--dry-run", "--always-make", "experiments", f"ARGS={arguments}")
        command = listed[listed.index("dvc exp show") :].replace("\\\n", "")  # without what make prepares
        return run(project, "sh", "-c", command, COLUMNS="80").splitlines()

    header, _, *rows = lines("")
    params = ["preprocess.seed", "train.lr", "train.seed"]
    assert header.replace("|", "").split() == ["Experiment", "val_accuracy", "accuracy", *params]
    accuracies = [float(match[1]) for row in rows if (match := re.search(r"\] +\| ([01][.]\d+)", row))]
    assert len(accuracies) == 5
    assert accuracies == sorted(accuracies, reverse=True)
    assert lines("--rev HEAD~1")[-1].startswith("no experiments of this commit: `dvc exp run` runs one; ")


def test_a_sweep_in_the_background_outlives_its_terminal_and_can_be_ended(environment: dict[str, str]) -> None:
    """A shell starts it without Ctrl-C, and nohup without SIGHUP."""
    command = "sh", "-c", f"trap '' INT HUP; exec python -uc '{SLEEPS}'"
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.terminate()
        assert process.wait(20) == 130


def made_up(name: str, seed: int, accuracy: float, **params: object) -> Run:
    given = {"train.lr": 0.1, "train.optimizer": "sgd", "train.seed": seed, "preprocess.val_size": 1000} | params
    return Run(name, given, {"code": "a"}, {}, {"val_accuracy": accuracy, "accuracy": accuracy})


def test_damaged_results_are_named() -> None:
    files = read_files(["HEAD"], RESULTS)["HEAD"]
    assert run_of(files).params["train.epochs"] > 0
    for path, text, message in [
        ("dvc.lock", "<<<<<<< HEAD\nstages:", "HEAD: dvc.lock is damaged"),
        ("dvc.lock", "[]", "HEAD: dvc.lock is damaged"),
        ("dvc.lock", "schema: '2.0'\nstages: {}", "dvc.lock: has no stage train in HEAD"),
        ("metrics/train.json", "{", "HEAD: metrics/train.json is damaged"),
        ("metrics/train.json", "[1]", "HEAD: metrics/train.json is damaged"),
        ("metrics/test.json", None, "metrics/test.json: is missing in HEAD"),
    ]:
        with pytest.raises(UserError, match=f"^{message}"):
            run_of(Files("HEAD", None, {**files.texts, path: text}))


def test_what_sets_runs_apart() -> None:
    base, other = made_up("HEAD", 0, 0.9), made_up("x", 1, 0.8, **{"train.lr": 0.2})
    without = [made_up("v", seed, 0.9, **{"train.lr": 0.3}) for seed in (0, 1)]
    for run in without:
        del run.metrics["val_accuracy"]
    table = comparable([base, other, made_up("w", 0, 0.9, **{"train.model": "cnn"})], "train.lr", "train.optimizer")
    assert list(table["train.lr"]) == [0.1, 0.2]

    other.inputs["data/tensors/train.safetensors"] = "b"
    for runs, problem in [
        (
            [base, other],
            r"^train.lr: must have two values or more in runs on the same images that .* got one; ",
        ),
        (without, "^preprocess.val_size: must be above 0, got runs without validation images$"),
    ]:
        with pytest.raises(UserError, match=problem):
            draw_runs(runs, "train.lr", "train.optimizer", Path("never.png"))
    figure = draw_sweep(table, "train.lr", "train.optimizer")
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0.1", "0.2"]
    dots, mean = figure.axes[0].lines
    assert (dots.get_marker(), mean.get_linestyle()) == (".", "-")
    for line in (dots, mean):
        assert np.asarray(line.get_ydata()) == pytest.approx([10, 20])
