"""Results computed in one clone arrive in another, through a remote of DVC's and a bare Git repository."""

from pathlib import Path

import pytest

from conftest import Run, commit
from pipeline_runs import results, stages_run


@pytest.fixture
def hub(project: Path, tmp_path: Path, run: Run) -> Path:
    """The repository of the team, to which `project` pushes."""
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(project), "hub.git")
    run(project, "git", "remote", "add", "origin", str(tmp_path / "hub.git"))
    return tmp_path / "hub.git"


@pytest.fixture
def other(hub: Path, project: Path, tmp_path: Path, run: Run) -> Path:
    """The clone of another user, with no cache of their own, after `project` has pushed its results to a remote."""
    run(project, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    assert run(project, "git", "status", "--porcelain") == " M .dvc/config\n"
    commit(project, run)
    run(project, "git", "push", "--quiet", "origin", "HEAD")
    assert "files pushed" in run(project, "dvc", "push")
    run(tmp_path, "git", "clone", "--quiet", str(hub), "other")
    return tmp_path / "other"


def test_what_was_pushed_is_pulled_and_nothing_runs(project: Path, other: Path, run: Run) -> None:
    run(other, "dvc", "pull")
    assert results(other) == results(project)
    assert stages_run(run(other, "dvc", "repro")) == []
    assert run(other, "git", "status", "--porcelain") == ""


@pytest.mark.long
def test_an_experiment_and_a_version_of_the_model_are_handed_on(
    hub: Path, project: Path, other: Path, run: Run
) -> None:
    model = (project / "models/model.onnx").read_bytes()
    run(project, "gto", "register", "digits")
    run(project, "git", "push", "--quiet", "origin", "digits@v0.0.1")

    (project / "note.txt").write_text("a commit that nobody else has yet")
    commit(project, run)
    run(project, "dvc", "exp", "run", "--name", "faster", "-S", "train.lr=0.2")
    run(project, "dvc", "exp", "push", "origin", "faster")
    # Its commit comes along, but an experiment is listed under the commit that it started from.
    assert "faster" not in run(other, "dvc", "exp", "list", "origin")
    assert "faster" in run(other, "dvc", "exp", "list", "--all-commits", "origin")
    run(project, "git", "push", "--quiet", "origin", "HEAD")
    run(other, "git", "pull", "--quiet")
    assert "faster" in run(other, "dvc", "exp", "list", "origin")

    run(other, "dvc", "exp", "pull", "origin", "faster")
    run(other, "dvc", "exp", "apply", "faster")
    assert results(other) == results(project)
    assert stages_run(run(other, "dvc", "repro")) == []
    assert run(other, "git", "diff", "HEAD") == run(project, "git", "diff", "HEAD")

    # Later results are not those of the version.
    assert (project / "models/model.onnx").read_bytes() != model
    run(other.parent, "dvc", "artifacts", "get", str(hub), "digits", "--out", "got.onnx")
    assert (other.parent / "got.onnx").read_bytes() == model


@pytest.mark.long
def test_an_experiment_without_a_remote_comes_without_its_model(hub: Path, project: Path, run: Run) -> None:
    run(project.parent, "git", "clone", "--quiet", str(hub), "other")
    run(project, "dvc", "exp", "save", "--name", "saved")
    # No word of the missing remote.
    assert "Pushed experiment saved" in run(project, "dvc", "exp", "push", "origin", "saved")
    run(project.parent / "other", "dvc", "exp", "pull", "origin", "saved")
    output = run(project.parent / "other", "dvc", "exp", "apply", "saved", status=255)
    assert "models/model.safetensors" in output
