"""How a stage or a command prints and fails, and the lock with which one stage runs at a time."""

import errno
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command import run_command
from conftest import ROOT
from digits.foundation import stage
from digits.foundation.stage import run


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stage run in a folder of its own, and leave this process as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    monkeypatch.setattr(stage, "LOCK", tmp_path / "lock")
    for name in ("signal.signal", "gc.set_threshold", "gc.freeze"):
        monkeypatch.setattr(name, lambda *_: None)


@pytest.mark.parametrize("start", [run, run_command])
def test_what_an_encoding_lacks_is_escaped(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[Callable[[], None]], None]
) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed := io.BytesIO(), "ascii", write_through=True))
    start(lambda: print("7 ≠ 1"))
    assert printed.getvalue().strip() == rb"7 \u2260 1"


LACKS = MemoryError(), RuntimeError("std::bad_alloc"), ImportError("libtorch.so: failed to map segment")


@pytest.mark.parametrize("error", [*LACKS, RuntimeError("shapes differ"), ImportError("no name x in y")])
def test_too_little_memory_is_one_line_and_a_bug_keeps_its_traceback(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit if error in LACKS else type(error)) as caught:
        run(main)
    expected = "error: memory: not enough for this stage; .*" if error in LACKS else str(error)
    assert re.fullmatch(expected, str(caught.value))


NO_FLOCK = """
#include <errno.h>
#include <stdlib.h>
int flock(int fd, int operation) { (void)fd; (void)operation; errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
"""
# Takes the lock, says who had it, whether it got it, and who has it, and waits.
TAKE = """
import sys, time
from pathlib import Path
from digits.foundation.lock import acquire, holder
path = Path(sys.argv[1])
before = holder(path)
lock = acquire(path)
print(before, bool(lock), holder(path), flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def no_flock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with which a process finds no locks on any file system."""
    compiler = shutil.which("cc")
    if not compiler or sys.platform != "linux":
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("library") / "noflock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=NO_FLOCK, text=True, check=True)
    return library


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_lock_is_freed_when_its_process_is_killed(
    tmp_path: Path, request: pytest.FixtureRequest, number: int | None
) -> None:
    variables = {"PYTHONPATH": str(ROOT / "stages")}
    if number:
        variables |= {"LD_PRELOAD": str(request.getfixturevalue("no_flock")), "FLOCK_ERRNO": str(number)}

    def take(seconds: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", TAKE, str(tmp_path / "folder/lock"), str(seconds)]
        return subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True)

    def said(process: "subprocess.Popen[str]") -> list[str]:
        assert process.stdout
        return process.stdout.readline().split()

    with take(60) as first:
        assert said(first) == ["unknown", "True", str(first.pid)]
        with take(0) as second:
            assert said(second) == [str(first.pid), "False", str(first.pid)]
        first.send_signal(signal.SIGKILL)
    for _ in range(2):
        with take(0) as third:
            assert said(third)[1:] == ["True", str(third.pid)]
