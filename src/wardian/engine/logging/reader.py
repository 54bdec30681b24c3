"""A container's log, from where the client asked. The tail is found from the end; following waits on inotify and never
polls."""

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from wardian.engine.logging.chain import Chain
from wardian.engine.logging.entries import Renderer, Rendering
from wardian.kernel import inotify

log = logging.getLogger(__name__)

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
    details: bool = False


class LogStream(NamedTuple):
    """`chunks` are ready to send: framed as Docker frames streams unless the container has a terminal (`tty`)."""

    tty: bool
    chunks: AsyncIterator[bytes]


class LogReader:
    """Reads one container's log files. Who follows gives `end`: a future that is done when no more can come.

    Who follows gets a frame for each entry, as with Docker: clients take a frame for a line. A log that is read as a
    whole comes in larger ones.
    """

    def __init__(self, path: str, options: LogOptions, tty: bool, end: Callable[[], End] | None = None) -> None:
        self._path = path
        self._options = options
        self._end = end
        self._renderer = Renderer(
            Rendering(
                streams=frozenset(name.encode() for name in ("stdout", "stderr") if getattr(options, name)),
                framed=not tty,
                each=end is not None,
                since=options.since,
                until=options.until,
                timestamps=options.timestamps,
                details=options.details,
            )
        )

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._options.tail == 0 and not self._options.follow:
            return
        chain = Chain(self._path)
        watch = Watch(os.path.dirname(self._path), self._end()) if self._end is not None else None
        told = False
        try:
            await chain.seek_tail(self._options.tail, until_now=watch is None)
            while True:
                # asked before the read: what came before the end of the container is then surely read
                more = watch is not None and not watch.ended() and self._seconds_left() > 0
                async for data in self._rendered(chain):
                    if chain.gaps and not told:
                        told = self._tell_gap()
                    yield data
                if not more:
                    return
                assert watch is not None
                await watch.changed(self._seconds_left())
        finally:
            chain.close()
            if watch is not None:
                watch.close()

    async def chunks_through(self, stop: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
        """All that is there, and what came meanwhile until `stop` saw to it that no more comes."""
        chain = Chain(self._path)
        try:
            chain.seek_first()
            async for data in self._rendered(chain):
                yield data
            await stop()
            async for data in self._rendered(chain):
                yield data
        finally:
            chain.close()

    async def _rendered(self, chain: Chain) -> AsyncIterator[bytes]:
        for block in chain.read():
            data = self._renderer.render(block)
            if data:
                yield data
            await asyncio.sleep(0)

    def _tell_gap(self) -> bool:
        """Where Docker's says it too: the client gets lines, and nothing that is none. Of a log that has one file each
        rotation takes the file from under its readers, and whether that was read through nobody knows."""
        several = os.path.exists(f"{self._path}.1")
        if several:
            log.warning("%s: rotated faster than somebody follows: lines may have been skipped", self._path)
        return several

    def _seconds_left(self) -> float:
        """Who follows up to a moment is told what came until then, and no more."""
        until = self._options.until
        return (until - time.time_ns()) / 1e9 if until else math.inf


class Watch:
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

    async def changed(self, seconds: float = math.inf) -> None:
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
