"""Fetching from folders and from real local HTTP and HTTPS servers that misbehave."""

import hashlib
import os
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path

import pytest
import trustme

from digits.foundation.stage import UserError
from digits.sources import mirrors
from digits.sources.mirrors import fetch, missing_archives

CONTENT = {"small.gz": b"s" * 100, "large.gz": b"l" * 300_000}
HASHES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
BROKEN = "no connection, or it was lost"
WRONG = "not the published archive, SHA-256 differs"
# No folder can be closed to root, as which containers often run; for everybody else the test runs.
UNLESS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
FOREVER = 20.0  # seconds, far more than any of these tests allows


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def sized(body: bytes, size: int) -> bytes:
    return head(f"Content-Length: {size}") + body


def to(location: str) -> bytes:
    return head(f"Location: {location}", "Connection: close", status="302 Found")


def trickle(start: bytes, pieces: Iterable[bytes] = (b"0",) * 400, pause: float = 0.05) -> Iterator[bytes | float]:
    """Send piece after piece, always sooner than a socket times out; on and on, unless they are named."""
    yield start
    for piece in pieces:
        yield from (piece, pause)


# What a server does with the data that it should send: it sends bytes, waits for a number of seconds, and hangs up.
Way = Callable[[bytes], Iterable[bytes | float]]
CHUNKED = head("Transfer-Encoding: chunked")
LOST = iter([True])
GOOD: dict[str, Way] = {
    "good": lambda data: [sized(data, len(data))],
    "chunked": lambda data: [CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)],
    "no-size": lambda data: [head(), data],
    "called-encoded": lambda data: [head("Content-Encoding: gzip"), data],
    "redirect": lambda data: [to("/good/small.gz" if data == CONTENT["small.gz"] else "/good/large.gz")],
    "slow": lambda data: trickle(head(), [data[i::4] for i in range(4)], 0.1),
    "lost-once": lambda data: [] if next(LOST, False) else [sized(data, len(data))],
}
# With what is said about it.
FAULTS: dict[str, tuple[Way, str]] = {
    "missing": (lambda _: [head(status="404 Not Found")], "HTTP status 404"),
    "html": (lambda _: [head(), b"<html>log in</html>"], WRONG),
    "size-too-small": (lambda data: [sized(data, len(data) - 1)], WRONG),
    "flood": (lambda _: chain([head()], repeat(b"x" * 2**16, 2**14)), WRONG),
    "redirect-loop": (lambda _: [to("/redirect-loop/large.gz")], "redirects"),
    "redirect-to-file": (lambda _: [to("file:///etc/hostname")], "file:///etc/hostname"),
}
UNREACHABLE: dict[str, tuple[Way, str]] = {
    "cut-off": (lambda data: [sized(data[:-50], len(data))], BROKEN),
    "cut-off-chunk": (lambda data: [CHUNKED, b"%x\r\n" % len(data), data[:-50]], BROKEN),
    "hangs-up": (lambda _: [], BROKEN),
    "not-http": (lambda _: [b"\0\xff\r\n\r\n"], BROKEN),
    "no-chunks": (lambda data: [CHUNKED, data], BROKEN),
    "redirect-to-nonsense": (lambda _: [to("http://[/")], BROKEN),
    "silence": (lambda _: [FOREVER], "stalled"),
    "stall": (lambda data: [sized(data[:-50], len(data)), FOREVER], "stalled"),
    "trickled-head": (lambda _: trickle(b"HTTP/1.1 200 OK\r\nServer: "), "stalled"),
    "trickled-body": (lambda _: trickle(head()), "stalled"),
    "trickled-chunk-size": (lambda _: trickle(CHUNKED), "stalled"),
}
WAYS = GOOD | {way: send for way, (send, _) in (FAULTS | UNREACHABLE).items()}


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


