"""A bridge of ours that somebody deletes, or takes the gateway's address from, comes back at once, not with the next
container: those that live on it hang on it again.

A bridge that was the host's own before is its owner's to delete; what is missing there is seen at the next use. And
whose ports the bridges of others have is looked at again when those change: what may pass there hangs on it.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable

from wardian.errors import WardianError
from wardian.kernel.departures import Departures
from wardian.network.host import Host

log = logging.getLogger(__name__)

# A link and its addresses go one after the other.
SETTLE_SECONDS = 0.03
# Between two looks, so that who keeps deleting costs little.
PAUSE_SECONDS = 0.3
BRIDGES_PAUSE_SECONDS = 0.05

Work = Callable[[Callable[[], str]], Awaitable[str]]


class LinkWatch:
    """`work` runs what it is given in the network's thread, in which `departures` was made; `see_bridges` is such a
    job. Used in the loop's."""

    def __init__(self, host: Host, departures: Departures, work: Work, see_bridges: Callable[[], str]) -> None:
        self._host = host
        self._see_bridges = see_bridges
        self._departures = departures
        self._work = work
        self._ready = asyncio.Event()
        self._gone: set[int] = set()
        self._rebuilt = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._departures.fileno(), self._look)
        self._rebuilt.set()  # by now they may be others than when they were read
        self._tasks = [
            loop.create_task(self._watch(), name="link watch"),
            loop.create_task(self._watch_bridges(), name="bridge watch"),
        ]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        if tasks:
            asyncio.get_running_loop().remove_reader(self._departures.fileno())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._departures.close()

    def _look(self) -> None:
        """Each container's start and end is told here: an end that is none of a link of ours wakes nobody, and a port
        of ours doesn't either."""
        told = self._departures.take()
        kept = set(self._host.kept)  # at once: the network's thread may be changing it
        self._gone |= told.links & kept if told.complete else kept
        if self._gone:
            self._ready.set()
        if told.bridges - kept or not told.complete:
            self._rebuilt.set()

    async def _watch(self) -> None:
        while True:
            await self._ready.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._ready.clear()
            gone, self._gone = self._gone, set()
            for index in gone:
                await self._put_back(index)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _watch_bridges(self) -> None:
        """Without letting it settle: what one more card makes a way in is shut now."""
        while True:
            await self._rebuilt.wait()
            self._rebuilt.clear()
            try:
                await self._work(self._see_bridges)
            except (OSError, WardianError) as error:
                log.warning("what may pass by the host's bridges is what it was before they changed: %s", error)
            await asyncio.sleep(BRIDGES_PAUSE_SECONDS)

    async def _put_back(self, index: int) -> None:
        """One that cannot be keeps none of the others away."""
        try:
            name = await self._work(functools.partial(self._host.put_back, index))
        except (OSError, WardianError) as error:
            log.warning("a bridge that somebody deleted is put back with its next use: %s", error)
        else:
            if name:
                log.warning("somebody deleted the bridge %s or its address; it was put back", name)
