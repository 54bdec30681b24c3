"""Progress in the JSON shapes that docker's clients draw (jsonmessage): told by many threads, heard one at a time."""

import threading
import time
from collections.abc import Callable

Progress = Callable[[dict[str, object]], None]

_INTERVAL = 0.1  # seconds between two messages about the same layer


def silent(message: dict[str, object]) -> None:
    """A Progress for callers who do not listen."""


class Stop:
    """Ends an operation from outside. Thread-safe; setting it again does nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._calls: list[Callable[[], None]] = []

    def set(self) -> None:
        with self._lock:
            self._set, calls = True, self._calls
            self._calls = []
        for call in calls:
            call()

    def is_set(self) -> bool:
        return self._set

    def calls(self, call: Callable[[], None]) -> None:
        """`call` when this is set, from the thread that does it: it wakes what waits, for a socket say."""
        with self._lock:
            if not self._set:
                return self._calls.append(call)
        return call()


class Reporter:
    """Passes messages on one at a time. When the listener raises (its client is gone), all that reports stops too."""

    def __init__(self, listener: Progress, stop: Stop | None = None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self.stopped = stop or Stop()

    def status(self, text: str, identity: str = "", current: int = -1, total: int = 0) -> None:
        """`{"status", "progressDetail", "id"}`; an empty detail where there is an id but no count, as in Docker."""
        message: dict[str, object] = {"status": text}
        if identity:
            message["progressDetail"] = {"current": current, "total": total} if current >= 0 else {}
            message["id"] = identity
        self.send(message)

    def heading(self, text: str, identity: str) -> None:
        """`{"status", "id"}` with no progress: the line above a pull."""
        self.send({"status": text, "id": identity})

    def send(self, message: dict[str, object]) -> None:
        with self._lock:
            try:
                self._listener(message)
            except BaseException:
                self.stopped.set()
                raise

    def stop(self) -> None:
        """Make every thread that reports or checks give up."""
        self.stopped.set()

    def check(self) -> None:
        if self.stopped.is_set():
            raise Cancelled

    def counter(self, text: str, identity: str, total: int) -> Callable[[int], None]:
        """A function that reports how far something is, now and then, and stops it when nobody wants it any more."""
        last = 0.0

        def tell(current: int) -> None:
            nonlocal last
            self.check()
            now = time.monotonic()
            if now - last >= _INTERVAL:
                last = now
                self.status(text, identity, current, total)

        return tell


class Cancelled(Exception):
    """Another part of the same operation failed: its error is the one to tell."""
