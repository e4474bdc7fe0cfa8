"""Fetching from folders and from a real local HTTP server that misbehaves."""

import gc
import hashlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path

import pytest

from digits.foundation.stage import UserError
from digits.sources import mirrors
from digits.sources.mirrors import fetch

CONTENT = {"small.gz": b"s" * 100, "large.gz": b"l" * 300_000}
HASHES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
FOREVER = 20.0  # seconds, far more than any of these tests allows


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def sized(body: bytes, size: int) -> bytes:
    return head(f"Content-Length: {size}") + body


def to(location: str) -> bytes:
    return head(f"Location: {location}", "Connection: close", status="302 Found")


def trickle(start: bytes, pieces: Iterable[bytes] = (b"0",) * 400, pause: float = 0.05) -> Iterator[bytes | float]:
    """Send piece after piece, never too late for a socket; on and on, unless they are named."""
    yield start
    for piece in pieces:
        yield from (piece, pause)


# What a server does with the data that it should send: it sends bytes, waits for a number of seconds, and hangs up.
Way = Callable[[bytes], Iterable[bytes | float]]
CHUNKED = head("Transfer-Encoding: chunked")
GOOD: dict[str, Way] = {
    "good": lambda data: [sized(data, len(data))],
    "chunked": lambda data: [CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)],
    "no-size": lambda data: [head(), data],
    "called-encoded": lambda data: [head("Content-Encoding: gzip"), data],
    "redirect": lambda data: [to("/good/small.gz" if data == CONTENT["small.gz"] else "/good/large.gz")],
    "slow": lambda data: trickle(head(), [data[i::4] for i in range(4)], 0.1),
}
# With what is said about it.
BAD: dict[str, tuple[Way, str]] = {
    "missing": (lambda _: [head(status="404 Not Found")], "404"),
    "html": (lambda _: [head(), b"<html>log in</html>"], "not the published archive, SHA-256 differs"),
    "size-too-small": (lambda data: [sized(data, len(data) - 1)], "SHA-256"),
    "flood": (lambda _: chain([head()], repeat(b"x" * 2**16, 2**14)), "SHA-256"),
    "redirect-loop": (lambda _: [to("/redirect-loop/small.gz")], "redirects"),
    "redirect-to-file": (lambda _: [to("file:///etc/hostname")], "file:///etc/hostname"),
    "redirect-to-nonsense": (lambda _: [to("http://[/")], "Invalid"),
    "cut-off": (lambda data: [sized(data[:-50], len(data))], "50 bytes read, 50 more expected"),
    "cut-off-chunk": (lambda data: [CHUNKED, b"%x\r\n" % len(data), data[:-50]], "IncompleteRead"),
    "hangs-up": (lambda _: [], "Remote end closed connection"),
    "not-http": (lambda _: [b"\0\xff\r\n\r\n"], "BadStatusLine"),
    "no-chunks": (lambda data: [CHUNKED, data], "IncompleteRead"),
    "silence": (lambda _: [FOREVER], "stalled"),
    "stall": (lambda data: [sized(data[:-50], len(data)), FOREVER], "stalled"),
    "trickled-head": (lambda _: trickle(b"HTTP/1.1 200 OK\r\nServer: "), "stalled"),
    "trickled-body": (lambda _: trickle(head()), "stalled"),
    "trickled-chunk-size": (lambda _: trickle(CHUNKED), "stalled"),
}
WAYS = GOOD | {way: send for way, (send, _) in BAD.items()}


