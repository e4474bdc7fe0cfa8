"""Locks are held by one process and freed by its death, also on file systems that have none."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

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
