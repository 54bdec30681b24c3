"""The clock of restart policies: starts again what waits, and with an engine what comes with it.

What is decided is in restart_policy.py. An engine that ends leaves what waits to the next, which waits for the rest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

from wardian.caller import unasked
from wardian.engine.life.state import State
from wardian.engine.registry import Container

log = logging.getLogger(__name__)

_NOT_FREE = 0.2  # seconds between two looks
_AT_ONCE = 8  # starts under way together when an engine begins


class Restarts:
    """The clock. `again` starts a container that waits; it is called with the container's lock held. `is_free` says
    whether it can be started now: a copy from its files may go on after its end.

    Nothing is started before `open`: an engine first settles what it finds.
    """

    def __init__(self, again: Callable[[Container], Awaitable[None]], is_free: Callable[[Container], bool]) -> None:
        self._again = again
        self._is_free = is_free
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._open = asyncio.Event()
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        self._open.set()

    async def close(self) -> None:
        """What waits goes on waiting: the next engine finds it. A start under way is finished."""
        self._closing = True
        for identity in list(self._waiting):
            self._waiting.pop(identity).cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wait(self, container: Container, nanoseconds: int) -> None:
        """Start it after so long, unless it is cancelled."""
        if self._closing:
            return
        self._waiting[container.id] = self._spawn(self._after(container, nanoseconds / 1e9))

    def cancel(self, container: Container) -> bool:
        """False when nothing waits: it is being started at this moment, or nothing was to come."""
        task = self._waiting.pop(container.id, None)
        return task is not None and task.cancel()

    async def _after(self, container: Container, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
        await self._open.wait()
        while not self._is_free(container):
            await asyncio.sleep(_NOT_FREE)
        async with container.lock:
            if self._waiting.pop(container.id, None) is None or container.state.state is not State.RESTARTING:
                return
            await self._quietly(container)

    def start_all(
        self,
        containers: Sequence[Container],
        needs: Callable[[Container], Iterable[str]],
    ) -> None:
        """Those that come with the engine, a few at once; each after those whose namespaces or names it `needs`."""
        turns = asyncio.Semaphore(_AT_ONCE)
        started: dict[str, asyncio.Task[None]] = {}

        async def one(container: Container, before: Sequence["asyncio.Task[None]"]) -> None:
            await asyncio.gather(*before, return_exceptions=True)
            async with turns, container.lock:
                if container.state.state is State.EXITED and not self._closing:
                    await self._quietly(container)

        for container in containers:  # in the order of their creation: what one needs was there before it
            before = [started[identity] for identity in needs(container) if identity in started]
            started[container.id] = self._spawn(one(container, before))

    async def _quietly(self, container: Container) -> None:
        try:
            await self._again(container)
        except Exception as error:  # its state has it; nobody waits for an answer
            log.error("container %s: its restart policy could not start it: %s", container.id[:12], error)

    def _spawn(self, work: "Coroutine[None, None, None]") -> "asyncio.Task[None]":
        with unasked():
            task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """One that failed is forgotten, so that nobody takes what it was to start for something that still waits."""
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.error("a start by a restart policy failed", exc_info=task.exception())
        for identity in [identity for identity, waiting in self._waiting.items() if waiting is task]:
            del self._waiting[identity]
