"""The workflow for pull requests, whose shell steps really run here, in a clone with a base branch; and what make does.

make takes the Git repository and the environment that are there.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, Run, commit, edit
from pipeline_runs import STAGES, stages_run

TEXT = (ROOT / ".github/workflows/checks.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
TRIGGERS = WORKFLOW[True]  # to YAML 1.1, `on` is true
SHELL = "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"  # as GitHub calls it
FILES = "https://github.com/us/digits/raw/1234"


def steps(job: str, key: str) -> Iterator[str]:
    """What the steps of a job use, or run."""
    return (step[key] for step in JOBS[job]["steps"] if key in step)


@pytest.mark.parametrize("job", JOBS)
def test_no_job_can_do_more_than_it_has_to(job: str) -> None:
    assert 0 < JOBS[job]["timeout-minutes"] <= 60
    expected = {"pull-requests": "write"} if job == "comment" else {"contents": "read"}
    assert JOBS[job]["permissions"] == expected
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in steps(job, "uses"))
    checkouts = [step for step in JOBS[job]["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    # Pasted into a script, the title of a pull request would be run.
    assert not any("${{" in script for script in steps(job, "run"))


def test_the_code_of_a_pull_request_gets_no_token() -> None:
    assert set(TRIGGERS) == {"push", "pull_request"}
    assert "group" in WORKFLOW["concurrency"]
    assert not any(action.startswith("actions/checkout@") for action in steps("comment", "uses"))
    assert "token" not in str(JOBS["test"]) + str(JOBS["report"])
    assert re.findall(r"secrets\.\w+", TEXT) == ["secrets.DVC_CONFIG_LOCAL"]
    assert "head.repo.full_name == github.repository" in JOBS["comment"]["if"]


def test_lint_and_tests_are_those_of_make() -> None:
    install, *others = steps("test", "run")
    assert "qemu-user" in install
    assert others == ["make lint", "make test-all"]
    on_gitlab = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))["test"]
    assert on_gitlab["script"][-2:] == others
    newest = yaml.safe_load((ROOT / ".github/workflows/newest-python.yml").read_text(encoding="utf-8"))
    assert newest["jobs"]["test"]["steps"][-1] == {"run": "make test"}
    assert {path.name for pattern in newest[True]["push"]["paths"] for path in ROOT.glob(pattern)} == {
        path.name for path in ROOT.glob("*.txt")
    }


def report(project: Path, clone: Path, run: Run, **variables: str) -> tuple[str, str]:
    """Run the steps of the report in a clone of a project with main as the base; return what they print and report."""
    run(project, "git", "clone", "--quiet", ".", str(clone))
    summary = clone.with_suffix(".md")
    variables |= {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_BASE_REF": "main", "FILES": FILES}
    _, *scripts = steps("report", "run")  # the first installs the packages
    output = "".join(run(clone, *SHELL, script, **variables) for script in scripts)
    assert (clone / "report.md").read_text() == summary.read_text()
    return output, summary.read_text()


@pytest.mark.long
def test_fresh_results_are_shown_and_stale_ones_reproduced(project: Path, tmp_path: Path, run: Run) -> None:
    run(project, "git", "branch", "--force", "-m", "main")
    run(project, "git", "switch", "--quiet", "--create", "faster")
    run(project, "dvc", "remote", "add", "--default", "storage", "/nowhere")
    edit(project / "params.yaml", "lr: 0.1", "lr: 0.2")
    run(project, "dvc", "repro")
    commit(project, run)
    output, text = report(project, tmp_path / "fresh", run, CONFIG_LOCAL="")
    assert stages_run(output) == []
    assert text.startswith("### Parameters")
    assert re.search(r"\| metrics/test\.json +\| accuracy +\|", text)
    assert re.search(r"against `origin/main`.*gained.*lost.*p \|\n", text)
    assert f"![plots/saliency.png]({FILES}/plots/saliency.png)" in text
    assert "plots/data.png" not in text  # the same as before

    # If they were stale, a remote that has nothing would be no more than a warning.
    [pull] = [script for script in steps("report", "run") if "dvc pull" in script]
    (tmp_path / "fresh/stale").touch()
    assert "::warning::dvc pull" in run(tmp_path / "fresh", *SHELL, pull, CONFIG_LOCAL="")

    edit(project / "params.yaml", "lr: 0.2", "lr: 0.3")
    commit(project, run)
    # Only the secret says where the remote is.
    config = f"['remote \"storage\"']\n    url = {tmp_path / 'storage'}"
    (project / ".dvc/config.local").write_text(config)
    run(project, "dvc", "push")
    output, text = report(project, tmp_path / "stale", run, CONFIG_LOCAL=config)
    assert "::warning::" not in output
    assert stages_run(output) == STAGES[2:]  # for a remote has the results of the others
    assert not (tmp_path / "stale/.dvc/config.local").exists()
    assert text.startswith("> **The committed results are stale**")
    assert re.search(r"\| params.yaml +\| train\.lr +\| 0\.1 +\| 0\.3 +\|\n", text)
    assert re.search(r"\| metrics/test\.json +\| accuracy +\| 0\.[89]\d+ +\| 0\.[89]\d+ +\| -?0\.\d+ +\|\n", text)
    assert re.search(r"against `origin/main`.*gained.*lost.*p \|\n", text)
    assert "error:" not in text
    assert "![" not in text  # Git has the pictures of other results


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


def test_all_files_of_a_downloaded_copy_are_committed_whatever_the_users_settings(folder: Path, run: Run) -> None:
    (folder / "settings").write_text("[core]\nexcludesFile = none\n[commit]\ngpgsign = true\n[gpg]\nprogram = false\n")
    (folder / "none").write_text("*.txt\n")
    run(folder, "make", ".git", GIT_CONFIG_GLOBAL=str(folder / "settings"))
    assert {"requirements.txt", "constraints.txt"} < {*run(folder, "git", "ls-files").split()}


def test_an_environment_that_fails_is_made_anew(folder: Path, run: Run) -> None:
    (folder / "broken").write_text("#!/bin/sh\n[ $1 = -c ] || { mkdir -p .venv/bin; touch .venv/bin/python; false; }\n")
    (folder / "broken").chmod(0o755)
    run(folder, "make", f"PYTHON={folder}/broken", ".venv/bin/python", status=2, PATH=os.defpath)
    assert not (folder / ".venv/bin/python").exists()


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
