"""Run the last commit twice from scratch, and check that outputs are the same.

Example: python tools/reproduce.py
         python tools/reproduce.py --cpu Haswell --cpu EPYC-Rome
         python tools/reproduce.py -S train.model=cnn

The runs take place in fresh clones that share nothing but the user's downloads.
With --cpu, the runs after the first are emulated on other processors, a hundred
times as slowly. The other arguments go to `dvc exp run`; without any, `dvc
repro` runs, and the outputs are compared with the committed dvc.lock, too. The
exit status is 1 if a single byte of an output differs.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from foundation.command import INTERRUPTED, ROOT, Parser, run_command
from foundation.repository import WRONG_USAGE, cache_folder, git, use_own_environment

import yaml

EMULATOR = "qemu-x86_64"
Outputs = dict[tuple[str, str], str]  # MD5 by stage and path


def main() -> None:
    parser = Parser(__doc__)
    parser.usage = "%(prog)s [-h] [--cpu MODEL] [ARGUMENT ...]"
    parser.add_argument("--cpu", action="append", default=[], metavar="MODEL", help=f"see `{EMULATOR} -cpu help`")
    options, arguments = parser.parse_known_args()
    for cpu in options.cpu:
        check_emulator(cpu)
    command = ["dvc", "exp", "run", *arguments] if arguments else ["dvc", "repro"]
    commit = git_or_exit("rev-parse", "--short", "HEAD")
    print(f"commit {commit}, from scratch: {shlex.join(command)}", flush=True)
    if git_or_exit("status", "--porcelain"):
        print("uncommitted changes are left out: see `git status --short`", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        first, *others = run_all(command, ["", *options.cpu] if options.cpu else ["", ""])
    except KeyboardInterrupt:
        print("\nerror: reproduce: interrupted; the clones are deleted, run it again from the start", file=sys.stderr)
        sys.exit(INTERRUPTED)
    for cpu, other in zip(options.cpu or ["the second run"], others, strict=True):
        if differing := differences(first, other):
            sys.exit(
                f"error: reproduce: {cpu} gives other bytes, got differences in{differing}\nThe first causes the rest."
            )
    print(f"the same bytes in {len(first)} outputs of {len({stage for stage, _ in first})} stages")
    if not arguments:
        compare_with_commit(commit, first)


def check_emulator(cpu: str) -> None:
    """Exit with advice unless the processor `cpu` can be emulated."""
    if not shutil.which(EMULATOR):
        sys.exit(f"error: --cpu: {EMULATOR} not found; install it, on Debian and Ubuntu with `apt install qemu-user`")
    done = subprocess.run([EMULATOR, "-cpu", cpu, "/bin/true"], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        problem = done.stderr.strip().removeprefix(f"{EMULATOR}: ")
        sys.exit(f"error: --cpu: {problem or 'cannot run'}, got {cpu}; see `{EMULATOR} -cpu help`")


def git_or_exit(*arguments: str) -> str:
    """What a Git command prints about this repository."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: git: `git {arguments[0]}` failed, got status {done.returncode}; see its message above")
    return done.stdout.removesuffix("\n")


def run_all(command: list[str], cpus: list[str]) -> list[Outputs]:
    """Run the command on each of the processors ("" for this one) in a clone, which is deleted afterwards."""
    use_own_environment()
    # The clones are elsewhere, so a relative path would not lead to the mirror.
    for name, mirror in os.environ.items():
        if name.endswith("MNIST_MIRROR") and mirror and "://" not in mirror:
            os.environ[name] = str(Path(mirror).absolute())
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        os.environ |= {"DVC_SITE_CACHE_DIR": f"{folder}/dvc", "TMPDIR": folder}
        clones = [Path(folder, f"run-{number}") for number, _ in enumerate(cpus, 1)]
        for clone in clones:
            prepare(clone)
        return [outputs_of(clone, command, cpu) for clone, cpu in zip(clones, cpus, strict=True)]


def prepare(clone: Path) -> None:
    """Clone the last commit without its results."""
    # An experiment is a commit, which needs an author.
    identity = ["--config", "user.name=reproduce", "--config", "user.email=reproduce@localhost"]
    git_or_exit("clone", "--quiet", *identity, str(ROOT), str(clone))
    (clone / "dvc.lock").unlink(missing_ok=True)
    # A cache of its own, even if the user's projects share one.
    (clone / ".dvc" / "config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")
    # Data that the user has added to DVC, which no stage makes. A cache can be read as a remote.
    committed = git_or_exit("ls-tree", "-rz", "--name-only", "HEAD").split("\0")
    if added := [name for name in committed if name.endswith(".dvc")]:
        for command in (
            ["remote", "add", "--local", "original", str(cache_folder())],
            ["pull", "--remote", "original", *added],
        ):
            status, printed = run_to_the_end(["dvc", *command], clone, dict(os.environ))
            if status != 0:
                sys.exit(f"error: reproduce: {', '.join(added)}: cannot be read from DVC's cache, got\n{printed}")


def outputs_of(clone: Path, command: list[str], cpu: str) -> Outputs:
    """Run the command in a clone, its stages on the processor `cpu`; print what it says if it fails."""
    print(f"{f'emulated {cpu}' if cpu else processor()} ...", end="", flush=True)
    environment = dict(os.environ)
    if cpu:
        environment["PATH"] = os.pathsep.join([str(emulated_python(clone, cpu)), environment["PATH"]])
    start = time.perf_counter()
    status, printed = run_to_the_end(command, clone, environment)
    print(f" {time.perf_counter() - start:.0f} s", flush=True)
    lock = clone / "dvc.lock"
    if status != 0 or not lock.exists():
        print(printed, file=sys.stderr)
        if status == WRONG_USAGE:
            sys.exit(2)
        sys.exit(f"error: reproduce: `{shlex.join(command)}` left no results, got status {status}; see above")
    return read_outputs(lock.read_text(encoding="utf-8"))


def processor() -> str:
    """The model name of this machine's processor, as far as it is known."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "this machine"


def emulated_python(clone: Path, cpu: str) -> Path:
    """A folder with a `python` that runs on an emulated processor; DVC starts the stages with the first one on PATH."""
    script = clone / ".dvc" / "tmp" / "emulated" / "python"
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nexec {EMULATOR} -cpu {shlex.quote(cpu)} {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return script.parent


def run_to_the_end(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command and return its status and output; if we are interrupted, everything that it started ends, too."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
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


def compare_with_commit(commit: str, outputs: Outputs) -> None:
    """Say whether the outputs are those of the committed dvc.lock; exit with status 1 if they are not."""
    if not git("ls-tree", commit, "dvc.lock"):
        print("no dvc.lock is committed to compare with")
        return
    if differing := differences(outputs, read_outputs(git_or_exit("show", f"{commit}:dvc.lock"))):
        sys.exit(
            f"error: reproduce: this machine does not give the committed dvc.lock, got other bytes in{differing}\n"
            "Was it committed with the code and parameters that it is for, portable arithmetic, and the packages of "
            "requirements.txt?"
        )
    print("this machine gives the committed bytes, those of dvc.lock")


if __name__ == "__main__":
    run_command(main)
