"""Run the last commit twice from scratch and check that the outputs are the same.

Example: python tools/reproduce.py
         python tools/reproduce.py -S train.model=cnn

The runs take place in two fresh clones that share nothing but the user's
downloads. All arguments go to `dvc exp run`; without any, `dvc repro` runs. The
exit status is 1 if a single byte of an output differs.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from foundation.command import INTERRUPTED, ROOT, Parser, run_command
from foundation.repository import WRONG_USAGE, git, use_own_environment

import yaml

Outputs = dict[tuple[str, str], str]  # MD5 by stage and path


def main() -> None:
    parser = Parser(__doc__)
    parser.usage = "%(prog)s [-h] [ARGUMENT ...]"
    _, arguments = parser.parse_known_args()
    command = ["dvc", "exp", "run", *arguments] if arguments else ["dvc", "repro"]
    commit = git_or_exit("rev-parse", "--short", "HEAD")
    print(f"commit {commit}, twice from scratch: {shlex.join(command)}", flush=True)
    if git_or_exit("status", "--porcelain"):
        print("uncommitted changes are left out: see `git status --short`", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        first, second = two_runs(command)
    except KeyboardInterrupt:
        print("\nerror: reproduce: interrupted; the clones are deleted, run it again from the start", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if differing := differences(first, second):
        sys.exit(
            f"error: reproduce: the two runs differ, got other bytes in{differing}\nStart with the first of these."
        )
    print(f"the same bytes in {len(first)} outputs of {len({stage for stage, _ in first})} stages")
    if not arguments:
        print(compared_with(commit, first))


def git_or_exit(*arguments: str) -> str:
    """What a Git command prints about this repository."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: git: `git {arguments[0]}` failed, got status {done.returncode}; see its message above")
    return done.stdout.removesuffix("\n")


def two_runs(command: list[str]) -> tuple[Outputs, Outputs]:
    """Run the command in two clones, which are deleted afterwards."""
    use_own_environment()
    # The clones are elsewhere, so a relative path would not lead to the mirror.
    mirror = os.environ.get("MNIST_MIRROR")
    if mirror and "://" not in mirror:
        os.environ["MNIST_MIRROR"] = str(Path(mirror).absolute())
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        os.environ |= {"DVC_SITE_CACHE_DIR": f"{folder}/dvc", "TMPDIR": folder}
        clones = [Path(folder) / name for name in ("run-1", "run-2")]
        for clone in clones:
            prepare(clone)
        first, second = (outputs_of(clone, command) for clone in clones)
    return first, second


def prepare(clone: Path) -> None:
    """Clone the last commit without its results."""
    # An experiment is a commit, which needs an author.
    identity = ["--config", "user.name=reproduce", "--config", "user.email=reproduce@localhost"]
    git_or_exit("clone", "--quiet", *identity, str(ROOT), str(clone))
    (clone / "dvc.lock").unlink(missing_ok=True)
    # A cache of its own, even if the user's projects share one.
    (clone / ".dvc" / "config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")


def outputs_of(clone: Path, command: list[str]) -> Outputs:
    """Run the command in a clone; print what it says if it fails."""
    print(f"{clone.name} ...", end="", flush=True)
    start = time.perf_counter()
    status, printed = run_to_the_end(command, clone)
    print(f" {time.perf_counter() - start:.0f} s", flush=True)
    lock = clone / "dvc.lock"
    if status != 0 or not lock.exists():
        print(printed, file=sys.stderr)
        if status == WRONG_USAGE:
            sys.exit(2)
        sys.exit(f"error: reproduce: `{shlex.join(command)}` left no results, got status {status}; see above")
    return read_outputs(lock.read_text(encoding="utf-8"))


def run_to_the_end(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command and return its status and output; if we are interrupted, everything that it started ends, too."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        printed = ""
        try:
            # Line by line, since a signal has to wait for the end of a call that reads.
            for line in process.stdout or ():
                printed += line
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # returns once the last of them has closed the pipe
            raise
    return process.returncode, printed


def read_outputs(lock: str) -> Outputs:
    """The outputs that a dvc.lock names, in running order."""
    stages = yaml.safe_load(lock)["stages"]
    return {(name, out["path"]): out["md5"] for name, stage in stages.items() for out in stage["outs"]}


def differences(first: Outputs, second: Outputs) -> str:
    """A line for each output that differs."""
    return "".join(
        f"\n  {stage}: {path}"
        for stage, path in first | second
        if first.get((stage, path)) != second.get((stage, path))
    )


def compared_with(commit: str, outputs: Outputs) -> str:
    """How the outputs compare with the committed dvc.lock."""
    if not git("ls-tree", commit, "dvc.lock"):
        return "no dvc.lock is committed to compare with"
    if differing := differences(outputs, read_outputs(git_or_exit("show", f"{commit}:dvc.lock"))):
        return f"the committed dvc.lock, perhaps made on another processor, has other bytes in{differing}"
    return "the same as in the committed dvc.lock"


if __name__ == "__main__":
    run_command(main)
