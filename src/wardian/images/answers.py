"""What a registry is answering just now: an answer is begun, read and ended here, and another thread ends them all."""

import contextlib
import threading

import urllib3

from wardian.errors import INVALID, WardianError
from wardian.images.progress import Cancelled
from wardian.images.unreachable import unreachable

_SHORT = 4096  # bytes of a body nobody asked for that are read, to keep its connection; past it the connection ends


class Answers:
    """Of the registry `domain`, for one operation. Thread-safe."""

    def __init__(self, domain: str, operation: str) -> None:
        self._domain = domain
        self._operation = operation
        self._lock = threading.Lock()  # never held while anything is waited for
        self._live: set[urllib3.BaseHTTPResponse] = set()
        self.aborted = False

    def abort(self) -> None:
        """End those that are under way: a registry may have fallen silent. Who reads one gets Cancelled."""
        with self._lock:
            self.aborted = True
            live = tuple(self._live)
        for response in live:
            with contextlib.suppress(ValueError, RuntimeError, OSError):  # it ends by itself just now
                response.shutdown()

    def begin(self, response: urllib3.BaseHTTPResponse) -> None:
        """From here to its `end`, `abort` ends this one too."""
        with self._lock:
            self._live.add(response)
            aborted = self.aborted
        if aborted:
            self.end(response)
            raise Cancelled

    def end(self, response: urllib3.BaseHTTPResponse) -> None:
        with self._lock:
            self._live.discard(response)
        response.close()  # whatever was not read ends with its connection; one read to its end was given back before
        response.release_conn()

    def skip(self, response: urllib3.BaseHTTPResponse) -> None:
        """End one that matters by its head only. urllib3's drain_conn would read a body without end."""
        length = response.headers.get("Content-Length", "")
        try:
            if length.isdecimal() and len(length) <= 4 and int(length) <= _SHORT:
                response.read(decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # its connection ends then
        finally:
            self.end(response)

    def body(self, response: urllib3.BaseHTTPResponse, limit: int, path: str, url: str) -> bytes:
        """All of a body; `path`, and `url` in full, is what was asked for. Raises WardianError, also for one that is
        longer than `limit`."""
        try:
            data = response.read(limit + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if self.aborted:
                raise Cancelled from None
            raise unreachable(error, url, self._operation, self._domain) from error
        if self.aborted:  # what there is of it may be the first half
            raise Cancelled
        if len(data) > limit:
            raise WardianError(INVALID, f"{self._domain}{path} is larger than {limit} bytes")
        return data
