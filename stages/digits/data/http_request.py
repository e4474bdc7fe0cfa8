"""An HTTP request, made by download, that can be abandoned at any time, whatever the server does."""

import threading

import requests
import urllib3

TIMEOUT_SECONDS = (5, 10)  # to connect; between two pieces of a response
CHUNK_BYTES = 2**16


class Request(threading.Thread):
    """A GET request that runs in the background.

    A daemon thread: neither a DNS lookup nor a header that trickles in can be cancelled, and they must not keep the
    program from exiting. The body stays in memory, so an abandoned request leaves nothing behind.

    Attributes:
        max_bytes: reading stops once the body has that many; setting it to 0 abandons the request.
        size: of the body, in bytes; None until the server has sent it.
        body: what has arrived so far.
        error: why the request failed, a TimeoutError or a requests.RequestException; None if it did not.
    """

    def __init__(self, url: str, max_bytes: int) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.max_bytes = max_bytes
        self.size: int | None = None
        self.body = bytearray()
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._receive()
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            self.error = TimeoutError(error)
        except requests.RequestException as error:
            self.error = error
        # A ValueError comes from a malformed redirect URL, for example.
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self.error = requests.ConnectionError(error)

    def _receive(self) -> None:
        with requests.get(
            self.url,
            headers={"Accept-Encoding": "identity"},  # or a server may send the archive unpacked
            hooks={"response": _close_redirect},
            stream=True,
            timeout=TIMEOUT_SECONDS,
        ) as response:
            response.raise_for_status()
            self.size = response.raw.length_remaining
            while len(self.body) < self.max_bytes and (chunk := response.raw.read1(CHUNK_BYTES)):
                self.body += chunk


def _close_redirect(response: requests.Response, *_: object, **__: object) -> None:
    """Close a redirect response: requests would read its body to the end, which may never come."""
    if response.is_redirect:
        response.close()
