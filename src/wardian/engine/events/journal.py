"""Events on disk: DATA_ROOT/events/FIRST-ID.jsonl, one event a line, appended before anybody hears of it.

A write to the page cache outlives the engine, however that ends, and takes a fiftieth of a database's commit; a power
loss may take the last seconds. Segments are bounded in size and number: the oldest goes when a new one is begun.
"""

import errno
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

_SEGMENT = 2 << 20
_KEPT = 4
_SUFFIX = ".jsonl"
_TAIL = 1 << 16


class Segment(NamedTuple):
    """A file as far as it was complete at a moment; `first` is the id of its first event."""

    path: str
    first: int
    size: int

    def events(self) -> Iterator[dict[str, Any]]:
        """A line that a power loss cut, or a segment that went meanwhile, is passed over."""
        try:
            with open(self.path, "rb") as file:
                content = file.read(self.size)
        except FileNotFoundError:
            return
        for line in content.splitlines():
            event = _event(line)
            if event is not None:
                yield event


class Journal:
    """Ids grow for as long as the directory lives. `last` is the newest, 0 when there is none."""

    def __init__(self, directory: str, segment: int = _SEGMENT, kept: int = _KEPT) -> None:
        self._directory = directory
        self._limit = segment
        self._kept = kept
        self._segments: list[Segment] = []
        self._fd = -1
        self._closed = False
        self.last = 0
        self.newest: dict[str, Any] | None = None

    def open(self) -> None:
        self._closed = False
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        names = sorted(name for name in os.listdir(self._directory) if name.endswith(_SUFFIX))
        for name in names:
            path = os.path.join(self._directory, name)
            self._segments.append(Segment(path, int(name.removesuffix(_SUFFIX)), os.stat(path).st_size))
        if self._segments:
            self._open_newest()

    def _open_newest(self) -> None:
        newest = self._segments[-1]
        self._fd = os.open(newest.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        start = max(0, newest.size - _TAIL)
        tail = os.pread(self._fd, _TAIL, start)
        whole = start + tail.rfind(b"\n") + 1
        if whole < newest.size:  # the end of a line that was not written whole
            os.ftruncate(self._fd, whole)
            self._segments[-1] = newest._replace(size=whole)
        self.last = newest.first - 1
        for line in tail.splitlines():
            event = _event(line)
            if event is not None:
                self.newest, self.last = event, identity_of(event)

    def close(self) -> None:
        self._let_go()
        self._closed = True

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    @property
    def oldest(self) -> int:
        """The id from which on all are kept; the next one when none is."""
        return self._segments[0].first if self._segments else self.last + 1

    def segments(self) -> list[Segment]:
        """What is there now, the oldest first."""
        return list(self._segments)

    def append(self, identity: int, line: bytes) -> None:
        """Raises OSError when the disk does not take it, or once this is closed; then nothing of it is there."""
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._directory)
        if not self._segments or self._segments[-1].size + len(line) > self._limit:
            self._begin(identity)
        newest = self._segments[-1]
        written = os.write(self._fd, line)
        if written < len(line):  # of a file, only when the disk is full
            os.ftruncate(self._fd, newest.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), newest.path)
        self._segments[-1] = newest._replace(size=newest.size + len(line))
        self.last = identity

    def _begin(self, identity: int) -> None:
        path = os.path.join(self._directory, f"{identity:020d}{_SUFFIX}")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._let_go()
        self._fd = fd
        if self._segments and self._segments[-1].path == path:
            self._segments.pop()  # the disk was full when it was begun
        self._segments.append(Segment(path, identity, 0))
        while len(self._segments) > self._kept:
            os.unlink(self._segments.pop(0).path)


def identity_of(event: dict[str, Any]) -> int:
    return int(event["Wardian"]["ID"])


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return event if isinstance(event, dict) and "Wardian" in event else None
