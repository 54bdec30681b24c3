"""Reading a log file: what others in the event loop see of it."""

import asyncio
from pathlib import Path

from wardian.engine.logging import LogOptions, LogReader

LINE = r'{"log":"%07d\n","stream":"stdout","time":"2026-11-21T03:49:52.643422431Z"}' + "\n"
LINES = 100_000  # 7.8 MB


def test_a_long_way_back_lets_others_have_their_turn(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(LINE % number for number in range(LINES)))

    async def first_of_the_tail() -> tuple[bytes, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        await asyncio.sleep(0)
        chunks = LogReader(str(path), LogOptions(stdout=True, tail=LINES - 10), tty=True).chunks()
        first = await anext(chunks)
        beside.cancel()
        return first, turns

    first, turns = asyncio.run(first_of_the_tail())
    assert first.startswith(b"0000010\n")
    assert turns > 100


def test_a_rotation_while_the_tail_is_looked_for_repeats_and_skips_nothing(tmp_path: Path) -> None:
    """The file that was the newest is the older one's name by the time that the older one is looked at."""
    path = tmp_path / "log"
    lines = [LINE % number for number in range(LINES)]
    (tmp_path / "log.1").write_text("".join(lines[: LINES // 2]))
    path.write_text("".join(lines[LINES // 2 :]))

    async def read() -> bytes:
        async def rotate() -> None:
            await asyncio.sleep(0)
            (tmp_path / "log.1").rename(tmp_path / "log.2")
            path.rename(tmp_path / "log.1")
            path.write_text("")

        rotating = asyncio.create_task(rotate())
        reader = LogReader(str(path), LogOptions(stdout=True, tail=LINES - 10), tty=True)
        data = b"".join([chunk async for chunk in reader.chunks()])
        await rotating
        return data

    assert [int(line) for line in asyncio.run(read()).split()] == list(range(10, LINES))
