"""A PostgreSQL server for tests, from the programs of the system."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "digits", "open-sesame"


# Debian does not put the server's programs on the path.
FOUND = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), reverse=True)]
PROGRAMS = [Path(path).parent for path in FOUND if path]
# pip cannot install the server; without it, the other tests still run. CI installs it.
needs_postgresql = pytest.mark.skipif(not PROGRAMS, reason="needs PostgreSQL's server (Debian: postgresql)")


class Server:
    """A server with one database and one user, who needs the password.

    Attributes:
        url: for `--storage`.
    """

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.getuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres")
        self.call("initdb", "-A", "scram-sha-256", "-U", USER, f"--pwfile={password}", "-D", str(self.data))
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n")
        self.start()

    def call(self, program: str, *arguments: str) -> None:
        switch = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        command = [*switch, str(PROGRAMS[0] / program), *arguments]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=120)

    def start(self) -> None:
        self.call("pg_ctl", "-w", "-D", str(self.data), "-l", str(self.data / "log"), "start")

    def stop(self) -> None:
        """End it at once, with all connections."""
        self.call("pg_ctl", "-w", "-D", str(self.data), "-m", "immediate", "stop")


@contextmanager
def running_server() -> Iterator[Server]:
    """A server in a folder that its user can reach, unlike those of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            yield server
        finally:
            server.stop()
