"""Who asks for stats at a moment is answered together; nobody's leaving or failure is another's."""

import asyncio
from typing import Any

import pytest

from benches import Bench
from wardian.engine.observe import stats


def test_many_who_ask_share_the_reading(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = [bench.start("sleep", "1000") for _ in range(3)]
    jobs: list[int] = []
    read = stats._read

    def counted(asked: list[Any], *rest: Any) -> list[Any]:
        jobs.append(len(asked))
        return read(asked, *rest)

    monkeypatch.setattr(stats, "_read", counted)

    async def ask() -> list[dict[str, Any]]:
        return await asyncio.gather(*(bench.engine.stats.once(one, True) for one in identities * 50))

    found = bench.run(ask())
    assert [one["id"] for one in found] == identities * 50
    assert all(one["pids_stats"]["current"] == 1 for one in found)
    assert sum(jobs) <= 6, jobs  # not 150


def test_one_who_leaves_and_one_job_that_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = bench.start("sleep", "1000")
    read = stats._read
    fails = [True]

    def failing(*asked: Any) -> list[Any]:
        if fails.pop():
            fails.append(False)
            raise ValueError("no number")
        fails.append(False)
        return read(*asked)

    async def ask() -> None:
        left = asyncio.ensure_future(bench.engine.stats.once(identity, True))
        stayed = asyncio.ensure_future(bench.engine.stats.once(identity, True))
        await asyncio.sleep(0)
        left.cancel()
        assert (await stayed)["pids_stats"]["current"] == 1
        monkeypatch.setattr(stats, "_read", failing)
        with pytest.raises(ValueError, match="no number"):
            await bench.engine.stats.once(identity, True)
        assert (await bench.engine.stats.once(identity, True))["pids_stats"]["current"] == 1

    bench.run(ask())


def test_a_stream_ends_with_its_container(bench: Bench) -> None:
    identity = bench.start("sleep", "1000")

    async def follow() -> list[bool]:
        runs = []
        async for body in bench.engine.stats.stream(identity):
            runs.append(bool(body["pids_stats"]))
            if len(runs) == 1:
                await bench.engine.containers.kill(identity)
            elif len(runs) == 2:
                await bench.engine.containers.remove(identity)
        return runs

    assert bench.run(follow()) == [True, False]
