"""Run commands, several at a time, and end them all when this one is interrupted."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import IO, cast

from command import INTERRUPTED

REMINDER = 5  # seconds after which a process that has not ended, or has only begun, is interrupted again


class Runner:
    """Threads that run commands, of which none is to be begun once `stopped` is set."""

    def __init__(self) -> None:
        self.stopped, self.interrupted = Event(), False
        self.running: set[subprocess.Popen[str]] = set()

    def run_threads(self, jobs: int, work: Callable[[], None]) -> None:
        """Call `work` in that many threads; if one fails, let the others finish what they run, then raise its error.

        On Ctrl-C, or a signal that asks the process to end, this ends all that runs, and exits.
        """
        # SIGINT, too, since a script starts `command &` without it, and so would what runs here.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                signal.signal(number, signal.default_int_handler)
        threads = ThreadPoolExecutor(jobs)
        futures = [threads.submit(work) for _ in range(jobs)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            self.stopped.set()
            wait(futures)
        except KeyboardInterrupt:
            self.interrupted = True
            self.stopped.set()
            while any(not future.done() for future in futures):
                for process in list(self.running):
                    interrupt(process)
                wait(futures, timeout=REMINDER)
            print(f"error: {Path(sys.argv[0]).stem}: interrupted; the same command continues it", file=sys.stderr)
            sys.exit(INTERRUPTED)
        for future in futures:
            future.result()

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        watch: Callable[[str], object] = len,
        end_by: signal.Signals = signal.SIGINT,
    ) -> tuple[int, str]:
        """Run a command in a folder, with the variables of this process by default; return its status and output.

        `watch` is called with each line that it prints. If this raises an error, or this thread is interrupted, the
        command and all that it has started get the signal `end_by`. Raises a `KeyboardInterrupt` if `run_threads` was
        interrupted, and has ended the command.
        """
        # A process group of its own, since DVC leaves an interrupt to its stage, and both must get it. If this process
        # is killed, they end at the next line that they print, since nobody reads it.
        with subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        ) as process:
            self.running.add(process)
            lines = []
            try:
                for line in cast(IO[str], process.stdout):
                    lines.append(line)
                    watch(line)
            except BaseException:
                interrupt(process, end_by)
                process.communicate()  # returns once the last of them has closed the pipe
                raise
            finally:
                self.running.discard(process)
        if self.interrupted:
            raise KeyboardInterrupt
        return process.returncode, "".join(lines)


def interrupt(process: subprocess.Popen[str], by: signal.Signals = signal.SIGINT) -> None:
    """Send a signal, by default that of Ctrl-C, to a process and all that it has started."""
    with suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, by)


def set_options(settings: Sequence[str]) -> list[str]:
    """The options that make `dvc exp run` set these parameters."""
    return [part for setting in settings for part in ("-S", setting)]
