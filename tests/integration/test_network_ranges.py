"""What of the host's ranges an engine keeps off, and the lock under which it chooses."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from own_host import ip, own_host
from wardian.errors import UNAVAILABLE, WardianError
from wardian.network import ranges
from wardian.network.ranges import host_ranges, subnet_lock


@pytest.fixture
def host() -> Iterator[None]:
    with own_host():
        for name in ("up0", "mine0"):
            ip("link", "add", name, "type", "bridge")
            ip("link", "set", name, "up")
        yield


def test_routes_and_addresses_of_both_families_but_the_engines_own(host: None) -> None:
    ip("address", "add", "10.1.0.1/24", "dev", "up0")
    ip("-6", "address", "add", "fd01::1/64", "dev", "up0", "nodad")
    ip("address", "add", "10.2.0.1/24", "dev", "mine0")
    ip("route", "add", "10.3.0.0/16", "via", "10.1.0.9")
    ip("route", "add", "10.4.0.0/16", "via", "10.1.0.9", "table", "52")
    ip("route", "add", "default", "via", "10.1.0.9")
    ip("route", "add", "0.0.0.0/1", "via", "10.1.0.9")
    found = host_ranges({"mine0"})
    four = {str(one.network): one.by for one in found if one.network.version == 4}
    assert four == {
        "127.0.0.0/8": "an address of lo",
        "10.1.0.0/24": "an address of up0",
        "10.3.0.0/16": "a route by up0",
        "10.4.0.0/16": "a route by up0",
    }
    assert "fd01::/64" in {str(one.network) for one in found}
    assert {one.link for one in found} == {"lo", "up0"}
    assert "10.2.0.0/24" in {str(one.network) for one in host_ranges(())}


def test_one_chooses_at_a_time(host: None) -> None:
    inside: list[int] = []

    async def choose(number: int) -> None:
        async with subnet_lock():
            inside.append(number)
            assert len(inside) == 1
            await asyncio.sleep(0.005)
            inside.clear()

    async def all_at_once() -> None:
        await asyncio.gather(*(choose(number) for number in range(8)))

    asyncio.run(all_at_once())


def test_a_lock_goes_with_its_holder(host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()

    async def choose() -> None:
        async with subnet_lock():
            pass

    monkeypatch.setattr(ranges, "SUBNET_LOCK_SECONDS", 0.05)
    with pytest.raises(WardianError, match=r"another engine has been choosing its subnet for 0\.05 s") as caught:
        asyncio.run(choose())
    assert caught.value.kind == UNAVAILABLE
    holder.kill()
    holder.wait(10)
    holder.stdout.close()
    asyncio.run(choose())


_HOLD = """
import asyncio
from wardian.network.ranges import subnet_lock
async def hold():
    async with subnet_lock():
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(hold())
"""
