"""Fetching from folders and from real local HTTP and HTTPS servers that misbehave."""

import hashlib
import os
import shutil
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

from digits.data import http_request, mirrors
from digits.data.mirrors import fetch, missing_archives
from digits.foundation.stage import UserError

import pytest
import trustme

CONTENT = {"small.gz": b"s" * 100, "large.gz": b"l" * 300_000}
BROKEN = "no connection, or it was lost"
WRONG = "not the published archive, SHA-256 differs"
# No folder can be closed to root, as which containers often run; for everybody else the test runs.
UNLESS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
FOREVER = 20.0  # seconds, far more than any of these tests allows
HASHES = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def sized(body: bytes, size: int) -> bytes:
    return head(f"Content-Length: {size}") + body


def to(location: str) -> bytes:
    return head(f"Location: {location}", status="302 Found")


def trickle(start: bytes, pieces: Iterable[bytes] = (b"0",) * 400, pause: float = 0.05) -> Iterator[bytes | float]:
    """Send piece after piece, always sooner than a socket times out; on and on, unless they are named."""
    yield start
    for piece in pieces:
        yield from (piece, pause)


def flood(start: bytes) -> Iterable[bytes]:
    """A gibibyte, which stands for a body without end."""
    return chain([start], repeat(b"x" * 2**16, 2**14))


# What a server does with the data that it should send: it sends bytes, waits for a number of seconds, and hangs up.
Way = Callable[[bytes], Iterable[bytes | float]]
CHUNKED = head("Transfer-Encoding: chunked")
GOOD: dict[str, Way] = {
    "good": lambda data: [sized(data, len(data))],
    "chunked": lambda data: [CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)],
    "no-size": lambda data: [head(), data],
    "size-no-number": lambda data: [head("Content-Length: some"), data],
    "redirect": lambda data: trickle(to("/good/small.gz" if data == CONTENT["small.gz"] else "/good/large.gz")),
}
FAULTS: dict[str, tuple[Way, str]] = {
    "missing": (lambda _: [head(status="404 Not Found")], "HTTP status 404"),
    "broken": (lambda _: [head(status="500 Internal Server Error")], "HTTP status 500"),
    "html": (lambda _: [head(), b"<html>log in</html>"], WRONG),
    "empty": (lambda _: [sized(b"", 0)], WRONG),
    "other-bytes": (lambda data: [sized(b"x" * len(data), len(data))], WRONG),
    "cut-off": (lambda data: [sized(data[:-50], len(data))], BROKEN),
    "cut-off-chunk": (lambda data: [CHUNKED, b"%x\r\n" % len(data), data[:-50]], BROKEN),
    "size-too-small": (lambda data: [sized(data, len(data) - 1)], WRONG),
    "size-too-large": (lambda data: [sized(data, len(data) + 1)], BROKEN),
    "hangs-up": (lambda _: [], BROKEN),
    "not-http": (lambda _: [b"\0\xff\r\n\r\n"], BROKEN),
    "no-chunks": (lambda data: [CHUNKED, data], BROKEN),
    "redirect-loop": (lambda _: [to("/redirect-loop/large.gz")], "too many redirects"),
    "redirect-to-404": (lambda _: [to("/missing/large.gz")], "HTTP status 404"),
    "redirect-to-file": (lambda _: [to("file:///etc/hostname")], "redirects to a URL that is not HTTP"),
    "redirect-to-nonsense": (lambda _: [to("http://[/")], BROKEN),
    "redirect-flood": (lambda _: flood(to("/missing/large.gz")), "HTTP status 404"),
    "flood": (lambda _: flood(head()), WRONG),
    "silence": (lambda _: [FOREVER], "stalled"),
    "stall": (lambda data: [sized(data[:-50], len(data)), FOREVER], "stalled"),
    "trickled-head": (lambda _: trickle(b"HTTP/1.1 200 OK\r\nServer: "), "stalled"),
    "trickled-body": (lambda _: trickle(head()), "stalled"),
    "trickled-chunk-size": (lambda _: trickle(CHUNKED), "stalled"),
    "trickled-end": (lambda data: trickle(sized(data[:-1000], len(data))), "stalled"),
}
SLOW: dict[str, Way] = {"slow": lambda data: trickle(head(), [data[i::10] for i in range(10)], 0.1)}
WAYS = GOOD | SLOW | {way: send for way, (send, _) in FAULTS.items()}


