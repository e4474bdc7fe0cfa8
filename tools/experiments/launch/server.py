"""Run Python scripts in forks of a process that has loaded the libraries already, for clients.

It serves until its standard input ends. Command: python server.py ADDRESS, in the repository root
"""

import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from typing import cast

import yaml

# What stages and DVC take long to import. onnxruntime is not among them: it starts a thread, which no fork would have.
LIBRARIES = [
    "torch", "safetensors.numpy", "onnx.helper", "onnx.checker",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin",
    "dvc.cli", "dvc.commands.experiments.run", "dvc.repo.reproduce", "dvc.repo.experiments.queue.tempdir",
]  # fmt: skip
# Its processes end without tidying up their memory, which would take them longer than most of them run.
Process = get_context("fork").Process
PR_SET_PDEATHSIG = 1  # of prctl(2): which signal a process gets when its parent ends
# Besides digits.pictures, all that a tool loads of the stages: the libraries have to be loaded as they load them.
ARITHMETIC = "digits.foundation.arithmetic"


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # clients pass them on
    load_libraries()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            Process(target=attend, args=(connection, listener)).start()
            connection.close()


def load_libraries() -> None:
    """Load the libraries with the switches of portable arithmetic."""
    sys.path[0] = "stages"
    import_module(ARITHMETIC).use_portable_arithmetic()
    for name in LIBRARIES:
        import_module(name)
    gc.collect()
    gc.freeze()  # the garbage collector would make forks copy what they only read


def attend(connection: socket.socket, listener: socket.socket) -> None:
    """Run what a client asks for, pass its signals on, and reply with the exit status."""
    end_with_parent()
    listener.close()  # or clients would still reach it when the server has ended
    size, files, *_ = socket.recv_fds(connection, 4, 3)
    request = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    if len(files) < 3 or len(request) < int.from_bytes(size, "big"):  # the client was killed
        return
    script = Process(target=run_as_python, args=(*json.loads(request), files, connection))
    script.start()
    group = cast(int, script.pid)
    for file in files:
        os.close(file)
    ended = os.pidfd_open(group)  # the sentinel of multiprocessing would not outlive an exec
    watched: list[int | socket.socket] = [ended, connection]
    while ended not in wait(watched):
        number = connection.recv(1)
        if not number:  # the client was killed
            watched.remove(connection)
        try:
            os.killpg(group, number[0] if number else signal.SIGKILL)
        except ProcessLookupError:  # it does not lead its group yet
            os.kill(group, number[0] if number else signal.SIGKILL)
    script.join()
    status = cast(int, script.exitcode)
    with suppress(OSError):
        connection.sendall(bytes([status if status >= 0 else 128 - status]))


def run_as_python(
    arguments: list[str], folder: str, environment: dict[str, str], files: list[int], connection: socket.socket
) -> None:
    """Do what `python` with these arguments does.

    Args:
        arguments: what begins with a script or `-m dvc` runs here, anything else in a new Python.
        folder: to run in.
        environment: for this process alone.
        files: standard input, output and error.
        connection: to the client, for `attend` alone.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if arguments[:2] == ["-m", "dvc"]:
        sys.argv = arguments[1:]
        runpy.run_module("dvc", run_name="__main__", alter_sys=True)
    elif arguments and arguments[0].endswith(".py") and is_portable():
        use_switches()
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        os.execv(sys.executable, [sys.executable, *arguments])


def end_with_parent() -> None:
    """Make the system kill this process when its parent has ended, so that nothing lives on after a kill -9."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def use_switches() -> None:
    """Give this process the environment with which the libraries were loaded; forget the stages' code that did it."""
    arithmetic = sys.modules[ARITHMETIC]
    for name in [name for name in os.environ if name.startswith(arithmetic.PREFIXES)]:
        del os.environ[name]
    os.environ.update(arithmetic.SWITCHES)
    for name in [name for name in sys.modules if name.partition(".")[0] == "digits"]:
        del sys.modules[name]  # the experiment may have other code


def is_portable() -> bool:
    """Whether the parameters ask for portable arithmetic; native arithmetic needs libraries without the switches."""
    try:
        return bool(yaml.safe_load(Path("params.yaml").read_text())["train"]["arithmetic"] == "portable")
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return False  # the stage itself will say what is wrong


if __name__ == "__main__":
    main()
