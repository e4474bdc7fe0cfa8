"""Draw a digit in the browser and see, as you draw, what the model takes it for.

Example: python tools/draw.py
         python tools/draw.py --model models/cnn.onnx

A server on this machine answers, rather than a model inside the page: so one
implementation converts drawings to the MNIST format, the answers are those of
tools/predict.py, and drawings can be saved. Ctrl-C ends it, with status 0.
"""

import argparse
import errno
import socket
import threading
import webbrowser
from ipaddress import IPv4Address
from pathlib import Path

from command import Parser, run_command
from digits.foundation.stage import UserError
from handwriting.drawings import Drawings
from handwriting.recognizer import MODEL, Recognizer
from handwriting.server import DRAWINGS, make_app, serve

PORTS = range(8000, 8020)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, metavar="ONNX", help="file (default: models/model.onnx)")
    parser.add_argument("--port", type=port_number, metavar="N", help="0 for any (default: a free one from 8000)")
    everybody = "IPv4 address to listen on; with 0.0.0.0, others can reach the page (default: %(default)s)"
    parser.add_argument("--host", type=address, default="127.0.0.1", metavar="ADDRESS", help=everybody)
    place = "save drawings here (default: data/drawings)"
    parser.add_argument("--drawings", type=Path, default=DRAWINGS, metavar="FOLDER", help=place)
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    arguments = parser.parse_args()
    recognizer = Recognizer(arguments.model)
    app = make_app(recognizer, Drawings(arguments.drawings.resolve(), recognizer.classes))
    with listen(arguments.host, arguments.port) as listener:
        port = listener.getsockname()[1]
        url = f"http://{'127.0.0.1' if arguments.host.is_unspecified else arguments.host}:{port}/"
        print(recognizer.introduction())
        if not arguments.host.is_loopback:
            print(f"Others in your network open http://ADDRESS:{port}/, and can save drawings;")
            print("ADDRESS is the IP address of this machine.")
        print(f"Draw at {url} (Ctrl-C ends it)", flush=True)
        if not arguments.no_browser:  # in a thread, since a browser in the terminal would block the server
            threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()
        serve(app, listener)
    print()  # after the ^C of the terminal


def address(text: str) -> IPv4Address:
    return IPv4Address("127.0.0.1" if text == "localhost" else text)


def port_number(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**16:
        raise argparse.ArgumentTypeError(f"must be a port, 0 to {2**16 - 1}, got {text}")
    return int(text)


def listen(host: IPv4Address, port: int | None) -> socket.socket:
    """A socket that listens on this port, or, without one, on the first that is free; else raises a `UserError`."""
    for candidate in PORTS if port is None else [port]:
        try:
            return socket.create_server((str(host), candidate))
        except OSError as error:
            problem = error
            if error.errno != errno.EADDRINUSE:
                break
    raise UserError(f"{host}:{candidate}: cannot listen there, got {problem}; try another --port or --host")


if __name__ == "__main__":
    run_command(main)
