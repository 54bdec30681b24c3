"""What happened: on disk before anybody hears of it (journal.py), then given to every subscriber.

Each event has an id, in Docker's JSON under "Wardian": a subscriber that was cut off asks for what came after the last
one that it has seen, and has no hole, also across engines.
"""

import asyncio
import logging
import os
import time
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from wardian.engine.events.filters import matches_event
from wardian.engine.events.journal import Journal, Segment
from wardian.engine.events.lines import line_of
from wardian.engine.filters import Filters
from wardian.engine.store import EngineStore
from wardian.errors import CONFLICT, INVALID, WardianError

_KEEP = 1024  # in memory, while the disk takes none
_BEHIND = 4096
_WRITE_AGAIN = 10.0  # after a write that failed, on a full disk say
# a power loss may have taken events whose ids were seen: those are not given again
_UNSEEN = 10_000
Queue = asyncio.Queue["dict[str, Any] | None"]  # None: the end of it
# docker names containers, and only them, in three older top-level fields too
_OLD_FIELDS = "container"

log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """What a subscriber asked for: unix ns, `until` 0 for ever; `after` is an id."""

    since: int
    until: int
    after: int
    filters: Filters

    def takes(self, event: Mapping[str, Any]) -> bool:
        return (
            event["timeNano"] >= self.since
            and not self.is_past(event)
            and event["Wardian"]["ID"] > self.after
            and matches_event(event, self.filters)
        )

    def is_past(self, event: Mapping[str, Any]) -> bool:
        return bool(self.until) and event["timeNano"] > self.until


class Events:
    """The bus. `publish` never waits; the stream of a subscriber that does not read ends when it is _BEHIND events
    behind: it can ask again for what came after its last, and what it was given has no hole."""

    def __init__(self, store: EngineStore, directory: str) -> None:
        self._store = store
        self._journal = Journal(directory)
        self._unwritten: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_KEEP)
        self._failing = False
        self._closed = False
        self._last = 0
        self.cut_off = False  # the engine before this one was killed
        # weak: an iterator that is dropped, even before its first step, takes its queue with it
        self._subscribers: weakref.WeakSet[Queue] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self.counted: Counter[tuple[str, str]] = Counter()  # by type and action, of this engine

    def load(self) -> None:
        journal = self._journal
        journal.open()
        for event in self._store.take_events():  # of an engine that kept them in its database
            journal.append(journal.last + 1, line_of(event | {"Wardian": {"ID": journal.last + 1}}))
        newest = journal.newest
        ended_well = newest is None or (newest["Type"], newest["Action"]) == ("daemon", "stop")
        self.cut_off = not ended_well
        self._last = journal.last if ended_well else journal.last + _UNSEEN

    def close(self) -> None:
        """What cannot be written now is lost with this engine."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._closed = True
        self._journal.close()

    def told(self) -> Iterator[dict[str, Any]]:
        """All that is known, the oldest first."""
        for segment in self._journal.segments():
            yield from segment.events()
        yield from [event for _, event in self._unwritten]

    def listeners(self) -> int:
        return len(self._subscribers)

    @property
    def last(self) -> int:
        """The newest id. Who lists things and then asks for the events after an id that was read before misses none."""
        return self._last

    def publish(self, kind: str, action: str, identity: str, attributes: Mapping[str, str]) -> None:
        now = time.time_ns()
        event: dict[str, Any] = {}
        if kind == _OLD_FIELDS:
            event = {"status": action, "id": identity, "from": attributes.get("image", "")}
        self._last += 1
        event |= {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": identity, "Attributes": dict(attributes)},
            "scope": "local",
            "time": now // 1_000_000_000,
            "timeNano": now,
            "Wardian": {"ID": self._last},
        }
        self.counted[kind, action.partition(":")[0]] += 1
        self._unwritten.append((self._last, event))
        if self._timer is None:
            self._write()
        for queue in list(self._subscribers):
            if queue.qsize() < _BEHIND:
                queue.put_nowait(event)
            else:
                self._subscribers.discard(queue)
                queue.put_nowait(None)

    def _write(self) -> None:
        self._timer = None
        if not self._flush() and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_WRITE_AGAIN, self._write)

    def _flush(self) -> bool:
        """False when they could not be written: the newest are kept for a later try."""
        try:
            while self._unwritten:
                identity, event = self._unwritten[0]
                self._journal.append(identity, line_of(event))
                self._unwritten.popleft()
        except OSError as error:
            if not self._failing and not self._closed:
                log.error("events are kept in memory only, until they can be written: %s", error)
            self._failing = True
            return False
        if self._failing:
            log.info("events are written again")
        self._failing = False
        return True

    def subscribe(
        self, since: int = 0, until: int = 0, filters: Filters | None = None, after: int | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Events from `since` (unix ns), or from the one after the id `after`, to `until` (0: for ever); from now when
        neither is given. Subscribed when this returns. Raises WardianError for an id that is not known any more."""
        if since and until and since > until:
            seconds = (since // 1_000_000_000, until // 1_000_000_000)
            message = f"`since` time ({seconds[0]}) cannot be after `until` time ({seconds[1]})"
            raise WardianError(INVALID, message, operation="events")
        if after is not None:
            self._check_known(after)
        past: list[Segment | list[dict[str, Any]]] = []
        if since or after is not None:
            past = [*self._journal.segments(), [event for _, event in self._unwritten]]
        queue: Queue = asyncio.Queue()
        self._subscribers.add(queue)
        return self._read(past, queue, Wanted(since, until, after or 0, filters or {}))

    def _check_known(self, after: int) -> None:
        if after > self._last:
            message = f"no event has the id {after}: the newest is {self._last}"
            raise WardianError(INVALID, message, operation="events", subject=str(after))
        if after + 1 < self._journal.oldest:
            message = f"the events after {after} are not kept any more: the oldest is {self._journal.oldest}"
            hint = "list what there is, and go on from there"
            raise WardianError(CONFLICT, message, operation="events", subject=str(after), hint=hint)

    async def _read(
        self, past: "list[Segment | list[dict[str, Any]]]", queue: "Queue", wanted: Wanted
    ) -> AsyncIterator[dict[str, Any]]:
        try:
            for part in past:
                for event in await asyncio.to_thread(_taken, part, wanted):
                    yield event
            while True:
                left = (wanted.until - time.time_ns()) / 1e9 if wanted.until else None
                if left is not None and left <= 0 and queue.empty():
                    return
                try:
                    event_or_end = await asyncio.wait_for(queue.get(), None if left is None else max(left, 0.001))
                except TimeoutError:
                    return
                if event_or_end is None or wanted.is_past(event_or_end):
                    return
                if wanted.takes(event_or_end):
                    yield event_or_end
        finally:
            self._subscribers.discard(queue)


def _taken(part: "Segment | list[dict[str, Any]]", wanted: Wanted) -> list[dict[str, Any]]:
    events: Iterable[dict[str, Any]] = part.events() if isinstance(part, Segment) else part
    return [event for event in events if wanted.takes(event)]


def daemon_attributes(version: str) -> dict[str, str]:
    """Of an engine that starts or stops."""
    return {"name": os.uname().nodename, "version": version, "pid": str(os.getpid())}
