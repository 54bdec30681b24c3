"""Rules that somebody else flushed come back: the kernel's notifications are watched on the engine's loop.

Our own changes are told too. They are read away on the loop some time later, many at once, and wake no other thread.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from wardian.errors import WardianError
from wardian.network.firewall.contract import Firewall

log = logging.getLogger(__name__)

# A flush is followed by more from the same hand (a reload makes its tables anew): they are answered together.
SETTLE_SECONDS = 0.03
# Between two looks, so that a firewall that keeps undoing ours costs little, and nothing is gone for a second.
PAUSE_SECONDS = 0.3


class Watch:
    """`work` runs what it is given in the firewall's thread. Used in the loop's thread."""

    def __init__(self, firewall: Firewall, work: Callable[[Callable[[], bool]], Awaitable[bool]]) -> None:
        self._firewall = firewall
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self.mended = 0  # how often something had to be put back

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(), name="firewall watch")

    async def stop(self) -> None:
        """Before the firewall is closed."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        failed = False
        while True:
            if not failed:
                await _readable(self._firewall.fileno())
                await asyncio.sleep(SETTLE_SECONDS)
                if self._firewall.settled():
                    continue
            failed = not await self._mend()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _mend(self) -> bool:
        """False when it failed."""
        try:
            if await self._work(self._firewall.mend):
                self.mended += 1
                log.warning("somebody changed the firewall's rules of Wardian; they were put back")
        except (OSError, WardianError) as error:
            log.warning("the firewall's rules could not be put back, it is tried again: %s", error)
            return False
        return True


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
