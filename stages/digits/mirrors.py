"""Fetching the MNIST archives, each from the first mirror that gives it unharmed."""

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from digits.stage import UserError

import pooch
import requests
import urllib3
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
TIMEOUT_SECONDS = (5, 10)  # to connect; between two pieces of an answer
SLOWEST_BYTES_PER_SECOND = 5_000  # below it, a download is given up as stalled
CHUNK_BYTES = 2**16


def missing_archives(folder: Path) -> list[str]:
    """Names of the archives that `folder` does not hold unharmed, the smallest first."""
    return [
        name
        for name, sha256 in ARCHIVES.items()
        if not (folder / name).is_file() or pooch.file_hash(folder / name) != sha256
    ]


def fetch(names: Iterable[str], mirrors: Sequence[str], cache: Path) -> None:
    """Fetch archives into `cache`, where they appear under their names only once their SHA-256 is right.

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
    reasons = dict.fromkeys(urls, f"no answer within {ANSWER_SECONDS} s")

    def ask(url: str) -> None:
        try:
            requests.get(_address(url, next(iter(ARCHIVES))), stream=True, timeout=TIMEOUT_SECONDS).close()
            reasons.pop(url, None)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reasons[url] = _reason(error)

    # Daemons: a look-up of a name cannot be cancelled, and must not keep the program from ending.
    threads = [threading.Thread(target=ask, args=[url], daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + ANSWER_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(reasons)


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
    """Stream `url` to `output_file`, as a downloader of pooch."""
    # Without `identity` a server may unpack the archive on the way.
    with requests.get(url, headers={"Accept-Encoding": "identity"}, stream=True, timeout=TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0)) or None
        name = url.rpartition("/")[2]
        start = time.monotonic()
        received = 0
        with (
            Path(output_file).open("wb") as file,
            tqdm(desc=name, total=size, unit="B", unit_scale=True, disable=None) as progress,
        ):
            try:
                while chunk := response.raw.read1(CHUNK_BYTES):
                    file.write(chunk)
                    received += len(chunk)
                    progress.update(len(chunk))
                    allowed = TIMEOUT_SECONDS[1] + received / SLOWEST_BYTES_PER_SECOND
                    if time.monotonic() - start > allowed:
                        raise requests.Timeout(f"slower than {SLOWEST_BYTES_PER_SECOND} bytes per second")
            except urllib3.exceptions.HTTPError as error:
                raise requests.ConnectionError(error) from error


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
        case requests.exceptions.SSLError():
            return "its certificate is not trusted"
        case requests.Timeout():
            return "stalled"
        case requests.ConnectionError() | urllib3.exceptions.HTTPError():
            return "no connection, or one that broke off"
        case FileNotFoundError():
            return "no such file"
        case ValueError() if not isinstance(error, requests.RequestException):
            return "not the published archive, its SHA-256 differs"
        case _:
            return str(error)
