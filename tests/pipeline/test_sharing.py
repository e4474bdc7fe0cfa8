"""Results computed in one clone arrive in another, through a remote of DVC's and a bare Git repository."""

from collections.abc import Callable
from pathlib import Path

from conftest import Run, commit
from pipeline_runs import results, stages_run

import pytest

Clone = Callable[[str], Path]


@pytest.fixture
def clone(project: Path, tmp_path: Path, run: Run) -> Clone:
    """Clone, by another user with no cache of their own, what `project` has pushed to the repository of the team."""
    hub = tmp_path / "hub.git"
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(project), str(hub))
    run(project, "git", "remote", "add", "origin", str(hub))

    def make(name: str) -> Path:
        run(tmp_path, "git", "clone", "--quiet", str(hub), name)
        return tmp_path / name

    return make


@pytest.fixture
def storage(project: Path, clone: Clone, tmp_path: Path, run: Run) -> Path:
    """Add a remote as docs/share-results.md says, and push the results to it."""
    folder = tmp_path / "storage"
    run(project, "dvc", "remote", "add", "--default", "storage", str(folder))
    assert run(project, "git", "status", "--porcelain") == " M .dvc/config\n"
    commit(project, run)
    run(project, "git", "push", "--quiet", "origin", "HEAD")
    assert "files pushed" in run(project, "dvc", "push")
    return folder


def test_what_was_pushed_is_pulled_and_nothing_runs(storage: Path, project: Path, clone: Clone, run: Run) -> None:
    other = clone("other")
    run(other, "dvc", "pull")
    assert results(other) == results(project)
    output = run(other, "dvc", "repro")
    assert stages_run(output) == []
    assert "up to date" in output
    assert run(other, "git", "status", "--porcelain") == ""


@pytest.mark.long
def test_an_experiment_is_taken_over_without_training(storage: Path, project: Path, clone: Clone, run: Run) -> None:
    other = clone("other")
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


@pytest.mark.long
def test_a_version_of_the_model_is_handed_on(storage: Path, project: Path, tmp_path: Path, run: Run) -> None:
    model = (project / "models/model.onnx").read_bytes()
    run(project, "gto", "register", "digits")
    run(project, "git", "push", "--quiet", "origin", "digits@v0.0.1")
    run(project, "dvc", "exp", "run", "-S", "train.lr=0.2")  # later results are not those of the version
    run(tmp_path, "dvc", "artifacts", "get", str(tmp_path / "hub.git"), "digits", "--out", "got.onnx")
    assert (tmp_path / "got.onnx").read_bytes() == model


@pytest.mark.long
def test_an_experiment_without_a_remote_comes_without_its_model(project: Path, clone: Clone, run: Run) -> None:
    other = clone("other")
    run(project, "dvc", "exp", "save", "--name", "saved")
    # No word of the missing remote.
    assert "Pushed experiment saved" in run(project, "dvc", "exp", "push", "origin", "saved")
    run(other, "dvc", "exp", "pull", "origin", "saved")
    assert "models/model.safetensors" in run(other, "dvc", "exp", "apply", "saved", status=255)