class Handler(BaseHTTPRequestHandler):
    """Answers /WAY/large.gz in that way."""

    def do_GET(self) -> None:
        _, way, name = self.path.split("/")
        with suppress(OSError):  # nobody listens any more
            for piece in WAYS[way](CONTENT[name]):
                if isinstance(piece, bytes):
                    self.wfile.write(piece)
                else:
                    time.sleep(piece)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(mirrors, "MAX_BYTES", 2**20)
    monkeypatch.setattr("requests.sessions.DEFAULT_REDIRECT_LIMIT", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that serves as a mirror."""
    (tmp_path / "mirror").mkdir()
    for name, data in CONTENT.items():
        (tmp_path / "mirror" / name).write_bytes(data)
    return tmp_path / "mirror"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def content(cache: Path) -> dict[str, bytes]:
    """All that is in the cache, temporary files too."""
    return {path.name: path.read_bytes() for path in cache.iterdir()}


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def test_from_a_folder_and_then_from_the_cache(cache: Path, folder: Path) -> None:
    assert fetch(HASHES, [str(folder)], cache) == content(cache) == CONTENT
    assert fetch(HASHES, [], cache) == CONTENT
    (cache / "small.gz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"no mirror delivers small.gz: the list of mirrors is empty"):
        fetch(HASHES, [], cache)
    assert fetch(HASHES, [str(folder)], cache) == content(cache) == CONTENT


@pytest.mark.parametrize("way", WAYS)
def test_the_next_mirror_serves_what_one_does_not(
    cache: Path, folder: Path, server: str, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    with within(8):
        assert fetch(HASHES, [f"{server}/{way}/", str(folder)], cache) == content(cache) == CONTENT
    said = capsys.readouterr().err.splitlines()
    assert len(said) == (way in BAD)
    for line in said:
        assert line.startswith(f"{server}/{way}/small.gz: ")
        assert BAD[way][1] in line


def test_if_no_mirror_delivers_the_reason_is_said_for_each(cache: Path, folder: Path, server: str) -> None:
    reasons = {
        server.replace("http", "https"): "SSL",
        "http://127.0.0.1:1": "Connection refused",
        "http://a..b": "",
        f"{folder}/nowhere": "No such file or directory",
        f"{folder}/pipe": "not a regular file",
        f"{server}/missing": "404 Client Error",
    }
    (folder / "large.gz").unlink()
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe/large.gz")
    with within(8), pytest.raises(UserError) as caught:
        fetch(HASHES, [str(folder), *reasons], cache)
    title, *lines = str(caught.value).splitlines()
    assert title == "download: no mirror delivers large.gz:"
    assert lines[0] == f"  {folder}/large.gz: No such file or directory"
    for line, (mirror, reason) in zip(lines[1:], reasons.items(), strict=True):
        assert line.startswith(f"  {mirror}/large.gz: ")
        assert reason in line
    assert content(cache) == {"small.gz": CONTENT["small.gz"]}


def test_a_mirror_below_the_slowest_rate_is_given_up(cache: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "MIN_BYTES_PER_SECOND", 10**9)
    monkeypatch.setattr(mirrors, "STALL_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"slow/small.gz: stalled"):
        fetch(HASHES, [f"{server}/slow"], cache)


@pytest.mark.parametrize("mirror", ["http://{user}@{host}/missing", "http://{user}@/", "https://{user}@a..b"])
@pytest.mark.parametrize("password", ["s3cret", "s3/s3", "s3@s3", "s3 s3"])
def test_no_password_is_printed(
    cache: Path, server: str, capsys: pytest.CaptureFixture[str], mirror: str, password: str
) -> None:
    address = mirror.format(user=f"user:{password}", host=server.removeprefix("http://"))
    with pytest.raises(UserError) as caught:
        fetch(HASHES, [address], cache)
    assert "s3" not in f"{caught.value}{capsys.readouterr()}"
    assert "//user" not in str(caught.value)


def test_ctrl_c_ends_even_a_lookup_and_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(FOREVER)

    monkeypatch.setattr(mirrors, "STALL_SECONDS", FOREVER)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    gc.disable()  # Python loses an interrupt that comes while the collector runs, which has much to do among tests
    try:
        with within(5), pytest.raises(KeyboardInterrupt):
            fetch(HASHES, ["http://example.org"], cache)
    finally:
        gc.enable()
    assert not cache.exists()


def test_a_cache_that_cannot_be_used_is_left_out(cache: Path, folder: Path) -> None:
    cache.touch()
    assert fetch(HASHES, [str(folder)], cache) == CONTENT
    cache.unlink()
    for name in HASHES:
        (cache / name).mkdir(parents=True)
    assert fetch(HASHES, [str(folder)], cache) == CONTENT
