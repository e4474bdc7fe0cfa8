"""tools/reproduce.py: a pipeline gives the same bytes twice, and one that does not is found out."""

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

import reproduce
from background import start, wait_for
from conftest import ROOT, Call, MakeProject, Run, commit, edit
from digits.foundation.stage import UserError
from samples import draw_shapes

REPRODUCE = ("python", "tools/reproduce.py")


@pytest.fixture(scope="module")
def project(make_project: MakeProject) -> Path:
    return make_project()


@pytest.mark.long
def test_the_pipeline_as_committed(project: Path, tmp_path: Path, run: Run) -> None:
    (project / "note.txt").write_text("not for Git")
    output = run(project, *REPRODUCE, status=1, TMPDIR=str(tmp_path))
    (project / "note.txt").unlink()
    assert ", from scratch: dvc repro\n" in output
    assert "uncommitted changes are left out" in output
    assert re.search(r"the same bytes in \d+ outputs of 5 stages\n", output)
    # The lock file is MNIST's, the parameters are those of the tests.
    assert "error: reproduce: this machine does not give the committed dvc.lock, got differences in\n  down" in output
    assert list(tmp_path.iterdir()) == []
    assert not (project / "data/raw").exists()


@pytest.mark.long
def test_what_depends_on_time_is_named(make_project: MakeProject, tmp_path: Path, run: Run) -> None:
    project = make_project()
    save, now = "about.model_dump()", 'about.model_dump() | {"now": str(__import__("os").times())}'
    edit(project / "stages/digits/data/raw.py", save, now)
    (project / "dvc.lock").unlink()
    commit(project, run)
    command = *REPRODUCE, "--python", sys.executable, "download", "--name", "now", "-S", "train.model=cnn"
    output = run(project, *command, status=1, TMPDIR=str(tmp_path))
    assert ", from scratch: dvc exp run download --name now -S train.model=cnn\n" in output
    assert f"error: reproduce: {sys.executable} gives other bytes, got differences in\n  download: data/raw\n" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_data_added_to_dvc_in_a_larger_repository(make_project: MakeProject, tmp_path: Path, run: Run) -> None:
    project, larger = make_project(), tmp_path / "larger"
    shutil.rmtree(project / ".git")
    larger.mkdir()
    project = project.rename(larger / "project")
    run(larger, "git", "init", "--quiet")
    draw_shapes(project / "data/shapes", 5)
    run(project, "dvc", "add", "data/shapes")
    edit(project / "params.yaml", "dataset: optdigits", "dataset: folder")
    edit(project / "params.yaml", "path: data/pictures", "path: data/shapes")
    commit(project, run)
    draw_shapes(project / "data/für later", 1)
    run(project, "dvc", "add", "data/für later")  # belongs to no commit
    command = (*REPRODUCE, "download")
    assert "the same bytes in 1 outputs of 1 stages\n" in run(project, *command, TMPDIR=str(tmp_path))
    shutil.rmtree(project / ".dvc/cache/files")
    output = run(project, *command, status=1, TMPDIR=str(tmp_path))
    assert "error: reproduce: data/shapes.dvc: cannot be read from DVC's cache, got\n" in output


def test_a_run_that_fails_is_shown(project: Path, tmp_path: Path, run: Run) -> None:
    command = (*REPRODUCE, "download", "-S", "download.dataset=mnist", "-S", "download.mirrors.mnist=[]")
    output = run(project, *command, status=1, MNIST_MIRROR="no/mirror", TMPDIR=str(tmp_path))
    assert f"{project}/no/mirror/t10k-labels-idx1-ubyte.gz: No such file" in output
    assert "error: reproduce: `dvc exp run download" in output
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_is_given_takes_the_place_of_our_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="`python c` left no results, got status 0"):
        reproduce.run_once(tmp_path, ["python", "c"], "another", ["echo", "a b"])
    assert capsys.readouterr().err == "a b c\n\n"


def test_a_processor_that_cannot_be_emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call(reproduce, ROOT, "--cpu", "Z80", status=1)[1] == (
        "error: --cpu: qemu-x86_64 not found; install it, on Debian and Ubuntu with `apt install qemu-user`\n"
    )
    (tmp_path / "qemu-x86_64").symlink_to("/bin/false")
    _, said = call(reproduce, ROOT, "--cpu", "Z80", status=1)
    assert said == "error: --cpu: must be a processor that can be emulated, got Z80; see `qemu-x86_64 -cpu help`\n"


@pytest.mark.long
def test_an_interrupted_run_leaves_nothing(project: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """Neither by SIGTERM, which takes the way of Ctrl-C."""
    with start(project, environment | {"TMPDIR": str(tmp_path)}, REPRODUCE) as process:
        wait_for(lambda: list(tmp_path.glob("reproduce-*/run-1/data/raw/dataset.json")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=8) == 130  # rather than at the end of the run
    assert list(tmp_path.iterdir()) == []
