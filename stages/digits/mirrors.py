"""Fetching the MNIST archives, each from the first mirror that gives it unharmed."""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from digits.request import Request
from digits.stage import UserError

import pooch
import requests
from tqdm import tqdm

# SHA-256 of the archives that LeCun, Cortes and Burges published, the smallest first: it tells most quickly whether
# a mirror is of use.
ARCHIVES = {
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
}
CACHE = Path(pooch.os_cache("mnist"))  # the user's cache folder
ANSWER_SECONDS = 10  # all mirrors together: where packets vanish, even the look-up of a name can take minutes
STALL_SECONDS = 10  # without data, or below the slowest rate
SLOWEST_BYTES_PER_SECOND = 5_000
LARGEST_BYTES = 2**24  # where reading ends, whatever comes; the largest archive has 9.9 MB


def missing_archives(folder: Path) -> list[str]:
    """Names of the archives that `folder` does not hold unharmed, the smallest first."""
    return [
        name
        for name, sha256 in ARCHIVES.items()
        if not (folder / name).is_file() or pooch.file_hash(folder / name) != sha256
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
    """
    pooch.get_logger().setLevel("WARNING")
    mirrors = list(dict.fromkeys(mirrors))
    reasons: dict[str, str] = {}
    silent: dict[str, str] | None = None
    for name in names:
        for mirror in mirrors:
            if _is_url(mirror) and silent is None:
                silent = _silent_ones([mirror for mirror in mirrors if _is_url(mirror)])
                for url, reason in silent.items():
                    print(f"{url}: {reason}; trying the next mirror", file=sys.stderr)
            if silent and mirror in silent:
                reasons[mirror] = silent[mirror]
            elif _take(name, mirror, cache, reasons):
                break
        else:
            listed = "".join(f"\n  {mirror}: {reasons[mirror]}" for mirror in mirrors) or " none is named"
            raise UserError(f"download: no mirror gives {name}:{listed}")


def _silent_ones(urls: Sequence[str]) -> dict[str, str]:
    """Those of `urls` that give no answer of any kind, each with the reason."""
    asked = {url: Request(_address(url, next(iter(ARCHIVES))), wanted_bytes=0) for url in urls}
    deadline = time.monotonic() + ANSWER_SECONDS
    silent = {}
    for url, request in asked.items():
        request.join(max(0.0, deadline - time.monotonic()))
        if request.is_alive():
            silent[url] = f"no answer within {ANSWER_SECONDS} s"
        elif request.error and not isinstance(request.error, requests.HTTPError):
            silent[url] = _reason(request.error)
    return silent


def _take(name: str, mirror: str, cache: Path, reasons: dict[str, str]) -> bool:
    """Fetch one archive from one mirror; where that fails, say so and keep the reason."""
    address = _address(mirror, name)
    base = address.removesuffix(name)
    # A transient failure of a server deserves a second try, a missing file does not.
    store = pooch.create(
        cache, base_url=base, registry={name: ARCHIVES[name]}, retry_if_failed=1 if _is_url(mirror) else 0
    )
    try:
        store.fetch(name, downloader=_download if _is_url(mirror) else _copy)
    except (OSError, ValueError) as error:
        reasons[mirror] = _reason(error)
        print(f"{address}: {reasons[mirror]}; trying the next mirror", file=sys.stderr)
        return False
    return True


def _download(url: str, output_file: str, _: pooch.Pooch) -> None:
    """Fetch `url` to `output_file`, as a downloader of pooch.

    Raises:
        requests.RequestException: the server failed.
        TimeoutError: it stalled; unlike the others no reason for pooch to try again, and to wait again.
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
    Path(output_file).write_bytes(request.body)


def _copy(path: str, output_file: str, _: pooch.Pooch) -> None:
    """Copy a file of a folder that serves as a mirror, as a downloader of pooch."""
    shutil.copyfile(path, output_file)


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
        case ValueError() if not isinstance(error, requests.RequestException):
            return "not the published archive, its SHA-256 differs"
        case _:
            return str(error)
