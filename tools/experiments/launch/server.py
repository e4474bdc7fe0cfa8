"""Run Python scripts in forks of a process that has loaded the libraries already, for clients.

It serves until its standard input ends. Command: python server.py ADDRESS, in the repository root
"""

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

# What stages and DVC take long to import. onnxruntime is none of them: it starts a thread, which no fork would have.
LIBRARIES = [
    "torch", "safetensors.numpy", "onnx.helper", "onnx.checker",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin",
    "dvc.cli", "dvc.commands.experiments.run", "dvc.repo.reproduce", "dvc.repo.experiments.queue.tempdir",
]  # fmt: skip
# Its processes end without tidying up their memory, which would take them longer than most of them run.
Process = get_context("fork").Process


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # clients pass on Ctrl-C
    switches = load_libraries()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            Process(target=attend, args=(connection, switches)).start()
            connection.close()


def load_libraries() -> dict[str, str]:
    """Load the libraries with the switches of portable arithmetic, and return those: environment variables."""
    before = dict(os.environ)
    sys.path[0] = "stages"
    runpy.run_path("stages/train.py")["use_portable_arithmetic"]()
    for name in LIBRARIES:
        import_module(name)
    gc.collect()
    gc.freeze()  # the garbage collector would make forks copy what they only read
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def attend(connection: socket.socket, switches: dict[str, str]) -> None:
    """Run what a client asks for, pass its signals on, and reply with the exit status."""
    size, files, *_ = socket.recv_fds(connection, 4, 3)
    request = json.loads(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
    script = Process(target=run_as_python, args=(*request, files, switches))
    script.start()
    group = cast(int, script.pid)
    for file in files:
        os.close(file)
    watched: list[int | socket.socket] = [script.sentinel, connection]
    while script.sentinel not in wait(watched):
        number = connection.recv(1)
        if not number:  # the client was killed
            watched.remove(connection)
        with suppress(ProcessLookupError):
            os.killpg(group, number[0] if number else signal.SIGKILL)
    script.join()
    status = cast(int, script.exitcode)
    with suppress(OSError):
        connection.sendall(bytes([status if status >= 0 else 128 - status]))


def run_as_python(
    arguments: list[str], folder: str, environment: dict[str, str], files: list[int], switches: dict[str, str]
) -> None:
    """Do what `python` with these arguments does.

    Args:
        arguments: a script and its arguments, or -m, a module and its arguments.
        folder: to run in.
        environment: for this process alone.
        files: standard input, output and error.
        switches: environment variables that the libraries were loaded with.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    script, *rest = arguments
    if script == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif not is_portable():
        os.execv(sys.executable, [sys.executable, *arguments])
    else:
        os.environ.update(switches)
        for name in [name for name in sys.modules if name.partition(".")[0] == "digits"]:
            del sys.modules[name]  # the code in `folder` may be other code
        sys.path[0] = str(Path(script).resolve().parent)
        sys.argv = arguments
        runpy.run_path(script, run_name="__main__")


def is_portable() -> bool:
    """Whether the parameters ask for portable arithmetic; native arithmetic needs libraries without the switches."""
    try:
        return bool(yaml.safe_load(Path("params.yaml").read_text())["train"]["arithmetic"] == "portable")
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return False  # the stage itself will say what is wrong


if __name__ == "__main__":
    main()