@contextmanager
def serving(certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """Run a server, with HTTPS if it has a certificate; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        threading.Thread(target=http.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield f"http{'s' if certificate else ''}://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "STALL_SECONDS", 1)
    monkeypatch.setattr(mirrors, "TIMEOUT_SECONDS", (1, 1))
    monkeypatch.setattr(mirrors, "MAX_BYTES", 2**20)
    monkeypatch.setattr(mirrors, "RETRIES", 0)
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
    assert missing_archives(cache, HASHES) == HASHES
    fetch(HASHES, [str(folder)], cache)
    assert content(cache) == CONTENT
    fetch(HASHES, [], cache)
    (cache / "small.gz").write_bytes(b"damaged")
    assert list(missing_archives(cache, HASHES)) == ["small.gz"]
    with pytest.raises(UserError, match="the list of mirrors is empty"):
        fetch(HASHES, [], cache)


@pytest.mark.parametrize("way", GOOD)
def test_from_a_server(cache: Path, server: str, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(mirrors, "RETRIES", 1)
    fetch(HASHES, [f"{server}/{way}/"], cache)
    assert content(cache) == CONTENT


@pytest.mark.parametrize("way", [*FAULTS, *UNREACHABLE])
def test_the_next_mirror_serves_what_one_does_not(
    cache: Path, folder: Path, server: str, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    """One that cannot be reached is asked once, the others for each archive."""
    with within(8):
        fetch(HASHES, [f"{server}/{way}", f"{server}/{way}", str(folder)], cache)
    assert content(cache) == CONTENT
    said = capsys.readouterr().err.splitlines()
    reason = (FAULTS | UNREACHABLE)[way][1]
    assert all(reason in line for line in said)
    assert [line.split(": ")[0] for line in said] == [
        f"{server}/{way}/{name}" for name in [*CONTENT][: 1 if way in UNREACHABLE else 2]
    ]


def test_if_no_mirror_delivers_the_reason_is_said_for_each(cache: Path, folder: Path, server: str) -> None:
    reasons = {
        f"{server}/hangs-up": BROKEN,
        server.replace("http", "https"): BROKEN,
        "http://127.0.0.1:1": BROKEN,
        "http://a..b": BROKEN,
        f"{folder}/nowhere": "no such file",
        f"file://{folder}": "neither a folder nor a URL that begins with http:// or https://",
        f"{server}/missing": "HTTP status 404",
    }
    (folder / "large.gz").unlink()
    with within(8), pytest.raises(UserError) as caught:
        fetch(HASHES, [*reasons, str(folder)], cache)
    expected = [f"  {mirror}: {reason}" for mirror, reason in reasons.items()]
    assert str(caught.value).splitlines() == [
        "download: no mirror delivers large.gz:",
        *expected,
        f"  {folder}: no such file",
    ]
    assert content(cache) == {"small.gz": CONTENT["small.gz"]}


def test_a_slow_mirror_is_given_up_below_the_slowest_rate(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "MIN_BYTES_PER_SECOND", 10**9)
    monkeypatch.setattr(mirrors, "STALL_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"slow: stalled"):
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
    monkeypatch.setattr(mirrors, "STALL_SECONDS", FOREVER)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(FOREVER))
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with within(5), pytest.raises(KeyboardInterrupt):
        fetch(HASHES, ["http://example.org"], cache)
    assert content(cache) == {}


@pytest.mark.parametrize(
    ("host", "year", "known", "said"),
    [
        ("127.0.0.1", 2999, "authority.pem", ""),
        ("127.0.0.1", 2999, "other.pem", "its certificate is not trusted"),
        ("example.org", 2999, "authority.pem", "its certificate is not trusted"),
        ("127.0.0.1", 2001, "authority.pem", "its certificate is not trusted"),
        ("127.0.0.1", 2999, "nothing.pem", "nothing.pem"),
    ],
)
def test_a_certificate_is_good_for_its_host_and_time_and_from_a_known_authority(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, host: str, year: int, known: str, said: str
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / known))
    certificate = authority.issue_cert(host, not_after=datetime(year, 1, 1, tzinfo=UTC))
    with within(8), serving(certificate) as address:
        if said:
            with pytest.raises(UserError, match=said):
                fetch(HASHES, [f"{address}/good"], cache)
        else:
            fetch(HASHES, [f"{address}/good"], cache)
    assert content(cache) == ({} if said else CONTENT)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        (".", Path.touch, "no such file"),
        ("large.gz", Path.mkdir, "no such file"),
        ("large.gz", os.mkfifo, "no such file"),
        ("large.gz", Path.touch, WRONG),
        pytest.param(".", lambda path: path.mkdir(0), "Permission denied", marks=UNLESS_ROOT),
    ],
)
def test_a_folder_with_something_else_in_its_place_or_in_that_of_an_archive(
    cache: Path, folder: Path, name: str, make: Callable[[Path], object], reason: str
) -> None:
    replaced = folder / name
    shutil.rmtree(replaced) if replaced.is_dir() else replaced.unlink()
    make(replaced)
    with pytest.raises(UserError, match=rf"\n  {folder}: {reason}"):
        fetch(HASHES, [str(folder)], cache)
    assert "large.gz" not in content(cache)


@UNLESS_ROOT
def test_a_cache_that_cannot_be_written_is_named(cache: Path, folder: Path) -> None:
    cache.mkdir(0o500)
    with pytest.raises(PermissionError) as caught:
        fetch(HASHES, [str(folder)], cache)
    assert Path(caught.value.filename).parent == cache
