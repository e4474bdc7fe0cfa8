"""Run the last commit twice from scratch, and check that outputs are the same.

Example: python tools/reproduce.py
         python tools/reproduce.py --cpu SandyBridge --cpu EPYC-Rome
         python tools/reproduce.py --python arm64/python
         python tools/reproduce.py -S train.model=cnn

The runs take place in fresh clones that share nothing but the user's downloads.
With --cpu, the runs after the first are emulated on other processors, a hundred
times as slowly; with --python, another Python runs the stages, for example an
emulated one for arm64. The other arguments go to `dvc exp run`; without any,
`dvc repro` runs, and the outputs are compared with the committed dvc.lock, too.
The exit status is 1 if a single byte of an output differs.
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

from command import Parser, run_command
from digits.foundation.stage import UserError
from digits.foundation.yaml_text import parse_lock
from experiments.processes import Runner
from repository import WRONG_USAGE, cache_folder, git, printed_by

EMULATOR = "qemu-x86_64"
Outputs = dict[tuple[str, str], str]  # MD5 by stage and path


def main() -> None:
    parser = Parser(__doc__)
    parser.usage = "%(prog)s [-h] [--cpu MODEL] [--python FILE] [ARGUMENT ...]"
    parser.add_argument("--cpu", action="append", default=[], metavar="MODEL", help=f"see `{EMULATOR} -cpu help`")
    parser.add_argument("--python", action="append", default=[], metavar="FILE", help="a Python with the packages")
    options, arguments = parser.parse_known_args()
    for cpu in options.cpu:
        check_emulator(cpu)
    pythons = {f"emulated {cpu}": [EMULATOR, "-cpu", cpu, sys.executable] for cpu in options.cpu}
    pythons |= {file: [str(Path(file).absolute())] for file in options.python}
    command = ["dvc", "exp", "run", *arguments] if arguments else ["dvc", "repro"]
    commit = printed_by("git", "rev-parse", "--short", "HEAD")
    print(f"commit {commit}, from scratch: {shlex.join(command)}", flush=True)
    if printed_by("git", "status", "--porcelain", "--", "."):
        print("uncommitted changes are left out: see `git status --short`", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    first, *others = run_all(command, [("this processor", []), *(pythons or {"this processor": []}).items()])
    for name, other in zip(pythons or ["the second run"], others, strict=True):
        check_same(first, other, f"{name} gives other bytes", "The first causes the rest.")
    print(f"the same bytes in {len(first)} outputs of {len({stage for stage, _ in first})} stages")
    if arguments:
        return
    if (committed := git("show", "HEAD:./dvc.lock")) is None:
        print("no dvc.lock is committed to compare with")
        return
    advice = "Was it committed with its code and parameters, portable arithmetic, and the packages of requirements.txt?"
    check_same(first, outputs_in(committed, "HEAD"), "this machine does not give the committed dvc.lock", advice)
    print("this machine gives the committed bytes, those of dvc.lock")


def check_emulator(cpu: str) -> None:
    """Raise a `UserError` if the processor `cpu` cannot be emulated."""
    if not shutil.which(EMULATOR):
        raise UserError(f"--cpu: {EMULATOR} not found; install it, on Debian and Ubuntu with `apt install qemu-user`")
    if subprocess.run([EMULATOR, "-cpu", cpu, "/bin/true"], stderr=subprocess.DEVNULL).returncode != 0:
        raise UserError(f"--cpu: must be a processor that can be emulated, got {cpu}; see `{EMULATOR} -cpu help`")


def run_all(command: list[str], pythons: list[tuple[str, list[str]]]) -> list[Outputs]:
    """Run the command once for each name and `python` (empty for our own) in a clone, which is deleted afterwards."""
    # The clones are elsewhere, so a relative path would not lead to the mirror.
    for name, mirror in os.environ.items():
        if name.endswith("MNIST_MIRROR") and mirror and "://" not in mirror:
            os.environ[name] = str(Path(mirror).absolute())
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        os.environ |= {"DVC_SITE_CACHE_DIR": f"{folder}/dvc", "TMPDIR": folder}
        projects = [clone(Path(folder, f"run-{number}")) for number, _ in enumerate(pythons, 1)]
        return [run_once(project, command, *python) for project, python in zip(projects, pythons, strict=True)]


def clone(folder: Path) -> Path:
    """Clone the last commit without its results; the project's folder in the clone."""
    # An experiment is a commit, which needs an author.
    identity = ["--config", "user.name=reproduce", "--config", "user.email=reproduce@localhost"]
    printed_by("git", "clone", "--quiet", *identity, printed_by("git", "rev-parse", "--show-toplevel"), str(folder))
    project = folder / printed_by("git", "rev-parse", "--show-prefix")
    (project / "dvc.lock").unlink(missing_ok=True)
    # A cache of its own, even if the user's projects share one, which can be read as a remote.
    config = f'[cache]\n    dir = cache\n[\'remote "original"\']\n    url = "{cache_folder()}"\n'
    (project / ".dvc/config.local").write_text(config, encoding="utf-8")
    # Data that the user has added to DVC, which no stage makes.
    committed = printed_by("git", "ls-tree", "-rz", "--name-only", "HEAD").split("\0")
    if added := [name for name in committed if name.endswith(".dvc")]:
        status, printed = Runner().run(["dvc", "pull", "--remote", "original", *added], project)
        if status != 0:
            raise UserError(f"reproduce: {', '.join(added)}: cannot be read from DVC's cache, got\n{printed}")
    return project


def run_once(project: Path, command: list[str], name: str, python: list[str]) -> Outputs:
    """Run the command in a clone, its stages by a `python` unless that is empty; a `UserError` if it fails."""
    print(f"{name} ...", end="", flush=True)
    environment = dict(os.environ)
    if python:
        environment["PATH"] = os.pathsep.join([str(folder_of_python(project, python)), environment["PATH"]])
    start = time.perf_counter()
    status, printed = Runner().run(command, project, environment, end_by=signal.SIGKILL)
    print(f" {time.perf_counter() - start:.0f} s", flush=True)
    lock = project / "dvc.lock"
    if status == 0 and lock.exists():
        return outputs_in(lock.read_text(encoding="utf-8"), "workspace")
    print(printed, file=sys.stderr)
    if status == WRONG_USAGE:
        sys.exit(2)
    raise UserError(f"reproduce: `{shlex.join(command)}` left no results, got status {status}; see above")


def folder_of_python(project: Path, command: list[str]) -> Path:
    """A folder with a `python` that is this command; DVC starts the stages with the first one on PATH."""
    script = project / ".dvc/tmp/emulated/python"
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    script.chmod(0o755)
    return script.parent


def outputs_in(lock: str, where: str) -> Outputs:
    """The outputs that a dvc.lock names, in running order; raises what `parse_lock` does."""
    return {(name, path): md5 for name, stage in parse_lock(lock, where).items() for path, md5 in stage.outs.items()}


def check_same(first: Outputs, second: Outputs, problem: str, advice: str) -> None:
    """Raise a `UserError` that lists the outputs in which two runs differ, if there are any."""
    differing = [output for output in first | second if first.get(output) != second.get(output)]
    if differing:
        listed = "".join(f"\n  {stage}: {path}" for stage, path in differing)
        raise UserError(f"reproduce: {problem}, got differences in{listed}\n{advice}")


if __name__ == "__main__":
    run_command(main)
