"""make takes the Git repository and the environment that are there."""

import shutil
from pathlib import Path

import pytest

from conftest import ROOT, Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what make reads, outside any repository, with an environment as `uv venv` makes it."""
    copy = tmp_path / "larger/digits"
    (copy / ".venv/bin").mkdir(parents=True)
    (copy / ".venv/bin/python").touch()
    for name in ("Makefile", "requirements.txt", "constraints.txt"):
        shutil.copyfile(ROOT / name, copy / name)
    return copy


def test_a_repository_is_created_where_there_is_none_above_either(folder: Path, run: Run) -> None:
    command = "make", "--dry-run", "verify"
    assert "git init" in run(folder, *command)
    run(folder.parent, "git", "init", "--quiet")
    assert "git init" not in run(folder, *command)


def test_an_environment_is_filled_by_what_made_it(folder: Path, run: Run) -> None:
    command = "make", "--dry-run", ".venv/run.done"
    assert "\nuv pip install --python .venv/bin/python -r requirements.txt\n" in "\n" + run(folder, *command)
    (folder / ".venv/bin/pip").touch()
    assert "\n.venv/bin/pip install --no-compile -r requirements.txt\n" in "\n" + run(folder, *command)
