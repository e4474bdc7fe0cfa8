"""Draw a digit in the browser and see, as you draw, what the model takes it for.

Example: python tools/draw.py
         python tools/draw.py --model models/cnn.onnx

A server on this machine answers, rather than a model inside the page: so one
implementation converts drawings to the MNIST format, the answers are those of
tools/predict.py, and drawings can be saved. Ctrl-C ends it, with status 0.
"""

import errno
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from command import Parser, run_command
from digits.foundation.stage import UserError
from handwriting.recognizer import MODEL, Recognizer
from handwriting.server import DRAWINGS, DrawServer

PORTS = range(8000, 8020)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FILE", help="use this ONNX file (default: models/model.onnx)"
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"listen on this port, 0 for any (default: the first free one from {PORTS[0]})",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen on this IPv4 address; with 0.0.0.0, others can reach the page (default: %(default)s)",
    )
    parser.add_argument(
        "--drawings",
        type=Path,
        default=DRAWINGS,
        metavar="FOLDER",
        help="save drawings to this folder (default: data/drawings)",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    arguments = parser.parse_args()
    if arguments.drawings.exists() and not arguments.drawings.is_dir():
        parser.error(f"--drawings: must be a folder, got {arguments.drawings}")
    recognizer = Recognizer(arguments.model)
    with listen(arguments.host, arguments.port, recognizer, arguments.drawings.resolve()) as server:
        print(recognizer.introduction())
        if not server.local:
            print(f"Others in your network open http://ADDRESS:{server.server_port}/, and can save drawings;")
            print("ADDRESS is the IP address of this machine.")
        print(f"Draw at {server.url} (Ctrl-C ends it)", flush=True)
        if not arguments.no_browser:  # in a thread, since a browser in the terminal would block the server
            threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
        server.answering.acquire(timeout=5)
    print()  # after the ^C of the terminal


def listen(host: str, port: int | None, recognizer: Recognizer, drawings: Path) -> DrawServer:
    """A server on this port, or, if there is none, on the first that is free.

    Raises:
        UserError: the port is taken, or the address does not belong to this machine.
    """
    for candidate in PORTS if port is None else [port]:
        try:
            return DrawServer((host, candidate), recognizer, drawings)
        except (OSError, OverflowError) as error:
            problem = error
            if getattr(error, "errno", None) != errno.EADDRINUSE:
                break
    raise UserError(f"{host}:{candidate}: cannot listen there, got {problem}; try another --port or --host")


if __name__ == "__main__":
    run_command(main)
