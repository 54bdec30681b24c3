"""What happened: a ring in memory that every subscriber reads from, and a copy in the database for the next engine.

The copy is written in batches, off the way of the operation that caused the event.
"""

import asyncio
import logging
import sqlite3
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from wardian.engine.filters import Filters, matches_label
from wardian.engine.store import EngineStore
from wardian.errors import WardianError

_KEEP = 1024
_BEHIND = 4 * _KEEP
_WRITE_AFTER = 1.0
_WRITE_AGAIN = 10.0  # after a write that failed, on a full disk say
Queue = asyncio.Queue["dict[str, Any] | None"]  # None: the end of it
# docker names containers, and only them, in three older top-level fields too
_OLD_FIELDS = "container"

log = logging.getLogger(__name__)


class Events:
    """The bus. `publish` never waits; the stream of a subscriber that does not read ends when it is _BEHIND events
    behind: it can ask again with `since`, and what it was given has no hole."""

    def __init__(self, store: EngineStore) -> None:
        self._store = store
        self._ring: deque[dict[str, Any]] = deque(maxlen=_KEEP)
        self._unwritten: deque[tuple[int, str]] = deque(maxlen=_KEEP)
        self._failing = False
        # weak: an iterator that is dropped, even before its first step, takes its queue with it
        self._subscribers: weakref.WeakSet[Queue] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None

    def load(self) -> None:
        self._ring.extend(msgspec.json.decode(text) for text in self._store.events())

    def close(self) -> None:
        """What cannot be written now is lost with this engine."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()

    def listeners(self) -> int:
        return len(self._subscribers)

    def publish(self, kind: str, action: str, identity: str, attributes: Mapping[str, str]) -> None:
        now = time.time_ns()
        event: dict[str, Any] = {}
        if kind == _OLD_FIELDS:
            event = {"status": action, "id": identity, "from": attributes.get("image", "")}
        event |= {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": identity, "Attributes": dict(attributes)},
            "scope": "local",
            "time": now // 1_000_000_000,
            "timeNano": now,
        }
        self._ring.append(event)
        for queue in list(self._subscribers):
            if queue.qsize() < _BEHIND:
                queue.put_nowait(event)
            else:
                self._subscribers.discard(queue)
                queue.put_nowait(None)
        self._unwritten.append((now, msgspec.json.encode(event).decode()))
        if self._timer is None:
            self._write_after(_WRITE_AFTER)

    def _write(self) -> None:
        self._timer = None
        if not self._flush():
            self._write_after(_WRITE_AGAIN)

    def _write_after(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._write)

    def _flush(self) -> bool:
        """False when they could not be written: the newest are kept for a later try."""
        if not self._unwritten:
            return True
        try:
            self._store.add_events(self._unwritten, _KEEP)
        except (WardianError, sqlite3.Error) as error:
            if not self._failing:
                log.error("events are kept in memory only, until they can be written: %s", error)
            self._failing = True
            return False
        if self._failing:
            log.info("events are written again")
        self._failing = False
        self._unwritten.clear()
        return True

    def subscribe(
        self, since: int = 0, until: int = 0, filters: Filters | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Events from `since` (0: from now) to `until` (0: for ever), unix ns. Subscribed when this returns."""
        wanted = filters or {}
        queue: Queue = asyncio.Queue()
        for event in self._ring:
            if since and event["timeNano"] >= since:
                queue.put_nowait(event)
        self._subscribers.add(queue)
        return self._read(queue, until, wanted)

    async def _read(self, queue: "Queue", until: int, filters: Filters) -> AsyncIterator[dict[str, Any]]:
        try:
            while True:
                left = (until - time.time_ns()) / 1e9 if until else None
                if left is not None and left <= 0 and queue.empty():
                    return
                try:
                    event = await asyncio.wait_for(queue.get(), None if left is None else max(left, 0.001))
                except TimeoutError:
                    return
                if event is None or (until and event["timeNano"] > until):
                    return
                if matches_event(event, filters):
                    yield event
        finally:
            self._subscribers.discard(queue)


def matches_event(event: Mapping[str, Any], filters: Filters) -> bool:
    """Docker's rule: values of one key are alternatives, keys must all hold."""
    actor = event["Actor"]
    attributes = actor["Attributes"]
    for key, wanted in filters.items():
        if key == "type":
            found = event["Type"] in wanted
        elif key == "event":
            # "exec_create: sh" answers to exec_create
            found = event["Action"] in wanted or event["Action"].partition(":")[0] in wanted
        elif key == "label":
            found = all(matches_label(attributes, text) for text in wanted)
        elif key == "scope":
            found = event["scope"] in wanted
        elif key == "image":
            names = (attributes.get("image", ""), actor["ID"] if event["Type"] == "image" else "")
            found = any(name and (name in wanted or name.partition(":")[0] in wanted) for name in names)
        elif key in ("container", "network", "volume"):
            found = event["Type"] == key and any(
                actor["ID"].startswith(text) or attributes.get("name") == text for text in wanted
            )
        else:
            found = False
        if not found:
            return False
    return True
