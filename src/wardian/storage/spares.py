"""Directories made ahead: a container's `upper` and `work` cost ext4 half a millisecond, a rename a fiftieth of that.

A few wait in places of their own, and a background thread makes up for those that were taken. What is left of them when
the engine ends is swept with these.
"""

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from wardian.restock import Orders, fill, order
from wardian.storage.places import Places

log = logging.getLogger(__name__)

_READY = 4
_CLOSE_SECONDS = 1.0

T = TypeVar("T")


class _Spare(NamedTuple, Generic[T]):
    path: str
    made: T


class Spares(Generic[T]):
    """A pool of what `make(path)` makes in `places`; `close` is for what it returned and nobody gets. Thread-safe. Its
    thread starts with the first `take`."""

    def __init__(
        self, places: Places, make: Callable[[str], T], close: Callable[[T], None] = lambda made: None
    ) -> None:
        self._places = places
        self._make = make
        self._close = close
        self._ready: queue.SimpleQueue[_Spare[T]] = queue.SimpleQueue()
        self._orders: Orders = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, target: str) -> T:
        """A spare gets the name `target`, which nothing may have yet; without one it is made now. Returns what `make`
        did. Raises OSError."""
        self._start()
        try:
            spare = self._ready.get_nowait()
        except queue.Empty:
            order(self._orders, some_left=False)
            spare = self._new()
        else:
            order(self._orders, some_left=not self._ready.empty())
        try:
            os.rename(spare.path, target)
        except OSError:  # swept away, or the target is there with something in it: what is missing is made
            self._close(spare.made)
            return self._make(target)
        return spare.made

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._work, name="wardian-spares", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """No more are made. The directories of those that nobody took stay where they are."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._orders.put(False)
            thread.join(_CLOSE_SECONDS)
        with contextlib.suppress(queue.Empty):
            while True:
                self._close(self._ready.get_nowait().made)

    def _work(self) -> None:
        fill(self._orders, lambda: self._ready.qsize() >= _READY, self._make_one)

    def _new(self) -> _Spare[T]:
        path = self._places.fresh()
        return _Spare(path, self._make(path))

    def _make_one(self) -> bool:
        try:
            self._ready.put(self._new())
        except OSError as error:  # a full disk, say: the next one is made, or refused, in its own call
            log.warning("storage: cannot make a spare directory: %s", error)
            return False
        return True


def make_container_directory(path: str) -> None:
    """`path` with `upper` and `work` in it. Idempotent."""
    os.makedirs(path, mode=0o710, exist_ok=True)
    for name, mode in (("upper", 0o755), ("work", 0o700)):
        inner = os.path.join(path, name)
        try:
            os.mkdir(inner, mode)
        except FileExistsError:
            continue
        os.chmod(inner, mode)  # whatever the umask: the upper's mode is the mode of the container's /
