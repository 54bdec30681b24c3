"""A container's log, as its supervisor wrote it (Docker's json-file format), read from where the client asked.

    containers/ID/ID-json.log          the newest file; at its limit it becomes ID-json.log.1, that one .2, ...
    {"log":"text\\n","stream":"stdout","time":"2026-11-21T03:49:52.643422431Z"}      one entry a line

The tail is found from the end, block by block; following waits on inotify and never polls.
"""

import asyncio
import calendar
import math
import os
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import msgspec

from wardian.kernel import inotify

_BLOCK = 1 << 16
_FRAME = struct.Struct(">BxxxL")
_STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}

End = asyncio.Future[dict[str, Any]]


class LogOptions(NamedTuple):
    """The query of GET /containers/ID/logs. Times are unix nanoseconds, 0 for none; `tail` is -1 for all."""

    follow: bool = False
    stdout: bool = False
    stderr: bool = False
    since: int = 0
    until: int = 0
    tail: int = -1
    timestamps: bool = False


class LogStream(NamedTuple):
    """`chunks` are ready to send: framed as Docker frames streams unless the container has a terminal (`tty`)."""

    tty: bool
    chunks: AsyncIterator[bytes]


class _Entry(msgspec.Struct):
    log: str
    stream: str
    time: str


_decode = msgspec.json.Decoder(_Entry).decode


def log_path(directory: str, identity: str) -> str:
    return os.path.join(directory, f"{identity}-json.log")


class LogReader:
    """Reads one container's log files. Who follows gives `end`: a future that is done when no more can come."""

    def __init__(self, path: str, options: LogOptions, tty: bool, end: Callable[[], End] | None = None) -> None:
        self._path = path
        self._options = options
        self._tty = tty
        self._end = end
        self._wanted = {name for name in ("stdout", "stderr") if getattr(options, name)}

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._options.tail == 0 and not self._options.follow:
            return
        cursor = _Cursor(self._path)
        watch = _Watch(os.path.dirname(self._path), self._end()) if self._end is not None else None
        try:
            await cursor.seek_tail(self._options.tail)
            while True:
                # asked before the read: what came before the end of the container is then surely read
                more = watch is not None and not watch.ended() and self._seconds_left() > 0
                for lines in cursor.read():
                    data = self._render(lines)
                    if data:
                        yield data
                    await asyncio.sleep(0)
                if not more:
                    return
                assert watch is not None
                await watch.changed(self._seconds_left())
        finally:
            cursor.close()
            if watch is not None:
                watch.close()

    def _seconds_left(self) -> float:
        """Who follows up to a moment is told what came until then, and no more."""
        until = self._options.until
        return (until - time.time_ns()) / 1e9 if until else math.inf

    def _render(self, lines: list[bytes]) -> bytes:
        parts = []
        since, until, stamps = self._options.since, self._options.until, self._options.timestamps
        for line in lines:
            try:
                entry = _decode(line)
            except msgspec.DecodeError:
                continue  # a line that a power loss cut short
            if entry.stream not in self._wanted:
                continue
            if since or until:
                when = nanoseconds(entry.time)
                if when < since or (until and when > until):
                    continue
            data = f"{entry.time} {entry.log}".encode() if stamps else entry.log.encode()
            parts.append(data if self._tty else _FRAME.pack(_STREAMS[entry.stream], len(data)) + data)
        return b"".join(parts)


class _Cursor:
    """A place in the chain of log files, oldest to newest; it goes on in the next file after a rotation."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._rest = b""

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _files(self) -> list[str]:
        """Newest first."""
        found = [self._path] if os.path.exists(self._path) else []
        number = 1
        while os.path.exists(f"{self._path}.{number}"):
            found.append(f"{self._path}.{number}")
            number += 1
        return found

    async def seek_tail(self, entries: int) -> None:
        """Stand before the last `entries` lines of the whole chain; before the first for -1."""
        files = self._files()
        if not files:
            return
        if entries < 0:
            self._fd = os.open(files[-1], os.O_RDONLY | os.O_CLOEXEC)
            return
        with ExitStack() as others:
            # all of them now: others have their turn while we look, and a rotation gives every file another's name
            opened = [others.enter_context(open(path, "rb", buffering=0)) for path in files]
            left, offset = entries, 0
            for file in opened:
                offset, found = await _from_end(file.fileno(), left)
                left -= found
                if left <= 0:
                    break
            self._fd = os.dup(file.fileno())  # not inherited either (PEP 446)
            os.lseek(self._fd, offset, os.SEEK_SET)

    def read(self) -> Iterator[list[bytes]]:
        """All whole lines that are there now, some at a time, over rotations."""
        if self._fd < 0 and not self._open_first():
            return
        while True:
            data = os.read(self._fd, _BLOCK)
            if data:
                *lines, self._rest = (self._rest + data).split(b"\n")
                if lines:
                    yield lines
            elif not self._cut_back() and not self._next_file():
                return

    def _cut_back(self) -> bool:
        """With max-file 1 a full file is emptied, not renamed: begin anew."""
        if os.fstat(self._fd).st_size >= os.lseek(self._fd, 0, os.SEEK_CUR):
            return False
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._rest = b""
        return True

    def _open_first(self) -> bool:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True

    def _next_file(self) -> bool:
        """When ours was rotated away, go on in the one that is next newer."""
        inode = os.fstat(self._fd).st_ino
        newer = ""
        for path in self._files():
            try:
                if os.stat(path).st_ino == inode:
                    break
            except FileNotFoundError:
                continue
            newer = path
        if not newer:
            return False
        self.close()
        self._rest = b""
        try:
            self._fd = os.open(newer, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._open_first()
        return True


async def _from_end(fd: int, lines: int) -> tuple[int, int]:
    """(offset of the first of the last `lines` lines, how many of them this file has). A long way back through a file
    that nobody rotates is gone a block at a time, and the engine does other things in between."""
    position = os.fstat(fd).st_size
    found = -1  # the newline that ends the last line begins none
    if not position or not lines:
        return position, 0
    while position > 0:
        start = max(0, position - _BLOCK)
        block = os.pread(fd, position - start, start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == lines:
                return start + at + 1, lines
        position = start
        await asyncio.sleep(0)
    return 0, found + 1


class _Watch:
    """Waits for the log directory to change, or for the container to end."""

    def __init__(self, directory: str, ended: End) -> None:
        self._fd = inotify.watch(directory, inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO)
        self._changed = asyncio.Event()
        self._container_ended = ended
        ended.add_done_callback(self._wake)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._heard)

    def _heard(self) -> None:
        inotify.drain(self._fd)
        self._changed.set()

    def _wake(self, ended: End) -> None:
        self._changed.set()

    def ended(self) -> bool:
        return self._container_ended.done()

    async def changed(self, seconds: float) -> None:
        """Returns after a change, or after so many seconds."""
        try:
            await asyncio.wait_for(self._changed.wait(), None if seconds == math.inf else seconds)
        except TimeoutError:
            return
        self._changed.clear()

    def close(self) -> None:
        self._container_ended.remove_done_callback(self._wake)
        self._container_ended.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


def nanoseconds(text: str) -> int:
    """Unix nanoseconds of an RFC 3339 time in UTC, as the supervisor writes it."""
    head, _, fraction = text.rstrip("Z").partition(".")
    date, _, clock = head.partition("T")
    numbers = [int(part) for part in (*date.split("-"), *clock.split(":"))]
    return calendar.timegm((*numbers, 0, 0, 0)) * 1_000_000_000 + int((fraction + "000000000")[:9])
