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

from command import ROOT
from digits import dataset
from digits.pictures.files import NoPictureError
from handwriting.drawings import Drawings, answer, read_png
from handwriting.recognizer import Recognizer

PAGE = Path(__file__).with_name("page.html")
DRAWINGS = ROOT / dataset.DRAWINGS  # which the pipeline reads
MAX_BYTES = 1_000_000
MAX_CONNECTIONS = 100  # each takes a file descriptor, of which macOS gives 256
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
        self.free = threading.Semaphore(MAX_CONNECTIONS)
        self.answering = threading.Lock()  # held by whoever ends Python, which aborts if a thread is in OpenCV then
        listening = ipaddress.ip_address(str(self.server_address[0]))
        self.local = listening.is_loopback
        host = "127.0.0.1" if listening.is_unspecified else str(listening)
        self.url = f"http://{host}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer the requests of a connection in a thread; wait for another one to end if there are many."""
        self.free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What that thread does."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

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
        try:
            body = self.read_body()  # even if refused, since the next request follows it
            self.check_sender()
            path = unquote(self.path)
            if (self.command, path) == ("GET", "/"):
                self.send_page()
            elif self.command == "POST":
                self.send(HTTPStatus.OK, self.result(path, body))
            else:
                raise RefusalError(HTTPStatus.NOT_FOUND, "no such page")
        except RefusalError as refusal:
            status, problem = refusal.args
            self.send(status, {"problem": problem})
        except OSError:  # the browser has closed the connection
            raise
        except Exception:  # a bug: tell the page, and let `handle_error` print it
            self.send(HTTPStatus.INTERNAL_SERVER_ERROR, {"problem": "the server has a bug; see its terminal"})
            raise

    do_GET = do_POST = respond  # noqa: N815 - the names that http.server looks for

    def read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "" if self.command == "POST" else "0")
        if re.fullmatch("[0-9]{1,20}", length) and int(length) <= MAX_BYTES:
            return self.rfile.read(int(length))
        self.close_connection = True
        if re.fullmatch("[0-9]+", length):
            raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"must be at most {MAX_BYTES:,} bytes")
        raise RefusalError(HTTPStatus.LENGTH_REQUIRED, "Content-Length must give the number of bytes")

    def check_sender(self) -> None:
        """Refuse the requests of other pages."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        # By DNS rebinding, another site could point its own name at this machine and be allowed to read the answers.
        # Addresses are no names, and ports do not matter: one may be forwarded, by `ssh -L` for example.
        if not re.fullmatch(r"(localhost|[0-9.]+)(:[0-9]+)?", host):
            raise RefusalError(HTTPStatus.FORBIDDEN, f"Host must be localhost or an IP address, got {host}")
        if self.command == "POST" and origin not in (None, f"http://{host}"):
            raise RefusalError(HTTPStatus.FORBIDDEN, f"Origin must be this page's, got {origin}")

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

    def result(self, path: str, body: bytes) -> dict[str, Any]:
        """What the model takes a drawing for, where it was saved, or as what it was before."""
        drawings = self.server.drawings
        name = path.removeprefix("/drawings/")
        try:
            if path == "/undo":
                return {"label": drawings.undo(body.decode(errors="replace")), "count": drawings.count()}
            if path == "/answer":
                image = read_png(body)
                with self.server.answering:
                    return answer(self.server.recognizer, image)
            if name in drawings.classes and name != path:
                read_png(body)
                return {"saved": str(drawings.save(name, body)), "count": drawings.count()}
        except NoPictureError as error:
            raise RefusalError(HTTPStatus.BAD_REQUEST, str(error))
        except KeyError:
            raise RefusalError(HTTPStatus.CONFLICT, "there is no such save to undo")
        except OSError as error:
            problem = f"{drawings.folder}: cannot be written, got {error.strerror}"
            raise RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, problem)
        raise RefusalError(HTTPStatus.NOT_FOUND, "the model has no such class; load this page again")

    def send(self, status: HTTPStatus, content: str | dict[str, Any], **headers: str) -> None:
        """Send a page, or an object as JSON."""
        kind, text = ("text/html", content) if isinstance(content, str) else ("application/json", json.dumps(content))
        body = text.encode()
        headers |= {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        headers |= {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        if self.close_connection:
            headers["Connection"] = "close"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent: there are many requests per second."""