class Handler(BaseHTTPRequestHandler):
    """Answers /WAY/large.gz in that way, and /WAY/small.gz well; /always/WAY/NAME fails from the first request on."""

    def do_GET(self) -> None:
        *always, way, name = self.path[1:].split("/")
        way = way if always or way in GOOD or name != "small.gz" else "good"
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
def archives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "RESPONSE_SECONDS", 2)
    monkeypatch.setattr(mirrors, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(http_request, "TIMEOUT_SECONDS", (1, 0.5))


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


def only(name: str) -> dict[str, str]:
    return {name: HASHES[name]}


def content(cache: Path) -> dict[str, bytes]:
    """All that is in the cache, temporary files too."""
    return {path.name: path.read_bytes() for path in cache.iterdir() if path.name != ".lock"}


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def test_from_a_folder(cache: Path, folder: Path) -> None:
    assert missing_archives(cache, HASHES) == HASHES
    fetch(HASHES, [str(folder)], cache)
    assert missing_archives(cache, HASHES) == {}
    assert content(cache) == CONTENT


@pytest.mark.parametrize("way", GOOD)
def test_from_a_server(cache: Path, server: str, way: str) -> None:
    fetch(HASHES, [f"{server}/{way}/"], cache)
    assert missing_archives(cache, HASHES) == {}
    assert content(cache) == CONTENT


@pytest.mark.parametrize("way", FAULTS)
def test_the_next_mirror_serves_what_one_does_not(
    cache: Path, folder: Path, server: str, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    _, reason = FAULTS[way]
    with within(8), pytest.raises(UserError) as caught:
        fetch(HASHES, [f"{server}/{way}", f"{folder}/nowhere"], cache)
    assert str(caught.value).splitlines() == [
        "download: no mirror delivers large.gz:",
        f"  {server}/{way}: {reason}",
        f"  {folder}/nowhere: no such file",
    ]
    assert content(cache) == {"small.gz": CONTENT["small.gz"]}

    capsys.readouterr()
    with within(8):
        fetch(HASHES, [f"{server}/{way}", str(folder)], cache)
    assert content(cache) == CONTENT
    assert capsys.readouterr().err == f"{server}/{way}/large.gz: {reason}; trying the next mirror\n"


def test_mirrors_that_give_no_answer_are_left_out(
    cache: Path, folder: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = {
        "http://127.0.0.1:1": BROKEN,
        server.replace("http", "https"): BROKEN,
        f"{server}/always/hangs-up": BROKEN,
        f"{server}/always/not-http": BROKEN,
        f"{server}/always/redirect-loop": "too many redirects",
        f"{server}/always/redirect-to-file": "redirects to a URL that is not HTTP",
        f"{server}/always/redirect-to-nonsense": BROKEN,
        f"{server}/always/silence": "stalled",
        f"{server}/always/trickled-head": "no response within 2 s",
    }
    with within(8):  # all of them together
        fetch(HASHES, [*silent, str(folder)], cache)
    assert content(cache) == CONTENT
    said = {f"{url}: {reason}; trying the next mirror" for url, reason in silent.items()}
    assert set(capsys.readouterr().err.splitlines()) == said


def test_where_nothing_answers_the_user_knows_soon(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = [
            f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/{name}" for scheme in ("http", "https") for name in "abc"
        ]
        with within(8), pytest.raises(UserError, match=r"c: (stalled|no response within 2 s)"):
            fetch(HASHES, urls, cache)


@pytest.mark.parametrize(
    ("host", "year", "authority_is_known", "said"),
    [
        ("127.0.0.1", 2999, True, ""),
        ("127.0.0.1", 2999, False, "its certificate is not trusted"),
        ("example.org", 2999, True, "its certificate is not trusted"),
        ("127.0.0.1", 2001, True, "its certificate is not trusted"),
    ],
)
def test_a_certificate_is_good_for_its_host_and_time_and_from_a_known_authority(
    cache: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
    year: int,
    authority_is_known: bool,
    said: str,
) -> None:
    authority = trustme.CA()
    if authority_is_known:
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "authority.pem"))
    certificate = authority.issue_cert(host, not_after=datetime(year, 1, 1, tzinfo=UTC))
    with within(8), serving(certificate) as address:
        fetch(HASHES, [f"{address}/good", str(folder)], cache)
    assert content(cache) == CONTENT
    assert capsys.readouterr().err == (said and f"{address}/good: {said}; trying the next mirror\n")


def test_a_mirror_named_twice_or_wrongly(cache: Path, server: str) -> None:
    fetch(HASHES, ["http://a..b", f"{server}/good", f"{server}/good"], cache)
    assert content(cache) == CONTENT


def test_a_slow_mirror_is_given_up_only_below_the_slowest_rate(
    cache: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(only("large.gz"), [f"{server}/slow"], cache)
    assert content(cache) == {"large.gz": CONTENT["large.gz"]}
    monkeypatch.setattr(mirrors, "MIN_BYTES_PER_SECOND", 10**9)
    with pytest.raises(UserError, match=r"slow: stalled"):
        fetch(only("small.gz"), [f"{server}/always/slow"], cache)


def test_a_request_that_was_given_up_soon_ends(cache: Path, server: str) -> None:
    def reads() -> bool:
        return any(f"{server}/trickled-body/" in getattr(thread, "url", "") for thread in threading.enumerate())

    with pytest.raises(UserError, match=r"trickled-body: stalled"):
        fetch(only("large.gz"), [f"{server}/trickled-body"], cache)
    with within(2):
        while reads():
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        (".", Path.touch, "no such file"),
        ("large.gz", lambda _: None, "no such file"),
        ("large.gz", Path.mkdir, "no such file"),
        ("large.gz", os.mkfifo, "no such file"),
        ("large.gz", Path.touch, WRONG),
        pytest.param(".", lambda path: path.mkdir(0), "Permission denied", marks=UNLESS_ROOT),
    ],
)
def test_a_folder_with_something_else_in_its_place_or_in_that_of_an_archive(
    cache: Path, folder: Path, server: str, name: str, make: Callable[[Path], object], reason: str
) -> None:
    replaced = folder / name
    shutil.rmtree(replaced) if replaced.is_dir() else replaced.unlink()
    make(replaced)
    with pytest.raises(UserError, match=rf"\n  {folder}: .*{reason}"):
        fetch(only("large.gz"), [str(folder)], cache)
    assert content(cache) == {}
    fetch(only("large.gz"), [str(folder), f"{server}/good"], cache)
    assert content(cache) == {"large.gz": CONTENT["large.gz"]}


def test_no_mirror_at_all(cache: Path) -> None:
    with pytest.raises(UserError, match="the list of mirrors is empty"):
        fetch(only("small.gz"), [], cache)


def test_what_is_in_the_cache_is_not_fetched_again(cache: Path, folder: Path) -> None:
    fetch(HASHES, [str(folder)], cache)
    fetch(HASHES, [], cache)
    (cache / "small.gz").write_bytes(b"damaged")
    assert list(missing_archives(cache, HASHES)) == ["small.gz"]
