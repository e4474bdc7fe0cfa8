"""Downloading archives from the first mirrors that deliver them intact; download alone does this."""

import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
import urllib3
from platformdirs import user_cache_path
from pydantic import create_model
from tqdm import tqdm

from digits.foundation.params import Section
from digits.foundation.stage import UserError
from digits.known_datasets import PUBLISHED

STALL_SECONDS = 10  # without data, or below the minimum rate
MIN_BYTES_PER_SECOND = 5_000
MAX_BYTES = 2**25  # read of a file, whatever its size; the largest archive, of Fashion-MNIST, has 26 MB
CHUNK_BYTES = 2**16
# Of requests, urllib3 and the file system: ValueErrors for malformed URLs and redirects, OSErrors for most of the rest.
UNAVAILABLE = OSError, ValueError, urllib3.exceptions.HTTPError

# A list of URLs or folders for each data set that is downloaded, as in params.yaml.
MIRRORS: dict[str, Any] = {name: list[str] for name, data in PUBLISHED.items() if data.hashes}
MirrorsParams = create_model("MirrorsParams", __base__=Section, **MIRRORS)


def cache_of(dataset: str) -> Path:
    """Where the user's clones keep the archives of a data set."""
    return user_cache_path(dataset)


def fetch(hashes: Mapping[str, str], mirrors: Sequence[str], cache: Path) -> dict[str, bytes]:
    """The archives with these SHA-256, both by name, from the folder `cache`, after downloading what it lacks into it.

    Each mirror, a URL or a folder, is asked for what those before it have not delivered, up to its first failure. This
    ends whatever a mirror does: a stalled one is abandoned, an endless response is read up to `MAX_BYTES`. Raises a
    `UserError` if no mirror delivered an archive, which says why for each. A cache that cannot be used is left out.
    """
    intact = {name: content for name in hashes if sha256(content := _cached(cache / name)).hexdigest() == hashes[name]}
    problems = []
    for mirror in mirrors:
        for name in [name for name in hashes if name not in intact]:
            address = f"{mirror.rstrip('/')}/{name}"
            try:
                content = _read(address)
                if sha256(content).hexdigest() != hashes[name]:
                    raise ValueError("not the published archive, SHA-256 differs")
            except UNAVAILABLE as error:
                what = getattr(error, "strerror", None) or error
                if "@" in address:  # a name and a password, perhaps, of which what libraries say may hold a part
                    address = re.sub(r"(?<=://).*@", "", address)
                    status = getattr(getattr(error, "response", None), "status_code", "")
                    what = f"{type(error).__name__} {status}".rstrip()
                problems.append(f"{address}: {what}")
                print(problems[-1], file=sys.stderr)
                break
            with suppress(OSError):
                cache.mkdir(parents=True, exist_ok=True)
                with TemporaryDirectory(dir=cache) as own:  # other clones may be at it, too
                    (Path(own) / name).write_bytes(content)
                    (Path(own) / name).replace(cache / name)
            intact[name] = content
    if missing := [name for name in hashes if name not in intact]:
        listed = "".join(f"\n  {problem}" for problem in problems) or " the list of mirrors is empty"
        raise UserError(f"download: no mirror delivers {missing[0]}:{listed}")
    return intact


def _cached(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""


def _read(address: str) -> bytes:
    """What is at an address, a URL or a path, up to `MAX_BYTES`; raises one of `UNAVAILABLE`."""
    if address.startswith(("http://", "https://")):
        return _download(address)
    if "://" in address:
        raise ValueError("neither a folder nor a URL that begins with http:// or https://")
    if Path(address).exists() and not Path(address).is_file():
        raise ValueError("it is not a regular file")  # a named pipe, for example, may never say anything
    with Path(address).open("rb") as file:
        return file.read(MAX_BYTES)


def _download(url: str) -> bytes:
    """Download `url`, at most `MAX_BYTES` of it.

    A daemon thread receives it, since neither a DNS lookup nor a header that trickles in can be interrupted.
    """
    body, errors = bytearray(), list[Exception]()
    receiver = threading.Thread(target=_receive, args=(url, body, errors), daemon=True)
    receiver.start()
    received, deadline = 0, time.monotonic() + STALL_SECONDS
    with tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as progress:
        while receiver.is_alive():
            receiver.join(0.1)
            new = len(body) - received
            received += new
            progress.update(new)
            # Data extends the deadline, at most to STALL_SECONDS from now, so that a stall after a fast start counts.
            deadline = min(deadline + new / MIN_BYTES_PER_SECOND, time.monotonic() + STALL_SECONDS)
            if time.monotonic() > deadline:
                raise TimeoutError("stalled")
    if errors:
        raise errors[0]
    return bytes(body)


def _receive(url: str, body: bytearray, errors: list[Exception]) -> None:
    """Append the response to `body`, or to `errors` the error that there was, whatever it is."""
    try:
        identity = {"Accept-Encoding": "identity"}  # or a server may send the archive unpacked
        with requests.get(url, headers=identity, stream=True) as response:  # noqa: S113 - `_download` does not wait
            response.raise_for_status()
            while len(body) < MAX_BYTES and (piece := response.raw.read1(CHUNK_BYTES)):
                body += piece
    except Exception as error:  # bugs, too, which a thread would lose: `_download` raises it
        errors.append(error)
