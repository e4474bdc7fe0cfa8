"""Results computed in one clone arrive in another, through a remote of DVC's and a bare Git repository."""

import shutil
from pathlib import Path

import pytest

from conftest import Run, commit, edit
from pipeline_runs import results, stages_run


@pytest.mark.long
def test_results_experiments_and_versions_of_the_model_are_handed_on(project: Path, tmp_path: Path, run: Run) -> None:
    hub, other = tmp_path / "hub.git", tmp_path / "other"
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(project), str(hub))
    run(project, "git", "remote", "add", "origin", str(hub))
    run(tmp_path, "git", "clone", "--quiet", str(hub), str(other))

    run(project, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    assert run(project, "git", "status", "--porcelain") == " M .dvc/config\n"
    commit(project, run)
    run(project, "git", "push", "--quiet", "origin", "HEAD")
    assert "files pushed" in run(project, "dvc", "push")
    run(other, "git", "pull", "--quiet")
    run(other, "dvc", "pull")
    assert results(other) == results(project)
    assert stages_run(run(other, "dvc", "repro")) == []
    assert run(other, "git", "status", "--porcelain") == ""

    model = (project / "models/model.onnx").read_bytes()
    run(project, "gto", "register", "digits")
    run(project, "git", "push", "--quiet", "origin", "digits@v0.0.1")
    run(project, "dvc", "exp", "run", "--name", "faster", "-S", "train.lr=0.2")
    run(project, "dvc", "exp", "push", "origin", "faster")
    run(other, "dvc", "exp", "pull", "origin", "faster")
    run(other, "dvc", "exp", "apply", "faster")
    assert results(other) == results(project)
    assert stages_run(run(other, "dvc", "repro")) == []
    assert run(other, "git", "diff", "HEAD") == run(project, "git", "diff", "HEAD")

    # Later results are not those of the version.
    assert (project / "models/model.onnx").read_bytes() != model
    run(tmp_path, "dvc", "artifacts", "get", str(hub), "digits", "--out", "got.onnx")
    assert (tmp_path / "got.onnx").read_bytes() == model

    # Nobody trains again what another one has trained.
    for folder in (project, other):
        run(folder, "git", "checkout", "--quiet", "HEAD", ".")
        edit(folder / "params.yaml", "lr: 0.1\n", "lr: 0.3\n")
    run(project, "dvc", "repro")
    shutil.rmtree(tmp_path / "storage")
    run(project, "cp", "-r", ".dvc/cache/.", str(tmp_path / "storage"))
    run(other, "dvc", "pull", "--run-cache")
    output = run(other, "dvc", "repro", "--pull")
    assert "Stage 'train' is cached - skipping run" in output
    assert stages_run(output) == ["evaluate"]
    assert results(other) == results(project)
