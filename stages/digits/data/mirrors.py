"""Downloading archives, each from the first mirror that delivers it intact; download alone does this."""

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from digits.data.http_request import Request
from digits.foundation.files import replacing
from digits.foundation.stage import UserError

import platformdirs
import requests
from filelock import FileLock
from tqdm import tqdm

RESPONSE_SECONDS = 10  # for all mirrors together: behind a firewall that drops packets, a DNS lookup can take minutes
STALL_SECONDS = 10  # without data, or below the minimum rate
MIN_BYTES_PER_SECOND = 5_000
MAX_BYTES = 2**25  # read of a file, whatever its size; the largest archive, of Fashion-MNIST, has 26 MB


def cache_of(dataset: str) -> Path:
    """Where the user's clones keep the archives of a data set."""
    return platformdirs.user_cache_path(dataset)


def missing_archives(folder: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """Those of `hashes`, SHA-256 by name, whose archives are missing or damaged in `folder`."""
    return {
        name: expected
        for name, expected in hashes.items()
        if not ((folder / name).is_file() and _sha256((folder / name).read_bytes()) == expected)
    }


def fetch(hashes: Mapping[str, str], mirrors: Sequence[str], cache: Path) -> None:
    """Download what `cache` lacks into it, where archives get their names only after their SHA-256 has been checked.

    This ends whatever a mirror does: a stalled one is abandoned, an endless response is read up to `MAX_BYTES`.

    Args:
        hashes: SHA-256 of the archives, by name, the smallest first: it shows soonest whether a mirror works.
        mirrors: URLs or folders, tried in this order for each archive.
        cache: the folder to fill.

    Raises:
        UserError: no mirror delivered an archive; the message says why for each mirror.
        OSError: the cache cannot be written.
    """
    mirrors = list(dict.fromkeys(mirrors))
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / ".lock"):  # all of a user's clones share the cache
        unresponsive: dict[str, str] | None = None
        for name, expected in missing_archives(cache, hashes).items():
            reasons: dict[str, str] = {}
            for mirror in mirrors:
                if _is_url(mirror) and unresponsive is None:
                    unresponsive = _find_unresponsive([each for each in mirrors if _is_url(each)], next(iter(hashes)))
                if unresponsive and mirror in unresponsive:
                    reasons[mirror] = unresponsive[mirror]
                elif _fetch_from(mirror, name, expected, cache, reasons):
                    break
            else:
                listed = "".join(f"\n  {mirror}: {reasons[mirror]}" for mirror in mirrors)
                raise UserError(f"download: no mirror delivers {name}:{listed or ' the list of mirrors is empty'}")


def _find_unresponsive(urls: Sequence[str], name: str) -> dict[str, str]:
    """Ask all `urls` for an archive at once; print and return those that do not respond, each with the reason."""
    requested = {url: Request(_address(url, name), max_bytes=0) for url in urls}
    deadline = time.monotonic() + RESPONSE_SECONDS
    unresponsive = {}
    for url, request in requested.items():
        request.join(max(0.0, deadline - time.monotonic()))
        if request.is_alive():
            unresponsive[url] = f"no response within {RESPONSE_SECONDS} s"
        elif request.error and not isinstance(request.error, requests.HTTPError):
            unresponsive[url] = _reason(request.error)
        if url in unresponsive:
            print(f"{url}: {unresponsive[url]}; trying the next mirror", file=sys.stderr)
    return unresponsive


def _fetch_from(mirror: str, name: str, expected: str, cache: Path, reasons: dict[str, str]) -> bool:
    """Fetch an archive from a mirror and return whether that worked; if not, print and store the reason."""
    address = _address(mirror, name)
    try:
        content = _download(address) if _is_url(mirror) else _read_file(Path(address))
        if _sha256(content) != expected:
            raise ValueError("not the published archive, SHA-256 differs")
    except (OSError, ValueError) as error:
        reasons[mirror] = _reason(error)
        print(f"{address}: {reasons[mirror]}; trying the next mirror", file=sys.stderr)
        return False
    with replacing(cache / name) as temporary:
        temporary.write_bytes(content)
    return True


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _download(url: str) -> bytes:
    """Download `url`, at most `MAX_BYTES` of it.

    Raises:
        requests.RequestException: the request failed.
        TimeoutError: the server stalled.
    """
    request = Request(url, MAX_BYTES)
    received = 0
    deadline = time.monotonic() + STALL_SECONDS
    with tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as progress:
        while request.is_alive():
            request.join(0.1)
            new = len(request.body) - received
            received += new
            progress.total = request.size
            progress.update(new)
            # Data extends the deadline, at most to STALL_SECONDS from now, so that a stall after a fast start counts.
            deadline = min(deadline + new / MIN_BYTES_PER_SECOND, time.monotonic() + STALL_SECONDS)
            if time.monotonic() > deadline and request.is_alive():
                request.max_bytes = 0
                raise TimeoutError(f"slower than {MIN_BYTES_PER_SECOND} bytes per second")
    if request.error:
        raise request.error
    return bytes(request.body)


def _read_file(path: Path) -> bytes:
    """Read an archive from a folder that serves as a mirror."""
    if not path.is_file():
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def _is_url(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _address(mirror: str, name: str) -> str:
    return f"{mirror.rstrip('/')}/{name}"


def _reason(error: Exception) -> str:
    """Why a mirror failed, in a few words."""
    match error:
        case requests.HTTPError(response=requests.Response(status_code=status)):
            return f"HTTP status {status}"
        case requests.TooManyRedirects():
            return "too many redirects"
        case requests.exceptions.InvalidSchema() if "SOCKS" in str(error):
            return "the proxy needs the package PySocks"
        case requests.exceptions.InvalidSchema():
            return "redirects to a URL that is not HTTP"
        case requests.exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "its certificate is not trusted"
        case TimeoutError():
            return "stalled"
        case requests.ConnectionError():
            return "no connection, or it was lost"
        case FileNotFoundError():
            return "no such file"
        case _:
            return str(error)
