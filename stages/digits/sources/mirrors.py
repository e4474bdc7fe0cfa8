"""Downloading archives, each from the first mirror that delivers it intact; download alone does this."""

import errno
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pooch
import requests
import urllib3
from pydantic import create_model
from tqdm import tqdm

from digits.foundation.params import Section
from digits.foundation.stage import UserError
from digits.published import PUBLISHED

TIMEOUT_SECONDS = (5, 10)  # to connect; between two pieces of a response
STALL_SECONDS = 10  # without data, or below the minimum rate
MIN_BYTES_PER_SECOND = 5_000
MAX_BYTES = 2**25  # read of a file, whatever its size; the largest archive, of Fashion-MNIST, has 26 MB
CHUNK_BYTES = 2**16
RETRIES = 1  # after a lost connection or damage on the way
STALLED = "stalled"

pooch.get_logger().setLevel(logging.WARNING)  # or it would print URLs, passwords included

# A list of URLs or folders for each data set that is downloaded, as in params.yaml.
MIRRORS: dict[str, Any] = {name: list[str] for name, data in PUBLISHED.items() if data.hashes}
MirrorsParams = create_model("MirrorsParams", __base__=Section, **MIRRORS)


class UnavailableError(Exception):
    """A mirror cannot deliver an archive, however often it is asked; the message says why."""


def cache_of(dataset: str) -> Path:
    """Where the user's clones keep the archives of a data set."""
    return Path(pooch.os_cache(dataset))


def missing_archives(folder: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """Those of `hashes`, SHA-256 by name, whose archives are missing or damaged in `folder`."""
    return {
        name: expected
        for name, expected in hashes.items()
        if not ((folder / name).is_file() and pooch.file_hash(folder / name) == expected)
    }


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
    for name in missing_archives(cache, hashes):
        reasons: dict[str, str] = {}
        for mirror in dict.fromkeys(mirrors):
            if mirror in unreachable:
                reasons[mirror] = unreachable[mirror]
                continue
            archives = pooch.create(cache, f"{mirror.rstrip('/')}/", registry=dict(hashes), retry_if_failed=RETRIES)
            try:
                archives.fetch(name, downloader=_deliver)
                break
            except PermissionError:  # pooch's own, without a number
                raise PermissionError(errno.EACCES, "Permission denied", str(cache))
            except ValueError:
                reasons[mirror] = "not the published archive, SHA-256 differs"
            except (requests.ConnectionError, TimeoutError) as error:
                reasons[mirror] = unreachable[mirror] = str(error)
            except UnavailableError as error:
                reasons[mirror] = str(error)
            print(f"{shown(mirror).rstrip('/')}/{name}: {reasons[mirror]}; trying the next mirror", file=sys.stderr)
        else:
            listed = "".join(f"\n  {shown(mirror)}: {reason}" for mirror, reason in reasons.items())
            raise UserError(f"download: no mirror delivers {name}:{listed or ' the list of mirrors is empty'}")


def shown(mirror: str) -> str:
    """A mirror as it may be printed: without the user's name and password."""
    return re.sub(r"(?<=://).*@", "", mirror)


def _deliver(address: str, output_file: str, _: object) -> None:
    """Bring the file at an address, a URL or a path, to `output_file`, as pooch's downloaders do.

    Raises:
        requests.ConnectionError: there is no connection, or it was lost.
        TimeoutError: the server stalled.
        UnavailableError: something else is wrong.
    """
    is_url = address.startswith(("http://", "https://"))
    Path(output_file).write_bytes(_download(address) if is_url else _read_file(address))


def _read_file(path: str) -> bytes:
    """Read an archive from a folder that serves as a mirror."""
    if "://" in path:
        raise UnavailableError("neither a folder nor a URL that begins with http:// or https://")
    try:
        if not Path(path).is_file():
            raise UnavailableError("no such file")
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise UnavailableError(error.strerror)


def _download(url: str) -> bytes:
    """Download `url`, at most `MAX_BYTES` of it.

    A daemon thread receives it, since neither a DNS lookup nor a header that trickles in can be interrupted.
    """
    body, done = bytearray(), Future[None]()
    with tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as progress:
        threading.Thread(target=_receive, args=(url, body, progress, done), daemon=True).start()
        deadline = time.monotonic() + STALL_SECONDS
        while not wait([done], timeout=0.1).done:
            new = len(body) - progress.n
            progress.update(new)
            # Data extends the deadline, at most to STALL_SECONDS from now, so that a stall after a fast start counts.
            deadline = min(deadline + new / MIN_BYTES_PER_SECOND, time.monotonic() + STALL_SECONDS)
            if time.monotonic() > deadline:
                raise TimeoutError(STALLED)
        progress.update(len(body) - progress.n)
    done.result()
    return bytes(body)


def _receive(url: str, body: bytearray, progress: "tqdm[Any]", done: Future[None]) -> None:
    """Append the response to `body`, and then complete `done`, with the error if there was one."""
    identity = {"Accept-Encoding": "identity"}  # or a server may send the archive unpacked
    try:
        with requests.get(url, headers=identity, stream=True, timeout=TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            progress.total = response.raw.length_remaining
            while len(body) < MAX_BYTES and (chunk := response.raw.read1(CHUNK_BYTES)):
                body += chunk
        done.set_result(None)
    except Exception as error:  # whatever it is, bugs too: it is raised where the thread is waited for
        done.set_exception(_in_words(error))


def _in_words(error: Exception) -> Exception:
    """The error for `_deliver` to raise, whose message names no URL with a password in it."""
    match error:
        case requests.HTTPError(response=requests.Response(status_code=status)):
            return UnavailableError(f"HTTP status {status}")
        case requests.TooManyRedirects() | requests.exceptions.InvalidSchema():  # no HTTP, or SOCKS without its package
            return UnavailableError(error)
        case requests.exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return UnavailableError("its certificate is not trusted")
        case requests.Timeout() | urllib3.exceptions.TimeoutError():
            return TimeoutError(STALLED)
        case requests.RequestException() | urllib3.exceptions.HTTPError() | ValueError():  # a malformed redirect
            return requests.ConnectionError("no connection, or it was lost")
        case OSError():  # a file of certificates that does not exist
            return UnavailableError(error)
    return error
