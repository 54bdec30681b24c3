"""Reading a log file: what others in the event loop see of it."""

import asyncio
import threading
from pathlib import Path

import pytest

from wardian.engine.logging import LogOptions, LogReader
from wardian.engine.logging.reader import End

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


def test_a_tail_has_no_line_too_many_of_who_writes_on(tmp_path: Path) -> None:
    """What comes while it is looked for and read is not of it, in the same file or after a rotation."""
    path = tmp_path / "log"
    path.write_text("".join(LINE % number for number in range(LINES)))

    async def read(tail: int) -> list[int]:
        async def write_on() -> None:
            await asyncio.sleep(0)
            with path.open("a") as file:
                file.write(LINE % -1)
            path.rename(tmp_path / "log.1")
            path.write_text(LINE % -2)

        writing = asyncio.create_task(write_on())
        reader = LogReader(str(path), LogOptions(stdout=True, tail=tail), tty=True)
        data = b"".join([chunk async for chunk in reader.chunks()])
        await writing
        return [int(line) for line in data.split()]

    assert asyncio.run(read(LINES - 10)) == list(range(10, LINES))
    assert asyncio.run(read(1)) == [-2]
    assert asyncio.run(read(2)) == [-1, -2]
    assert asyncio.run(read(-1)) == [-2, -1, -2]


@pytest.mark.parametrize(("files", "told"), [(3, 1), (1, 0)])
def test_who_follows_more_slowly_than_it_rotates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: int, told: int
) -> None:
    """It goes on with the oldest that is left, and the engine's log says once that there may be a gap."""
    path = tmp_path / "log"
    path.write_text(LINE % 0)

    def rotate(number: int) -> None:
        for older in range(files - 1, 0, -1):
            newer = tmp_path / f"log.{older - 1}" if older > 1 else path
            if newer.exists():
                newer.rename(tmp_path / f"log.{older}")
        (tmp_path / "new").write_text(LINE % number)
        (tmp_path / "new").rename(path)

    async def follow() -> list[int]:
        end: End = asyncio.get_running_loop().create_future()
        reader = LogReader(str(path), LogOptions(stdout=True, follow=True), tty=True, end=lambda: end)
        found, number = [], 0
        async for chunk in reader.chunks():
            found += [int(line) for line in chunk.split()]
            if found[-1] == number and number >= 20:
                break
            if found[-1] == number:
                number += 10
                for newest in range(number - 9, number + 1):
                    rotate(newest)
        return found

    assert asyncio.run(follow()) == [0, *range(11 - files, 11), *range(21 - files, 21)]
    assert caplog.text.count("lines may have been skipped") == told


def test_a_tail_of_a_log_that_rotates_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LINE % 0)
    ended = threading.Event()

    def write_on() -> None:
        number = 1
        while not ended.is_set():
            path.rename(tmp_path / "log.1")
            with path.open("w") as file:
                for _ in range(20):
                    file.write(LINE % number)
                    file.flush()
                    number += 1

    async def tail() -> list[bytes]:
        reader = LogReader(str(path), LogOptions(stdout=True, tail=1), tty=True)
        return b"".join([chunk async for chunk in reader.chunks()]).split()

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        found = [asyncio.run(tail()) for _ in range(300)]
    finally:
        ended.set()
        writer.join()
    assert {len(lines) for lines in found} == {1}
    assert sorted(found) == found


def test_a_log_that_is_emptied_while_its_tail_is_looked_for(tmp_path: Path) -> None:
    """As with max-file 1: the tail is of what is there then."""
    path = tmp_path / "log"
    path.write_text("".join(LINE % number for number in range(LINES)))

    async def read() -> bytes:
        async def begin_anew() -> None:
            await asyncio.sleep(0)
            path.write_text(LINE % 1 + LINE % 2)

        writing = asyncio.create_task(begin_anew())
        reader = LogReader(str(path), LogOptions(stdout=True, tail=LINES - 10), tty=True)
        data = b"".join([chunk async for chunk in reader.chunks()])
        await writing
        return data

    assert asyncio.run(read()) == b"0000001\n0000002\n"


def test_a_line_that_is_half_written_is_not_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LINE % 1 + LINE % 2 + (LINE % 3)[:20])

    async def tail() -> bytes:
        reader = LogReader(str(path), LogOptions(stdout=True, tail=1), tty=True)
        return b"".join([chunk async for chunk in reader.chunks()])

    assert asyncio.run(tail()) == b"0000002\n"
