"""An HTTP request that can be given up at any time, whatever the server does."""

import threading

import requests
import urllib3

TIMEOUT_SECONDS = (5, 10)  # to connect; between two pieces of an answer
CHUNK_BYTES = 2**16


class Request(threading.Thread):
    """A GET request that goes on in the background.

    A daemon: neither the look-up of a name nor the reading of a header that trickles in can be cancelled, and they
    must not keep the program from ending. What arrives stays in memory, so one that is given up leaves nothing behind.

    Attributes:
        wanted_bytes: reading ends as soon as the body has that many; 0, at any time, gives the request up.
        size: of the body, in bytes; None as long as the server has not said it.
        body: what has arrived of it.
        error: why it failed, a TimeoutError or a requests.RequestException; None if it did not.
    """

    def __init__(self, url: str, wanted_bytes: int) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.wanted_bytes = wanted_bytes
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
        # A ValueError, for example, about an address that a redirect names.
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self.error = requests.ConnectionError(error)

    def _receive(self) -> None:
        with requests.get(
            self.url,
            headers={"Accept-Encoding": "identity"},  # or a server may unpack the archive on the way
            hooks={"response": _leave_redirect_unread},
            stream=True,
            timeout=TIMEOUT_SECONDS,
        ) as response:
            response.raise_for_status()
            self.size = response.raw.length_remaining
            while len(self.body) < self.wanted_bytes and (chunk := response.raw.read1(CHUNK_BYTES)):
                self.body += chunk


def _leave_redirect_unread(response: requests.Response, *_: object, **__: object) -> None:
    """Close the answer if it is a redirect: requests would read its body to the end, which may never come."""
    if response.is_redirect:
        response.close()
