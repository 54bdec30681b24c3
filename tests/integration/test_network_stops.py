"""The networks are let go of while their thread is at work for somebody who has gone."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from own_host import own_host
from wardian.database import Database
from wardian.errors import UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.network import SCHEMA, Networks


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    with own_host():
        yield


def test_what_the_thread_does_is_done_before_its_sockets_are_closed(home: Home) -> None:
    async def run() -> None:
        database = Database(home.database, [SCHEMA])
        networks = Networks(home, database)
        await networks.start()
        side = networks.host
        said: list[object] = []

        def job() -> None:
            time.sleep(0.3)
            side.plumbing.host.netlink.links()
            assert side._firewall is not None
            side._firewall.mend()
            said.append("done")

        waiting = asyncio.ensure_future(side.work(job))
        queued = asyncio.ensure_future(side.work(job))
        await asyncio.sleep(0)  # both are the thread's now
        waiting.cancel()  # who asked is gone, and the thread goes on
        await networks.stop(purge=False)
        assert said == ["done", "done"]
        await queued
        with pytest.raises(WardianError) as caught:
            await side.work(job)
        assert caught.value.kind == UNAVAILABLE
        database.close()

    asyncio.run(run())
