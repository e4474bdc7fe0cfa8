"""make takes the Git repository and the environment that are there."""

import os
import shutil
from pathlib import Path

import pytest

from conftest import ROOT, Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what make reads, outside any repository."""
    copy = tmp_path / "larger/digits"
    copy.mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "constraints.txt"):
        shutil.copyfile(ROOT / name, copy / name)
    return copy


def test_a_repository_is_created_where_there_is_none_above_either(folder: Path, run: Run) -> None:
    command = "make", "--dry-run", "verify"
    assert "git init" in run(folder, *command)
    run(folder.parent, "git", "init", "--quiet")
    assert "git init" not in run(folder, *command)


def test_uv_makes_and_fills_an_environment_where_it_is_installed(folder: Path, run: Run) -> None:
    (folder / "uv").write_text("#!/bin/sh\necho uv 1.0\n")
    (folder / "uv").chmod(0o755)
    command, path = ("make", "--dry-run", ".venv/run.done"), {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    printed = run(folder, *command, **path)
    fill = "uv pip install --python .venv/bin/python"
    assert '\nuv venv --allow-existing --python "$(command -v python3)" .venv\n' in printed
    small = f"{fill} --torch-backend=${{UV_TORCH_BACKEND:-auto}} -r requirements.txt"
    assert f"\n{small} || {fill} -r requirements.txt\n" in printed
    (folder / ".venv/bin").mkdir(parents=True)
    for name in ("python", "pip"):
        (folder / ".venv/bin" / name).touch()
    assert ".venv/bin/pip install --no-compile -r requirements.txt\n" in run(folder, *command, **path)
