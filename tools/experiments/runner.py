"""Run DVC experiments, several at a time, and end them all when the command is interrupted."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event
from typing import IO, cast

from command import INTERRUPTED, ROOT
from repository import use_own_environment

REMINDER = 5  # seconds after which a process that has not ended is interrupted again


class InterruptedExperiment(Exception):  # noqa: N818 - it is no error
    """An experiment was ended, since the command was interrupted."""


class Runner:
    """Threads that run experiments, of which none is to be begun once `stopped` is set."""

    def __init__(self) -> None:
        use_own_environment()
        self.stopped, self.interrupted = Event(), Event()
        self.running: set[subprocess.Popen[str]] = set()

    def run_threads(self, jobs: int, work: Callable[[], None], command: str) -> None:
        """Call `work` in that many threads; if one fails, let the others finish what they run, then raise its error.

        On Ctrl-C, or a signal that asks the process to end, this ends all that runs, and exits. The message names the
        command.
        """
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        threads = ThreadPoolExecutor(jobs)
        futures = [threads.submit(work) for _ in range(jobs)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            self.stopped.set()
            wait(futures)
        except KeyboardInterrupt:
            self.stopped.set()
            self.interrupted.set()
            self.interrupt()
            while wait(futures, timeout=REMINDER).not_done:
                self.interrupt()
            print(f"error: {command}: interrupted; the same command continues it", file=sys.stderr)
            sys.exit(INTERRUPTED)
        for future in futures:
            future.result()

    def interrupt(self) -> None:
        """Interrupt all that runs."""
        for process in list(self.running):
            interrupt(process)

    def run_experiment(
        self, name: str, settings: Sequence[str], *targets: str, watch: Callable[[str], None] | None = None
    ) -> str | None:
        """Run an experiment in a temporary folder, so that the workspace stays as it is and several can run at a time.

        DVC's queue would do the same, but in the background, where its end and its failure must be watched for.

        Args:
            name: of the experiment.
            settings: parameters, as `-S` takes them.
            targets: stages to run, with those before them; all stages by default.
            watch: called with each line that it prints; raising an error ends the experiment.

        Returns:
            What it printed if it failed, else None.

        Raises:
            InterruptedExperiment: the command was interrupted.
        """
        command = ["dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name, *set_options(settings), *targets]
        # A process group of its own, since DVC leaves an interrupt to its stage, and both must get it. If this process
        # is killed, they end at the next line that they print, since nobody reads it.
        with subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        ) as process:
            self.running.add(process)
            if self.interrupted.is_set():
                interrupt(process)
            lines = []
            try:
                for line in cast(IO[str], process.stdout):
                    lines.append(line)
                    if watch:
                        watch(line)
            except BaseException:
                interrupt(process)
                process.communicate()
                raise
            finally:
                self.running.discard(process)
        if process.returncode != 0 and self.interrupted.is_set():
            raise InterruptedExperiment
        return "".join(lines) if process.returncode != 0 else None


def interrupt(process: subprocess.Popen[str]) -> None:
    """Send what Ctrl-C sends to a process and all that it has started."""
    with suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, signal.SIGINT)


def set_options(settings: Sequence[str]) -> list[str]:
    """The options that make `dvc exp run` set these parameters."""
    return [part for setting in settings for part in ("-S", setting)]
