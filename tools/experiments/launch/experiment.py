"""Run DVC experiments."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from foundation.command import ROOT
from foundation.repository import use_own_environment

DIVERGED = "train.lr: the loss is no longer finite"  # the message of the stage
HERE = Path(__file__).parent


@contextmanager
def warm_start() -> Iterator[None]:
    """Inside the block, let `dvc` and `python` start as forks of a process that has loaded the libraries.

    On Linux only: elsewhere forks are slow or unsafe, and there is no portable arithmetic.
    """
    use_own_environment()
    if sys.platform != "linux":
        yield
        return
    path = os.environ["PATH"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        client = shlex.join([sys.executable, "-I", "-S", str(HERE / "client.py"), str(folder / "socket")])
        for program, arguments in (("python", ""), ("dvc", "-m dvc")):
            script = folder / program
            script.write_text(f'#!/bin/sh\nexec {client} {arguments} "$@"\n')
            script.chmod(0o755)
        command = [sys.executable, str(HERE / "server.py"), str(folder / "socket")]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            try:
                if not cast(IO[bytes], server.stdout).readline():
                    print("note: the server has not started, see above; experiments start slowly", file=sys.stderr)
                os.environ["PATH"] = os.pathsep.join([name, path])
                yield
            except BaseException:
                server.kill()  # what it has started ends with it
                raise
            finally:
                os.environ["PATH"] = path


def run_experiment(
    name: str, settings: Sequence[str], *targets: str, watch: Callable[[str], None] | None = None
) -> str | None:
    """Run an experiment in a temporary folder, so that the workspace stays as it is and several can run at a time.

    DVC's queue would do the same, but in the background, where its end, its failure and Ctrl-C would have to be watched
    for.

    Args:
        name: of the experiment.
        settings: parameters, as `-S` takes them.
        targets: stages to run, with those before them; all stages by default.
        watch: called with each line that it prints; raising an error ends the experiment.

    Returns:
        What it printed if it failed, else None.
    """
    command = ["dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name, *set_options(settings), *targets]
    # A session of its own for the one that is watched, since DVC leaves Ctrl-C to its stage, and both have to get it.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=watch is not None,
    ) as process:
        lines = []
        try:
            for line in cast(IO[str], process.stdout):
                lines.append(line)
                if watch:
                    watch(line)
        except BaseException:
            if watch:
                os.killpg(process.pid, signal.SIGINT)
            process.communicate()
            raise
    return "".join(lines) if process.returncode != 0 else None


def set_options(settings: Sequence[str]) -> list[str]:
    """The options that make `dvc exp run` set these parameters."""
    return [part for setting in settings for part in ("-S", setting)]
