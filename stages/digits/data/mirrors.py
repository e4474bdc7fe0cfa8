"""Fetching the MNIST archives, each from the first mirror that gives it unharmed."""

import hashlib
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from digits.data.http_request import Request
from digits.foundation.files import replacing
from digits.foundation.stage import UserError

import platformdirs
import requests
from filelock import FileLock
from tqdm import tqdm

# SHA-256 of the archives that LeCun, Cortes and Burges published, the smallest first: it tells most quickly whether
# a mirror is of use.
ARCHIVES = {
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
}
CACHE = platformdirs.user_cache_path("mnist")
ANSWER_SECONDS = 10  # all mirrors together: where packets vanish, even the look-up of a name can take minutes
STALL_SECONDS = 10  # without data, or below the slowest rate
SLOWEST_BYTES_PER_SECOND = 5_000
LARGEST_BYTES = 2**24  # where reading ends, whatever comes; the largest archive has 9.9 MB


def missing_archives(folder: Path) -> list[str]:
    """Names of the archives that `folder` does not hold unharmed, the smallest first."""
    return [
        name for name in ARCHIVES if not ((folder / name).is_file() and _is_right(name, (folder / name).read_bytes()))
    ]


def fetch(names: Iterable[str], mirrors: Sequence[str], cache: Path) -> None:
    """Fetch archives into `cache`, where they appear under their names only once their SHA-256 is right.

    It ends whatever a mirror does: one that stalls is given up, one that sends on and on is read to `LARGEST_BYTES`.

    Args:
        names: of the archives, from `ARCHIVES`.
        mirrors: URLs or folders, tried in this order for each archive.
        cache: the folder to fill.

    Raises:
        UserError: no mirror gave an archive; the message has each mirror's reason.
        OSError: the cache cannot be written.
    """
    mirrors = list(dict.fromkeys(mirrors))
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / ".lock"):  # all of a user's clones share the cache
        silent: dict[str, str] | None = None
        for name in names:
            reasons: dict[str, str] = {}
            for mirror in mirrors:
                if _is_url(mirror) and silent is None:
                    silent = _silent_ones([mirror for mirror in mirrors if _is_url(mirror)])
                if silent and mirror in silent:
                    reasons[mirror] = silent[mirror]
                elif _take(name, mirror, cache, reasons):
                    break
            else:
                listed = "".join(f"\n  {mirror}: {reasons[mirror]}" for mirror in mirrors) or " none is named"
                raise UserError(f"download: no mirror gives {name}:{listed}")


def _silent_ones(urls: Sequence[str]) -> dict[str, str]:
    """Those of `urls` that give no answer of any kind, each with the reason, which is said."""
    asked = {url: Request(_address(url, next(iter(ARCHIVES))), wanted_bytes=0) for url in urls}
    deadline = time.monotonic() + ANSWER_SECONDS
    silent = {}
    for url, request in asked.items():
        request.join(max(0.0, deadline - time.monotonic()))
        if request.is_alive():
            silent[url] = f"no answer within {ANSWER_SECONDS} s"
        elif request.error and not isinstance(request.error, requests.HTTPError):
            silent[url] = _reason(request.error)
        if url in silent:
            print(f"{url}: {silent[url]}; trying the next mirror", file=sys.stderr)
    return silent


def _take(name: str, mirror: str, cache: Path, reasons: dict[str, str]) -> bool:
    """Fetch one archive from one mirror; where that fails, say so and keep the reason."""
    address = _address(mirror, name)
    try:
        content = _download(address) if _is_url(mirror) else _read(Path(address))
        if not _is_right(name, content):
            raise ValueError("not the published archive, its SHA-256 differs")
    except (OSError, ValueError) as error:
        reasons[mirror] = _reason(error)
        print(f"{address}: {reasons[mirror]}; trying the next mirror", file=sys.stderr)
        return False
    with replacing(cache / name) as temporary:
        temporary.write_bytes(content)
    return True


def _is_right(name: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == ARCHIVES[name]


def _download(url: str) -> bytes:
    """Fetch `url`, as far as `LARGEST_BYTES`.

    Raises:
        requests.RequestException: the server failed.
        TimeoutError: it stalled.
    """
    request = Request(url, LARGEST_BYTES)
    received = 0
    deadline = time.monotonic() + STALL_SECONDS
    with tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=None) as progress:
        while request.is_alive():
            request.join(0.1)
            new = len(request.body) - received
            received += new
            progress.total = request.size
            progress.update(new)
            # What arrives earns time, but never more than at the start: after a fast beginning, too, a stall is one.
            deadline = min(deadline + new / SLOWEST_BYTES_PER_SECOND, time.monotonic() + STALL_SECONDS)
            if time.monotonic() > deadline and request.is_alive():
                request.wanted_bytes = 0
                raise TimeoutError(f"slower than {SLOWEST_BYTES_PER_SECOND} bytes per second")
    if request.error:
        raise request.error
    return bytes(request.body)


def _read(path: Path) -> bytes:
    """Read an archive of a folder that serves as a mirror."""
    if not path.is_file():
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        return file.read(LARGEST_BYTES)


def _is_url(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _address(mirror: str, name: str) -> str:
    return f"{mirror.rstrip('/')}/{name}"


def _reason(error: Exception) -> str:
    """A failure of a mirror in a few words."""
    match error:
        case requests.HTTPError(response=requests.Response(status_code=status)):
            return f"HTTP status {status}"
        case requests.TooManyRedirects():
            return "redirects without end"
        case requests.exceptions.InvalidSchema():
            return "redirects to what is not http"
        case requests.exceptions.SSLError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "its certificate is not trusted"
        case TimeoutError():
            return "stalled"
        case requests.ConnectionError():
            return "no connection, or one that broke off"
        case FileNotFoundError():
            return "no such file"
        case _:
            return str(error)
