"""Draw a digit in the browser and see, while drawing, what the model takes it for.

A server on this machine answers, and not a model inside the page, so that a single implementation brings drawings to
MNIST's form, the numbers are those of tools/predict.py, and drawings can be saved.
Command: python tools/draw.py [--model FILE] [--port N] [--host ADDRESS] [--drawings FOLDER] [--no-browser]
"""

import errno
import sys
import threading
import webbrowser
from pathlib import Path

from foundation.command import ROOT, Parser, run_command
from handwriting.recognizer import MODEL, Recognizer
from handwriting.server import DrawServer

PORTS = range(8000, 8020)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="ONNX file, if not models/model.onnx")
    parser.add_argument("--port", type=int, help=f"0 for any; if not given, the first free one from {PORTS[0]} on")
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address to listen on, if others may reach the page")
    parser.add_argument("--drawings", type=Path, default=ROOT / "data/drawings", help="folder, if not data/drawings")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    arguments = parser.parse_args()
    recognizer = Recognizer(arguments.model)
    with listen(arguments.host, arguments.port, recognizer, arguments.drawings.resolve()) as server:
        print(recognizer.introduction())
        if not server.local:
            print(f"Everybody in your network can open port {server.server_port} of this machine and save drawings.")
        print(f"Draw at {server.url} (Ctrl-C ends it)", flush=True)
        if not arguments.no_browser:  # in a thread, since a browser in the terminal would keep the server from starting
            threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
        server.serve_forever()


def listen(host: str, port: int | None, recognizer: Recognizer, drawings: Path) -> DrawServer:
    """A server on that port, or, without one, on the first that is free.

    Raises:
        SystemExit: the port is taken, or the address is not this machine's.
    """
    for candidate in PORTS if port is None else [port]:
        try:
            return DrawServer((host, candidate), recognizer, drawings)
        except (OSError, OverflowError) as error:
            problem = error
            if getattr(error, "errno", None) != errno.EADDRINUSE:
                break
    sys.exit(f"error: {host}:{candidate}: nothing can listen there, got {problem}; try another --port or --host")


if __name__ == "__main__":
    run_command(main)
