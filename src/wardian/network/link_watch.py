"""A bridge of ours that somebody deletes, or takes the gateway's address from, comes back at once, not with the next
container: those that live on it hang on it again.

A bridge that was the host's own before is its owner's to delete; what is missing there is seen at the next use.
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

Work = Callable[[Callable[[], str]], Awaitable[str]]


class LinkWatch:
    """`work` runs what it is given in the network's thread, in which `departures` was made. Used in the loop's."""

    def __init__(self, host: Host, departures: Departures, work: Work) -> None:
        self._host = host
        self._departures = departures
        self._work = work
        self._ready = asyncio.Event()
        self._gone: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._departures.fileno(), self._look)
        self._task = loop.create_task(self._watch(), name="link watch")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            asyncio.get_running_loop().remove_reader(self._departures.fileno())
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._departures.close()

    def _look(self) -> None:
        """Each container's end is told here: what is no link of ours wakes nobody."""
        found, complete = self._departures.take()
        kept = set(self._host.kept)  # at once: the network's thread may be changing it
        self._gone |= found & kept if complete else kept
        if self._gone:
            self._ready.set()

    async def _watch(self) -> None:
        while True:
            await self._ready.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._ready.clear()
            gone, self._gone = self._gone, set()
            for index in gone:
                await self._put_back(index)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _put_back(self, index: int) -> None:
        """One that cannot be keeps none of the others away."""
        try:
            name = await self._work(functools.partial(self._host.put_back, index))
        except (OSError, WardianError) as error:
            log.warning("a bridge that somebody deleted is put back with its next use: %s", error)
        else:
            if name:
                log.warning("somebody deleted the bridge %s or its address; it was put back", name)
