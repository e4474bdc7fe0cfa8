"""Fetching from folders and from a real local HTTP server that misbehaves."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from digits import mirrors
from digits.mirrors import fetch, missing_archives
from digits.stage import UserError

import pytest

CONTENT = {"small.gz": b"s" * 100, "large.gz": b"l" * 300_000}


@pytest.fixture(autouse=True)
def archives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "ARCHIVES", {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()})
    monkeypatch.setattr(mirrors, "ANSWER_SECONDS", 2)
    monkeypatch.setattr(mirrors, "TIMEOUT_SECONDS", (1, 1))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The first part of a path says how the server answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, way, name = self.path.split("/")
            data = CONTENT[name]
            answers = {"good": data, "html": b"<html>log in</html>", "cut": data[:-50], "wrong": b"x" * len(data)}
            if way == "loop":
                self.send_response(302)
                self.send_header("Location", self.path)
                self.end_headers()
            elif way == "slow":
                self.send_response(200)
                self.end_headers()
                for start in range(0, len(data), len(data) // 10):
                    self.wfile.write(data[start : start + len(data) // 10])
                    time.sleep(0.1)
            elif way in answers:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answers[way] if way != "cut" else data)))
                self.end_headers()
                self.wfile.write(answers[way])
            else:
                self.send_error(int(way))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that serves as a mirror."""
    (tmp_path / "mirror").mkdir()
    for name, data in CONTENT.items():
        (tmp_path / "mirror" / name).write_bytes(data)
    return tmp_path / "mirror"


def test_from_a_folder(tmp_path: Path, folder: Path) -> None:
    assert missing_archives(tmp_path / "cache") == list(CONTENT)
    fetch(list(CONTENT), [str(folder)], tmp_path / "cache")
    assert missing_archives(tmp_path / "cache") == []


def test_from_a_server(tmp_path: Path, server: str) -> None:
    fetch(list(CONTENT), [f"{server}/good/"], tmp_path)
    assert missing_archives(tmp_path) == []


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("404", "HTTP status 404"),
        ("500", "HTTP status 500"),
        ("html", "not the published archive, its SHA-256 differs"),
        ("cut", "no connection, or one that broke off"),
        ("wrong", "not the published archive, its SHA-256 differs"),
        ("loop", "redirects without end"),
    ],
)
def test_the_next_mirror_serves_what_one_does_not(
    tmp_path: Path, folder: Path, server: str, capsys: pytest.CaptureFixture[str], way: str, reason: str
) -> None:
    with pytest.raises(UserError) as caught:
        fetch(["large.gz"], [f"{server}/{way}", str(tmp_path / "nowhere")], tmp_path / "cache")
    assert str(caught.value).splitlines() == [
        "download: no mirror gives large.gz:",
        f"  {server}/{way}: {reason}",
        f"  {tmp_path}/nowhere: no such file",
    ]
    assert not list((tmp_path / "cache").glob("*"))

    fetch(["large.gz"], [f"{server}/{way}", str(folder)], tmp_path / "cache")
    assert (tmp_path / "cache" / "large.gz").read_bytes() == CONTENT["large.gz"]
    assert reason in capsys.readouterr().err


def test_where_nothing_answers_the_user_knows_soon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = [f"http://127.0.0.1:{silent.getsockname()[1]}/{name}" for name in "abc"]
        start = time.monotonic()
        with pytest.raises(UserError, match=r"c: (stalled|no answer within 2 s)"):
            fetch(list(CONTENT), urls, tmp_path)
        assert time.monotonic() - start < 4


def test_a_mirror_named_twice_or_wrongly(tmp_path: Path, server: str) -> None:
    fetch(list(CONTENT), ["http://a..b", f"{server}/good", f"{server}/good"], tmp_path)
    assert missing_archives(tmp_path) == []


def test_a_slow_mirror_is_given_up_only_below_the_slowest_rate(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "TIMEOUT_SECONDS", (1, 0.5))
    fetch(["large.gz"], [f"{server}/slow"], tmp_path)
    assert (tmp_path / "large.gz").read_bytes() == CONTENT["large.gz"]
    monkeypatch.setattr(mirrors, "SLOWEST_BYTES_PER_SECOND", 10**9)
    with pytest.raises(UserError, match=r"slow: stalled"):
        fetch(["small.gz"], [f"{server}/slow"], tmp_path)


def test_no_mirror_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none is named"):
        fetch(["small.gz"], [], tmp_path)


def test_what_is_in_the_cache_is_not_fetched_again(tmp_path: Path, folder: Path) -> None:
    fetch(list(CONTENT), [str(folder)], tmp_path / "cache")
    fetch(missing_archives(tmp_path / "cache"), [], tmp_path / "cache")
    (tmp_path / "cache" / "small.gz").write_bytes(b"damaged")
    assert missing_archives(tmp_path / "cache") == ["small.gz"]
