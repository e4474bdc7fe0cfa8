"""Every command in tools/ keeps to one convention: its help and its exit statuses."""

import errno
import importlib
import os
import re
from pathlib import Path

import pytest

from command import run_command
from conftest import ROOT, Call, Run

NAMES = [path.stem for path in sorted((ROOT / "tools").glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")]
DOCS = [ROOT / "Makefile", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PASS_ON = {"recipe", "reproduce"}  # what they do not know, to DVC


@pytest.mark.parametrize("name", NAMES)
def test_help_and_wrong_usage(name: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = importlib.import_module(name)
    output, _ = call(command, ROOT, "--help")
    assert output.startswith(f"usage: {name}.py [-h]")
    description = str(command.__doc__).strip()
    assert description in output
    purpose, examples, *_ = description.split("\n\n")
    assert re.fullmatch(r"[A-Z].*[.?]", purpose)  # one line
    assert all(line[9:].startswith(f"python tools/{name}.py") for line in examples.splitlines())
    assert examples.startswith("Example: ")
    assert max(map(len, output.splitlines())) <= 80
    options = output[output.index("\noptions:") :]
    assert "default" not in " ".join(options.split()).replace("(default: ", "")
    assert str(ROOT) not in output
    metavars = re.findall(r"(?m)^  (?:-\w(?: \S+)?, )?--[\w-]+ (\S+)", options)
    assert all(metavar.isupper() for metavar in metavars)
    assert any(f"tools/{name}.py" in text.read_text(encoding="utf-8") for text in DOCS)

    if name not in PASS_ON:
        given = {"search": ["--trials", "1"], "ensemble": ["HEAD"]}.get(name, [])
        _, problems = call(command, ROOT, *given, "--no-such-option", status=2)
        assert "unrecognized arguments: --no-such-option" in problems


def test_a_missing_package_is_named(run: Run) -> None:
    output = run(ROOT, "python", "-S", "tools/compare.py", "--help", status=1)
    assert re.fullmatch(r"error: python: \w+ not installed for \S+; `source .venv/bin/activate`.*\n", output)


@pytest.mark.parametrize("arguments", ["", "--help"])
def test_a_reader_that_leaves_is_no_error(finished: Path, tmp_path: Path, run: Run, arguments: str) -> None:
    run(finished, "sh", "-c", f"python tools/compare.py HEAD HEAD {arguments} 2> {tmp_path}/errors | true")
    assert (tmp_path / "errors").read_text() == ""


def test_where_output_is_closed_the_user_has_no_name_or_the_environment_was_moved(
    finished: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(finished, "sh", "-c", "python tools/compare.py HEAD HEAD >&-") == ""

    def lacks(name: str) -> None:
        raise KeyError("getpwuid(): uid not found") if name == "name" else FileNotFoundError(errno.ENOENT, "No", "dvc")

    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    monkeypatch.setattr("getpass.getuser", lambda: lacks("name"))
    with pytest.raises(SystemExit, match=r"^error: dvc: cannot be .*; was this folder moved\? `rm -r .venv && "):
        run_command(lambda: lacks("dvc"))
    assert os.environ["LOGNAME"] == str(os.getuid())


def test_a_full_disk_behind_standard_output_is_named(finished: Path, run: Run) -> None:
    output = run(finished, "sh", "-c", "python tools/compare.py HEAD HEAD > /dev/full", status=1)
    assert output.startswith("error: standard output or a temporary file: cannot be read or written, got No space")
    assert output.count("\n") == 1
