"""The server behind tools/draw.py: its page, the model's answers to drawings, and a place to save them."""

import html
import ipaddress
import json
import re
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from handwriting.drawings import answer, read_png, save
from handwriting.pictures import NoPictureError
from handwriting.recognizer import Recognizer

PAGE = Path(__file__).with_name("page.html")
METHODS = {"/": "GET", "/answer": "POST", **{f"/drawings/{digit}": "POST" for digit in range(10)}}
MAX_BYTES = 1_000_000
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DrawServer(ThreadingHTTPServer):
    """Listens at once; `serve_forever` answers.

    Args:
        address: host and port, 0 for any.
        recognizer: the model that answers.
        drawings: a folder, made when the first drawing is saved.

    Raises:
        OSError, OverflowError: nothing can listen there.
    """

    def __init__(self, address: tuple[str, int], recognizer: Recognizer, drawings: Path) -> None:
        super().__init__(address, Handler)
        self.recognizer, self.drawings = recognizer, drawings
        listening = ipaddress.ip_address(str(self.server_address[0]))
        self.local = listening.is_loopback
        # What browsers of this machine put into the header Host.
        host = "127.0.0.1" if listening.is_unspecified else str(listening)
        self.names = {f"{name}:{self.server_port}".removesuffix(":80") for name in (host, "localhost")}
        self.url = f"http://{host}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where only the browser has gone away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RefusalError(Exception):
    """The request cannot be answered; carries the HTTP status and the problem."""


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: DrawServer
    protocol_version = "HTTP/1.1"  # many answers by one connection
    disable_nagle_algorithm = True  # it would hold back an answer until the browser acknowledges its header
    timeout = 60

    def respond(self) -> None:
        try:
            body = self.read_body()  # also of what is refused: the next request comes after it
            self.check()
            if self.path == "/":
                self.send_page()
            else:
                self.send(HTTPStatus.OK, self.result(body))
        except RefusalError as refusal:
            status, problem = refusal.args
            self.send(status, {"problem": problem})
        except OSError:  # the browser has gone away: nobody is there to be told
            raise
        except Exception:  # a bug: the page is told, and `handle_error` shows it in the terminal
            self.send(HTTPStatus.INTERNAL_SERVER_ERROR, {"problem": "a bug in the server; its terminal shows it"})
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
        raise RefusalError(HTTPStatus.LENGTH_REQUIRED, "Content-Length has to say how many bytes there are")

    def check(self) -> None:
        """Refuse what the page does not ask for."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        # Another site can let its own name lead to this machine, and would then be allowed to read what comes back.
        if host not in self.server.names and (self.server.local or not re.fullmatch(r"[0-9.]+(:[0-9]+)?", str(host))):
            raise RefusalError(HTTPStatus.FORBIDDEN, f"Host has to be that of {self.server.url}, got {host}")
        if self.command == "POST" and origin not in (None, f"http://{host}"):
            raise RefusalError(HTTPStatus.FORBIDDEN, f"Origin has to be this page's, got {origin}")
        method = METHODS.get(self.path)
        if method is None:
            raise RefusalError(HTTPStatus.NOT_FOUND, "there is no such page")
        if method != self.command:
            raise RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, f"the method has to be {method}, got {self.command}")

    def send_page(self) -> None:
        nonce = secrets.token_urlsafe()
        lines = html.escape(self.server.recognizer.introduction()).splitlines()
        about = re.sub("`(.+?)`", r"<code>\1</code>", "\n".join(f"<span>{line}</span>" for line in lines))
        page = PAGE.read_text(encoding="utf-8").replace("{nonce}", nonce).replace("{introduction}", about)
        self.send(HTTPStatus.OK, page, **{"Content-Security-Policy": POLICY.format(nonce=nonce)})

    def result(self, png: bytes) -> dict[str, Any]:
        """Where a drawing has been saved, or what the model takes it for."""
        try:
            image = read_png(png)
        except NoPictureError as error:
            raise RefusalError(HTTPStatus.BAD_REQUEST, str(error))
        if self.path == "/answer":
            return answer(self.server.recognizer, image)
        try:
            return {"saved": str(save(self.server.drawings, self.path[-1], png))}
        except OSError as error:
            problem = f"{self.server.drawings}: cannot be written, got {error.strerror}"
            raise RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, problem)

    def send(self, status: HTTPStatus, content: str | dict[str, Any], **headers: str) -> None:
        """Send a page, or an object as JSON."""
        kind, text = ("text/html", content) if isinstance(content, str) else ("application/json", json.dumps(content))
        body = text.encode()
        headers |= {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        headers |= {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = METHODS[self.path]
        if self.close_connection:
            headers["Connection"] = "close"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: there are many requests a second."""
