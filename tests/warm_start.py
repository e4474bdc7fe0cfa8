"""Start `dvc` and the stages as forks of a process that has loaded their libraries, so that tests take less time.

Elsewhere than on Linux, everything starts as always. Commands, for this module alone:
python tests/warm_start.py serve ADDRESS; python tests/warm_start.py ask ADDRESS SCRIPT [ARGUMENT ...]
"""

# No more than this at the top: each `dvc` and each `python` loads it.
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator  # loads with `os`

# What stages and DVC take long to import. onnxruntime is not among them: it starts a thread, which no fork would have.
LIBRARIES = [
    "torch", "safetensors.numpy", "onnx.helper", "onnx.checker",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin",
    "dvc.cli", "dvc.commands.experiments.run", "dvc.repo.reproduce", "dvc.repo.experiments.queue.tempdir",
]  # fmt: skip
PR_SET_PDEATHSIG = 1  # of prctl(2): which signal a process gets when its parent ends
ARITHMETIC = "digits.models.portable_arithmetic"


def warm_start(path: str) -> Iterator[str]:
    """Yield a PATH with which `dvc` and `python` start warm, made from the ordinary one."""
    import shlex
    import subprocess
    import tempfile
    from pathlib import Path
    from typing import IO, cast

    if sys.platform != "linux":
        yield path
        return
    with tempfile.TemporaryDirectory() as name:
        ask = shlex.join([sys.executable, "-I", "-S", __file__, "ask", f"{name}/socket"])
        for program, arguments in (("python", ""), ("dvc", "-m dvc")):
            script = Path(name, program)
            script.write_text(f'#!/bin/sh\nexec {ask} {arguments} "$@"\n')
            script.chmod(0o755)
        command = [sys.executable, __file__, "serve", f"{name}/socket"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            cast(IO[bytes], server.stdout).readline()  # until it is ready
            try:
                yield os.pathsep.join([name, path])
            finally:
                server.kill()  # what it has started ends with it


def ask(address: str, *arguments: str) -> None:
    """Have the server run what `python` with these arguments runs, and exit with its status."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        folder = os.getcwd()  # noqa: PTH109 - pathlib takes as long to import as all the rest
        request = json.dumps([arguments, folder, dict(os.environ), os.getpgrp()]).encode()
        socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(request)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what the server runs gets it, too
        status = server.recv(1)
    sys.exit(status[0] if status else "error: warm_start.py: the server has ended")


def serve(address: str) -> None:
    """Run what clients ask for, until the tests end."""
    import gc
    from importlib import import_module
    from multiprocessing import get_context
    from pathlib import Path

    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[0] = str(Path(__file__).resolve().parents[1] / "stages")
    import_module(ARITHMETIC).use_portable_arithmetic()
    for name in LIBRARIES:
        import_module(name)
    gc.collect()
    gc.freeze()  # the garbage collector would make forks copy what they only read
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            get_context("fork").Process(target=attend, args=(connection,)).start()
            connection.close()


def attend(connection: socket.socket) -> None:
    """Run what a client asks for, and reply with the exit status."""
    from multiprocessing import get_context

    end_with_parent()
    size, files, *_ = socket.recv_fds(connection, 4, 3)
    request = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    # Its processes end without tidying up their memory, which would take them longer than most of them run.
    script = get_context("fork").Process(target=run_as_python, args=(*json.loads(request), files))
    script.start()
    for file in files:
        os.close(file)
    script.join()
    status = script.exitcode or 0
    connection.sendall(bytes([status if status >= 0 else 128 - status]))


def run_as_python(arguments: list[str], folder: str, environment: dict[str, str], group: int, files: list[int]) -> None:
    """Do what `python` with these arguments does, in a process group, a folder and an environment, with open files."""
    import runpy
    from contextlib import suppress
    from pathlib import Path

    end_with_parent()
    with suppress(PermissionError):  # the client is in another session
        os.setpgid(0, group)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if arguments[:2] == ["-m", "dvc"]:
        sys.argv = arguments[1:]
        runpy.run_module("dvc", run_name="__main__", alter_sys=True)
    elif arguments and arguments[0].startswith("stages/") and "arithmetic: portable" in Path("params.yaml").read_text():
        arithmetic = sys.modules[ARITHMETIC]
        for name in [name for name in os.environ if name.startswith(arithmetic.PREFIXES)]:
            del os.environ[name]
        os.environ.update(arithmetic.SWITCHES)  # with which the libraries were loaded
        for name in [name for name in sys.modules if name.partition(".")[0] == "digits"]:
            del sys.modules[name]  # the experiment may have other code
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606


def end_with_parent() -> None:
    """Make the system kill this process when its parent has ended."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
