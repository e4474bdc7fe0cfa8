"""Downloading archives, each from the first mirror that delivers it intact; download alone does this."""

import hashlib
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from typing import Any

import requests
import urllib3
from platformdirs import user_cache_path
from pydantic import create_model
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from digits.foundation.params import Section
from digits.foundation.stage import UserError
from digits.known_datasets import PUBLISHED

TIMEOUT_SECONDS = (5, 10)  # to connect; between two pieces of a response
STALL_SECONDS = 10  # without data, or below the minimum rate
MIN_BYTES_PER_SECOND = 5_000
MAX_BYTES = 2**25  # read of a file, whatever its size; the largest archive, of Fashion-MNIST, has 26 MB
CHUNK_BYTES = 2**16
RETRIES = 1  # where there is no connection, or it is lost before the response
STALLED = "stalled"

# A list of URLs or folders for each data set that is downloaded, as in params.yaml.
MIRRORS: dict[str, Any] = {name: list[str] for name, data in PUBLISHED.items() if data.hashes}
MirrorsParams = create_model("MirrorsParams", __base__=Section, **MIRRORS)


class UnavailableError(Exception):
    """A mirror does not deliver an archive; the message says why."""


class UnreachableError(UnavailableError):
    """Nor would it deliver another: there is no connection, it was lost, or the server stalled."""


def cache_of(dataset: str) -> Path:
    """Where the user's clones keep the archives of a data set."""
    return user_cache_path(dataset)


def missing_archives(folder: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """Those of `hashes`, SHA-256 by name, whose archives are missing or damaged in `folder`."""
    found = {name: _sha256((folder / name).read_bytes()) for name in hashes if (folder / name).is_file()}
    return {name: expected for name, expected in hashes.items() if found.get(name) != expected}


def fetch(hashes: Mapping[str, str], mirrors: Sequence[str], cache: Path) -> None:
    """Download what `cache` lacks into it, where archives get their names only after their SHA-256 has been checked.

    This ends whatever a mirror does: a stalled one is abandoned, an endless response is read up to `MAX_BYTES`.

    Args:
        hashes: SHA-256 of the archives, by name.
        mirrors: URLs or folders, tried in this order for each archive, but for those that could not be reached before.
        cache: the folder to fill.

    Raises:
        UserError: no mirror delivered an archive; the message says why for each mirror.
        OSError: the cache cannot be written.
    """
    cache.mkdir(parents=True, exist_ok=True)
    unreachable: dict[str, str] = {}
    for name, expected in missing_archives(cache, hashes).items():
        reasons = dict(unreachable)
        for mirror in (each for each in dict.fromkeys(mirrors) if each not in unreachable):
            try:
                content = _read(f"{mirror.rstrip('/')}/{name}")
                if _sha256(content) != expected:
                    raise UnavailableError("not the published archive, SHA-256 differs")
            except UnavailableError as error:
                reasons[mirror] = str(error)
                if isinstance(error, UnreachableError):
                    unreachable[mirror] = str(error)
                print(f"{shown(mirror).rstrip('/')}/{name}: {error}; trying the next mirror", file=sys.stderr)
            else:
                with TemporaryDirectory(dir=cache) as own:  # other clones may be at it, too
                    (Path(own) / name).write_bytes(content)
                    (Path(own) / name).replace(cache / name)
                break
        else:
            listed = "".join(f"\n  {shown(mirror)}: {reason}" for mirror, reason in reasons.items())
            raise UserError(f"download: no mirror delivers {name}:{listed or ' the list of mirrors is empty'}")


def shown(mirror: str) -> str:
    """A mirror as it may be printed: without the user's name and password."""
    return re.sub(r"(?<=://).*@", "", mirror)


def _read(address: str) -> bytes:
    """What is at an address, a URL or a path, up to `MAX_BYTES`; raises an `UnavailableError`."""
    if address.startswith(("http://", "https://")):
        return _download(address)
    if "://" in address:
        raise UnavailableError("neither a folder nor a URL that begins with http:// or https://")
    try:
        if not Path(address).is_file():
            raise UnavailableError("no such file")
        with Path(address).open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise UnavailableError(error.strerror)


def _download(url: str) -> bytes:
    """Download `url`, at most `MAX_BYTES` of it.

    A daemon thread receives it, since neither a DNS lookup nor a header that trickles in can be interrupted.
    """
    body, pieces = bytearray(), Queue[bytes | Exception](maxsize=10)
    deadline = time.monotonic() + STALL_SECONDS
    with tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as progress:
        threading.Thread(target=_receive, args=(url, pieces, progress), daemon=True).start()
        while len(body) < MAX_BYTES:
            try:
                piece = pieces.get(timeout=max(0, deadline - time.monotonic()))
            except Empty:
                raise UnreachableError(STALLED)
            if isinstance(piece, Exception):
                raise piece
            if not piece:
                break
            body += piece
            progress.update(len(piece))
            # Data extends the deadline, at most to STALL_SECONDS from now, so that a stall after a fast start counts.
            deadline = min(deadline + len(piece) / MIN_BYTES_PER_SECOND, time.monotonic() + STALL_SECONDS)
    return bytes(body)


def _receive(url: str, pieces: Queue[bytes | Exception], progress: "tqdm[Any]") -> None:
    """Put the response into `pieces`, and at its end an empty one, or the error if there was one."""
    identity = {"Accept-Encoding": "identity"}  # or a server may send the archive unpacked
    try:
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=urllib3.Retry(RETRIES)))
            response = session.get(url, headers=identity, stream=True, timeout=TIMEOUT_SECONDS)
            response.raise_for_status()
            progress.total = response.raw.length_remaining
            while piece := response.raw.read1(CHUNK_BYTES):
                pieces.put(piece)
        pieces.put(b"")
    except Exception as error:  # whatever it is, bugs too: it is raised where the pieces are taken
        pieces.put(_in_words(error))


def _in_words(error: Exception) -> Exception:
    """The error for `_download` to raise, whose message names no URL with a password in it."""
    match error:
        case requests.HTTPError(response=requests.Response(status_code=status)):
            return UnavailableError(f"HTTP status {status}")
        case requests.TooManyRedirects() | requests.exceptions.InvalidSchema():  # no HTTP, or SOCKS without its package
            return UnavailableError(error)
        case requests.exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return UnavailableError("its certificate is not trusted")
        case requests.Timeout() | urllib3.exceptions.TimeoutError():
            return UnreachableError(STALLED)
        case requests.RequestException() | urllib3.exceptions.HTTPError() | ValueError():  # a malformed redirect
            return UnreachableError("no connection, or it was lost")
        case OSError():  # a file of certificates that does not exist
            return UnavailableError(error)
    return error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
