"""Followers: tasks that send the lines of a container's file to the journal, to syslog or to fluentd.

ID-json.log ──► Chain ──► Line … ──► target.send(lines) ──► ID-log-place.json, when they are away
                                      │ OSError: tried again, after 0.5 s and up to 30
Each line is sent at least once. A target that is down blocks nothing: the file waits, and what was rotated away
meanwhile is counted. The place outlives the engine; the next one goes on from there, and sends what is left of
containers that have ended. Of a container that is removed the rest is sent for some seconds, from held descriptors.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from wardian.engine.logging import drivers
from wardian.engine.logging.chain import Chain, Place
from wardian.engine.logging.entries import entries, nanoseconds, unescaped
from wardian.engine.logging.reader import Watch
from wardian.engine.registry import Container

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_LAST_SECONDS = 10.0
_PART = 16384  # what the supervisor writes of a line that goes on (PART in launcher/log.c)
_BATCH = 512


class Line(NamedTuple):
    """`text` without its line feed. Of a long line there are parts, with `part` from 1; the last says `last`."""

    text: bytes
    stream: str
    time: int
    part: int = 0
    last: bool = False


class Target(Protocol):
    """Where lines go. `send` raises OSError when they could not be given away; it is then asked with the same again,
    `pause` seconds later, and twice as long each time."""

    @property
    def pause(self) -> float: ...

    async def send(self, lines: list[Line]) -> None: ...

    def close(self) -> None: ...


MakeTarget = Callable[[Container], Target]


class _Stored(msgspec.Struct):
    """The durable place: what was sent up to there, how many lines, and how many places were lost to rotation."""

    inode: int = 0
    head: str = ""
    offset: int = 0
    sent: int = 0
    gaps: int = 0


def place_path(container: Container) -> str:
    return os.path.join(container.config.directory, f"{container.id}-log-place.json")


class Followers:
    """Of all containers of one engine."""

    def __init__(self, make_target: MakeTarget) -> None:
        self._make_target = make_target
        self._followers: dict[str, _Follower] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def follow(self, container: Container) -> None:
        """Of a container that runs, or whose lines were not all sent: until all are."""
        if not drivers.follows(container.config["HostConfig.LogConfig"]):
            return
        running = self._followers.get(container.id)
        if running is None or running.task.done():
            self._followers[container.id] = _Follower(container, self._make_target)

    def leave(self, container: Container) -> None:
        """Its directory is about to go: what is left is sent by descriptor, if its target takes it soon."""
        follower = self._followers.pop(container.id, None)
        if follower is None or follower.task.done():
            return
        follower.hold()
        task = asyncio.get_running_loop().create_task(_last_lines(follower))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        tasks = [*self._leaving, *(follower.task for follower in self._followers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def counts(self, identity: str) -> dict[str, int]:
        """For those who look into it: lines sent, gaps, and failures of the target in a row."""
        follower = self._followers.get(identity)
        return follower.counts() if follower else {}


async def _last_lines(follower: "_Follower") -> None:
    await asyncio.wait({follower.task}, timeout=_LAST_SECONDS)
    if not follower.task.done():
        log.warning("%s: its last lines were not taken by its log driver", follower.name)
        follower.task.cancel()


class _Follower:
    def __init__(self, container: Container, make_target: MakeTarget) -> None:
        self.name = f"container {container.id[:12]}"
        self._container = container
        self._make_target = make_target
        self._path = drivers.log_path(container.config.directory, container.id)
        self._chain = Chain(self._path)
        self._stored = _Stored()
        self._failures = 0
        self._held = False
        self._wake = asyncio.Event()
        self._parts: dict[str, int] = {}
        self.task = asyncio.get_running_loop().create_task(self._run())

    def hold(self) -> None:
        self._held = True
        self._chain.hold()
        self._wake.set()

    def counts(self) -> dict[str, int]:
        return {"sent": self._stored.sent, "gaps": self._stored.gaps, "failures": self._failures}

    async def _run(self) -> None:
        target: Target | None = None
        watch: Watch | None = None
        try:
            self._load()
            target = self._make_target(self._container)
            watch = self._watch()
            while True:
                ended = not self._container.state.live or self._held
                for block in self._chain.read():
                    await self._send(target, list(self._lines(block)))
                    self._save()
                if ended:
                    return
                await self._changed(watch)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s: its log driver has failed", self.name)
        finally:
            self._chain.close()
            if watch is not None:
                watch.close()
            if target is not None:
                target.close()

    def _watch(self) -> Watch:
        end: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self._container.state.live:
            self._container.add_waiter("next-exit", end)
        else:
            end.set_result({})
        return Watch(os.path.dirname(self._path), end)

    async def _changed(self, watch: Watch) -> None:
        waits = {asyncio.ensure_future(watch.changed()), asyncio.ensure_future(self._wake.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _send(self, target: Target, lines: list[Line]) -> None:
        pause = target.pause
        for start in range(0, len(lines), _BATCH):
            batch = lines[start : start + _BATCH]
            while True:
                try:
                    await target.send(batch)
                    break
                except OSError as error:
                    if not self._failures:
                        log.warning("%s: its log driver cannot send, and goes on trying: %s", self.name, error)
                    self._failures += 1
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), pause)
                    pause = min(2 * pause, max(target.pause, _LONGEST_PAUSE))
                    if self._wake.is_set():
                        self._wake.clear()
                        pause = target.pause
            if self._failures:
                log.info("%s: its log driver sends again, after %d failures", self.name, self._failures)
            self._failures = 0
            self._stored.sent += len(batch)
            await asyncio.sleep(0)

    def _lines(self, block: bytes) -> Iterator[Line]:
        for entry in entries(block):
            text, stream, ended = unescaped(entry.text), entry.stream.decode(), entry.ended
            goes_on = not ended and len(text) >= _PART - 3  # parts end between characters
            part = self._parts.pop(stream, 0)
            if goes_on or part:
                part += 1
            if goes_on:
                self._parts[stream] = part
            when = nanoseconds(entry.time.decode())
            yield Line(text.removesuffix(b"\n") if ended else text, stream, when, part, bool(part) and not goes_on)

    # --- the place ---

    def _load(self) -> None:
        try:
            with open(place_path(self._container), "rb") as file:
                self._stored = stored = msgspec.json.decode(file.read(), type=_Stored)
        except FileNotFoundError:
            self._chain.seek_first()
            return
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s: the place in its log cannot be read, all that is there is sent: %s", self.name, error)
            self._chain.seek_first()
            return
        if not self._chain.seek(Place(stored.inode, stored.head, stored.offset)):
            stored.gaps += 1
            log.warning("%s: lines were rotated away before they could be sent", self.name)

    def _save(self) -> None:
        if self._held:
            return
        stored, place = self._stored, self._chain.place()
        stored.gaps, self._chain.gaps = stored.gaps + self._chain.gaps, 0
        stored.inode, stored.head, stored.offset = place
        path = place_path(self._container)
        try:
            with open(f"{path}.new", "wb") as file:
                file.write(msgspec.json.encode(stored))
            os.replace(f"{path}.new", path)
        except OSError as error:
            log.warning("%s: the place in its log was not written: %s", self.name, error)
