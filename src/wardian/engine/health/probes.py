"""Runs health checks: a timer for each container that is checked, and one exec at a time for its probe.

What a probe says goes from the supervisor to a socket of ours, of which no more is read than is kept; what it says
beyond that is thrown away by the supervisor. Results are in memory and, for the next engine, in health.json beside the
container. A probe whose engine is gone is ended by its own supervisor, a little after its time.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable

import msgspec

from wardian.engine.descriptors import refuse_without_descriptors
from wardian.engine.execs.launch import Exec
from wardian.engine.execs.table import Execs
from wardian.engine.health import rules as health
from wardian.engine.health.rules import Check, Health, Result
from wardian.engine.life.create import write_file
from wardian.engine.life.state import RunState, State
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import WardianError
from wardian.runtime import Attacher

log = logging.getLogger(__name__)

Act = Callable[[str, Container], Awaitable[None]]
_FILE = "health.json"
_DEATH = 10.0  # seconds from SIGKILL to the end of a probe, unless the kernel holds it
_END = 1.0  # from the end of a probe that was killed to its container's, if that is why
_SIGKILLED = 137
_APART = 0.02  # between the first checks of two containers that a new engine finds


class _Monitor:
    """Of one container that runs."""

    __slots__ = ("check", "container", "held", "skips", "task", "timer")

    def __init__(self, container: Container, check: Check) -> None:
        self.container = container
        self.check = check
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.held: Exec | None = None  # a probe that did not die
        self.skips = False  # the last one was left out, and that was said

    def stop(self) -> None:
        for running in (self.timer, self.task):
            if running is not None:
                running.cancel()


class HealthChecks:
    """`act(action, container)` does what was asked for when a container becomes unhealthy."""

    def __init__(self, parts: Parts, execs: Execs, act: Act) -> None:
        self._parts = parts
        self._execs = execs
        self._act = act
        self._monitors: dict[str, _Monitor] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- whose health is watched ---

    def follow(self, container: Container, before: RunState) -> None:
        """Its state has changed: what runs is checked, what is paused or has ended is not."""
        runs = container.state.state is State.RUNNING
        monitor = self._monitors.get(container.id)
        if runs and monitor is None:
            check = health.check_of(container.config)
            if check is None:
                return
            container.health = container.health or _stored(container)
            if not before.live or container.health is None:
                self._become(container, health.begun(container.health))
            self._begin(container, check)
        elif not runs and monitor is not None:
            del self._monitors[container.id]
            monitor.stop()
            if container.health is not None:
                self._become(container, health.halted(container.health))

    def recover(self) -> None:
        """Go on where an earlier engine was. Called when containers and their execs are known."""
        overdue = 0
        for container in self._parts.registry:
            check = health.check_of(container.config)
            if check is None or container.id in self._monitors:
                continue
            container.health = found = _stored(container)
            if container.state.state is State.RUNNING:
                container.health = found or health.begun(None)
                overdue += 1
                self._begin(container, check, least=overdue * _APART)
            elif found is not None:
                container.health = health.halted(found)

    async def close(self) -> None:
        """Let go of all. A probe that runs is ended: nobody hears what it says."""
        for monitor in self._monitors.values():
            monitor.stop()
        self._monitors.clear()
        left = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _begin(self, container: Container, check: Check, least: float = 0.0) -> None:
        monitor = self._monitors[container.id] = _Monitor(container, check)
        self._set_timer(monitor, least)

    def _set_timer(self, monitor: _Monitor, least: float = 0.0) -> None:
        found = monitor.container.health
        assert found is not None, "of one that runs"
        now, started_at = time.time_ns(), monitor.container.state.started_at
        last = max(started_at, found.log[-1].end if found.log else 0)
        wait = (last - now + health.pause(found, monitor.check, started_at, now)) / 1e9
        longest = monitor.check.interval / 1e9  # whatever was done to the clock
        monitor.timer = asyncio.get_running_loop().call_later(max(least, min(wait, longest)), self._due, monitor)

    # --- one check ---

    def _due(self, monitor: _Monitor) -> None:
        monitor.timer = None
        monitor.task = self._spawn(self._check(monitor))

    def _spawn(self, coroutine: Awaitable[None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(coroutine)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _check(self, monitor: _Monitor) -> None:
        container = monitor.container
        if self._skipped(monitor):
            return
        start, failed = time.time_ns(), False
        try:
            code, output = await self._probe(monitor)
        except WardianError as error:
            failed, code, output = True, health.KILLED, error.message
        except Exception as error:  # a check that cannot be made is a failed one, and the next may go well
            log.exception("container %s: its health check", container.id[:12])
            code, output = health.KILLED, str(error)
        end = time.time_ns()
        if (code == _SIGKILLED or failed) and container.exit_watch is not None:
            # the container's end takes its probe with it, and is heard of later: then this task is cancelled
            await asyncio.wait({container.exit_watch}, timeout=_END)
        before = container.health
        assert before is not None, "of one that is checked"
        result = Result(start, end, code, output)
        now = health.after(before, monitor.check, result, container.state.started_at)
        self._become(container, now)
        if now.status != before.status:
            attributes = container.event_attributes()
            self._parts.events.publish("container", f"health_status: {now.status}", container.id, attributes)
        monitor.task = None
        self._set_timer(monitor)
        action = container.config["Wardian.HealthOnFailure"]
        if action and now.status == health.UNHEALTHY:
            self._spawn(self._act_on(container, action))

    def _skipped(self, monitor: _Monitor) -> bool:
        """A check for which the engine has too few descriptors left says nothing of its container: it is left out until
        its next time comes. To count it as failed would end healthy containers, all at once."""
        container = monitor.container
        try:
            refuse_without_descriptors("health check")
        except WardianError as error:
            if not monitor.skips:
                log.warning("container %s: its health is not checked: %s", container.id[:12], error)
            assert container.health is not None, "of one that is checked"
            wait = health.pause(container.health, monitor.check, container.state.started_at, time.time_ns())
            monitor.skips, monitor.task = True, None
            self._set_timer(monitor, least=wait / 1e9)
        else:
            monitor.skips = False
        return monitor.skips

    async def _probe(self, monitor: _Monitor) -> tuple[int, str]:
        """The exit code, and what it said."""
        held, check = monitor.held, monitor.check
        if held is not None and held.running:
            return health.KILLED, f"the check before is still held in the kernel: see /proc/{held.pid}/stack"
        monitor.held = None
        said = bytearray()
        found = self._execs.probe(monitor.container, check.command, check.timeout)
        try:
            async with asyncio.timeout(check.timeout / 1e9):
                await self._listen(found, said)
                await found.ended()
        except TimeoutError:
            found.kill()
            try:
                await asyncio.wait_for(found.ended(), _DEATH)
            except TimeoutError:
                monitor.held = found
            return health.KILLED, health.timed_out(check, health.cut(bytes(said)))
        finally:
            found.kill()  # of a container that ends, or is paused
            self._execs.forget_probe(found)
        assert found.exit_code is not None, "it has ended"
        return found.exit_code, health.cut(bytes(said))

    async def _listen(self, found: Exec, said: bytearray) -> None:
        """Start it, and hear it until it is silent or has said more than is kept."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                streams = Attacher(theirs.fileno(), b"", stdin=False, stdout=True, stderr=True, framed=False)
                await self._execs.launch_probe(found, streams)
            while len(said) <= health.MOST_OUTPUT:
                more = await loop.sock_recv(ours, health.MOST_OUTPUT + 1 - len(said))
                if not more:
                    break
                said += more

    async def _act_on(self, container: Container, action: str) -> None:
        try:
            await self._act(action, container)
        except WardianError as error:
            log.warning("container %s is unhealthy, and to %s it failed: %s", container.id[:12], action, error)

    # --- what is kept ---

    def _become(self, container: Container, now: Health) -> None:
        container.health = now
        path = os.path.join(container.config.directory, _FILE)
        try:
            write_file(path, msgspec.json.encode(now))
        except FileNotFoundError:
            pass  # it is being removed
        except OSError as error:  # a full disk holds no check up
            log.error("container %s: its health was not stored: %s", container.id[:12], error)


def _stored(container: Container) -> Health | None:
    """None when it was never checked, or when what is there cannot be read."""
    try:
        with open(os.path.join(container.config.directory, _FILE), "rb") as file:
            return msgspec.json.decode(file.read(), type=Health)
    except (OSError, msgspec.DecodeError):
        return None
