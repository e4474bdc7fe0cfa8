"""The server of tools/draw.py: sends the page, answers drawings, saves them, and undoes that."""

import html
import ipaddress
import json
import re
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from digits.pictures.files import NoPictureError
from foundation.command import ROOT
from handwriting.drawings import Drawings, answer, read_png
from handwriting.recognizer import Recognizer

PAGE = Path(__file__).with_name("page.html")
DRAWINGS = ROOT / "data/drawings"  # which the pipeline reads
METHODS = {"/": "GET", "/answer": "POST", "/undo": "POST"}  # and POST for /drawings/ with the name of a class
MAX_BYTES = 1_000_000
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DrawServer(ThreadingHTTPServer):
    """Listens as soon as it is made; `serve_forever` answers.

    Args:
        address: host and port, 0 for any.
        recognizer: the model that answers.
        drawings: the folder for saved drawings.

    Raises:
        OSError, OverflowError: nothing can listen there.
    """

    def __init__(self, address: tuple[str, int], recognizer: Recognizer, drawings: Path) -> None:
        super().__init__(address, Handler)
        self.recognizer, self.drawings = recognizer, Drawings(drawings, recognizer.classes)
        self.methods = METHODS | {f"/drawings/{name}": "POST" for name in recognizer.classes}
        self.answering = threading.Lock()  # held by whoever ends Python, which aborts if a thread is in OpenCV then
        listening = ipaddress.ip_address(str(self.server_address[0]))
        self.local = listening.is_loopback
        # The header Host as browsers of this machine send it.
        host = "127.0.0.1" if listening.is_unspecified else str(listening)
        self.names = {f"{name}:{self.server_port}".removesuffix(":80") for name in (host, "localhost")}
        self.url = f"http://{host}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent if the browser has only closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RefusalError(Exception):
    """A request that is refused, with the HTTP status and the reason."""


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: DrawServer
    protocol_version = "HTTP/1.1"  # one connection for many requests
    disable_nagle_algorithm = True  # it would delay each answer until its header is acknowledged
    timeout = 60

    def respond(self) -> None:
        self.path = unquote(self.path)
        try:
            body = self.read_body()  # even if refused, since the next request follows it
            self.check()
            if self.path == "/":
                self.send_page()
            else:
                self.send(HTTPStatus.OK, self.result(body))
        except RefusalError as refusal:
            status, problem = refusal.args
            self.send(status, {"problem": problem})
        except OSError:  # the browser has closed the connection
            raise
        except Exception:  # a bug: tell the page, and let `handle_error` print it
            self.send(HTTPStatus.INTERNAL_SERVER_ERROR, {"problem": "the server has a bug; see its terminal"})
            raise

    # The names that http.server looks for.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = respond  # noqa: N815

    def read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "" if self.command == "POST" else "0")
        if re.fullmatch("[0-9]{1,20}", length) and int(length) <= MAX_BYTES:
            return self.rfile.read(int(length))
        self.close_connection = True
        if re.fullmatch("[0-9]+", length):
            raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"has to be at most {MAX_BYTES:,} bytes")
        raise RefusalError(HTTPStatus.LENGTH_REQUIRED, "Content-Length has to give the number of bytes")

    def check(self) -> None:
        """Refuse requests that the page does not make."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        # By DNS rebinding, another site could point its own name at this machine and be allowed to read the answers.
        if host not in self.server.names and (self.server.local or not re.fullmatch(r"[0-9.]+(:[0-9]+)?", str(host))):
            wanted = f"that of {self.server.url}" if self.server.local else "this machine's IP address"
            raise RefusalError(HTTPStatus.FORBIDDEN, f"Host has to be {wanted}, got {host}")
        if self.command == "POST" and origin not in (None, f"http://{host}"):
            raise RefusalError(HTTPStatus.FORBIDDEN, f"Origin has to be this page's, got {origin}")
        method = self.server.methods.get(self.path)
        if method is None:
            is_class = self.path.startswith("/drawings/")
            problem = "the model has no such class; load this page again" if is_class else "no such page"
            raise RefusalError(HTTPStatus.NOT_FOUND, problem)
        if method != self.command:
            raise RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, f"the method has to be {method}, got {self.command}")

    def send_page(self) -> None:
        nonce = secrets.token_urlsafe()
        lines = html.escape(self.server.recognizer.introduction()).splitlines()
        about = re.sub("`(.+?)`", r"<code>\1</code>", "\n".join(f"<span>{line}</span>" for line in lines))
        page = PAGE.read_text(encoding="utf-8").replace("{nonce}", nonce).replace("{introduction}", about)
        drawings = self.server.drawings
        page = page.replace("{count}", str(drawings.count()))
        page = page.replace("{teach}", "" if drawings.folder == DRAWINGS else "hidden")
        # In a script, "</script>" would end it.
        page = page.replace("{classes}", json.dumps(drawings.classes).replace("<", r"\u003c"))
        self.send(HTTPStatus.OK, page, **{"Content-Security-Policy": POLICY.format(nonce=nonce)})

    def result(self, body: bytes) -> dict[str, Any]:
        """What the model takes a drawing for, where it was saved, or as what it was before."""
        if self.path == "/undo":
            return self.change_drawings(body)
        try:
            image = read_png(body)
        except NoPictureError as error:
            raise RefusalError(HTTPStatus.BAD_REQUEST, str(error))
        if self.path != "/answer":
            return self.change_drawings(body)
        with self.server.answering:
            return answer(self.server.recognizer, image)

    def change_drawings(self, body: bytes) -> dict[str, Any]:
        """Save a drawing, or undo the save that the page names by what it got as `saved`."""
        drawings = self.server.drawings
        try:
            if self.path == "/undo":
                result = {"label": drawings.undo(body.decode(errors="replace"))}
            else:
                result = {"saved": str(drawings.save(self.path.removeprefix("/drawings/"), body))}
        except KeyError:
            raise RefusalError(HTTPStatus.CONFLICT, "there is no such save to undo")
        except OSError as error:
            problem = f"{drawings.folder}: cannot be written, got {error.strerror}"
            raise RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, problem)
        return {**result, "count": drawings.count()}

    def send(self, status: HTTPStatus, content: str | dict[str, Any], **headers: str) -> None:
        """Send a page, or an object as JSON."""
        kind, text = ("text/html", content) if isinstance(content, str) else ("application/json", json.dumps(content))
        body = text.encode()
        headers |= {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        headers |= {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = self.server.methods[self.path]
        if self.close_connection:
            headers["Connection"] = "close"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent: there are many requests per second."""
