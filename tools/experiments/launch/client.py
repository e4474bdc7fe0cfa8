"""A stand-in for `python` that has a server run the script, with the same arguments, folder, environment and files.

It starts as fast as Python can, so it imports little. Command: python client.py ADDRESS SCRIPT [ARGUMENT ...]
"""

import json
import os
import signal
import socket
import sys


def main() -> None:
    address, *arguments = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
        except OSError:  # the server has ended
            os.execv(sys.executable, [sys.executable, *arguments])
        folder = os.getcwd()  # noqa: PTH109 - pathlib takes as long to import as all the rest
        request = json.dumps([arguments, folder, dict(os.environ)]).encode()
        try:
            socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
            server.sendall(request)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda number, _: server.sendall(bytes([number])))
            status = server.recv(1)
        except ConnectionError:  # the server has ended without reading all of it
            status = b""
        sys.exit(status[0] if status else "error: server.py: has ended before what it ran; run the same command again")


if __name__ == "__main__":
    main()
