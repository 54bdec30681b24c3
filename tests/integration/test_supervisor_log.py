"""The json-file log as a supervisor writes it: its format, parts, rotation, and a disk that is full."""

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

import needs
from supervised import OPEN_STDIN, TTY, compile_c, supervised


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    needs.program("gcc")
    return compile_c("supervised.c", str(tmp_path_factory.mktemp("supervised") / "supervised"))


@pytest.fixture
def directory(tmp_path: Any) -> str:
    return str(tmp_path)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def test_units_under_sanitizers(tmp_path: Any) -> None:
    needs.program("gcc")
    program = compile_c("log_units.c", str(tmp_path / "log_units"), link=("-Wl,--wrap=clock_gettime",))
    result = subprocess.run([program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_lines_are_dockers(program: str, directory: str) -> None:
    async def test() -> None:
        command = ["/usr/bin/printf", r'a "quoted" \\ line\n\ttab <b>&\x1b[0m\xff\xc3\xa9\nno newline']
        async with supervised(program, directory, command) as s:
            await s.exit()
            with open(s.log, "rb") as file:
                lines = file.read().split(b"\n")
            assert lines.pop() == b""
            time = rb'"time":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"}'
            for line, wanted in zip(
                lines,
                (
                    rb'{"log":"a \"quoted\" \\ line\n","stream":"stdout",',
                    rb'{"log":"\u0009tab \u003cb\u003e\u0026\u001b[0m\ufffd' + b"\xc3\xa9" + rb'\n","stream":"stdout",',
                    rb'{"log":"no newline","stream":"stdout",',
                ),
                strict=True,
            ):
                assert line.startswith(wanted) and re.fullmatch(time, line[len(wanted) :]), line

    run(test())


def test_long_lines_come_in_parts_of_16_kib_with_one_time(program: str, directory: str) -> None:
    async def test() -> None:
        text = ("0123456789abcdef" * 1024) * 2 + "tail"
        async with supervised(program, directory, ["/bin/sh", "-c", f"echo {text}; echo next"]) as s:
            await s.exit()
            entries = s.entries()
            assert [len(entry["log"]) for entry in entries] == [16384, 16384, 5, 5]
            assert "".join(entry["log"] for entry in entries[:3]) == text + "\n"
            assert len({entry["time"] for entry in entries[:3]}) == 1
            assert entries[3]["time"] >= entries[0]["time"]

    run(test())


def test_parts_do_not_cut_a_character(program: str, directory: str) -> None:
    async def test() -> None:
        async with supervised(program, directory, ["/bin/sh", "-c", f"printf x; echo {'€' * 12000}"]) as s:
            await s.exit()
            assert s.logged() == "x" + "€" * 12000 + "\n"
            assert all("\ufffd" not in entry["log"] for entry in s.entries())

    run(test())


def test_rotation_keeps_the_newest(program: str, directory: str) -> None:
    async def test() -> None:
        async with supervised(program, directory, ["/usr/bin/seq", "2000"], max_size=20000, max_files=3) as s:
            await s.exit()
            names = sorted(os.listdir(os.path.dirname(s.log)))
            assert names == ["c-json.log", "c-json.log.1", "c-json.log.2"]
            assert all(os.path.getsize(os.path.join(os.path.dirname(s.log), name)) <= 20000 for name in names)
            numbers = [int(entry["log"]) for suffix in (".2", ".1", "") for entry in s.entries(suffix)]
            assert numbers == list(range(2001 - len(numbers), 2001)) and len(numbers) > 400

    run(test())


def test_a_single_file_is_never_seen_empty_once_there_was_a_line(program: str, directory: str) -> None:
    """With max-file 1: who reads the tail at any moment finds a line, and no other file stays."""

    async def test() -> None:
        async with supervised(program, directory, ["/usr/bin/seq", "100000"], max_size=2000, max_files=1) as s:
            smallest = asyncio.get_running_loop().run_in_executor(None, least_size, s.log, "100000\\n")
            await s.exit()
            assert await smallest > 0
            assert os.listdir(os.path.dirname(s.log)) == ["c-json.log"]
            assert os.path.getsize(s.log) <= 2000
            numbers = [int(entry["log"]) for entry in s.entries()]
            assert numbers == list(range(100001 - len(numbers), 100001)) and numbers

    run(test())


def least_size(path: str, last: str) -> int:
    """Of the file, from its first line on until it has the `last`."""
    least, found = 1 << 30, b""
    while not found:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            found = file.read()
    while last.encode() not in found:
        with open(path, "rb") as file:
            found = file.read()
        least = min(least, len(found))
    return least


def test_terminal_goes_to_stdout_with_its_carriage_returns(program: str, directory: str) -> None:
    async def test() -> None:
        async with supervised(program, directory, ["/bin/sh", "-c", "echo a; echo b >&2"], TTY) as s:
            await s.exit()
            assert (s.logged(), s.logged("stderr")) == ("a\r\nb\r\n", "")

    run(test())


@pytest.fixture
def small_disk(tmp_path: Any) -> Iterator[str]:
    path = str(tmp_path / "small")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def test_full_disk_never_blocks_and_what_is_lost_is_counted(program: str, directory: str, small_disk: str) -> None:
    async def test() -> None:
        command = ["/bin/sh", "-c", "seq 10000; read x; echo after; read x; exit 4"]
        async with supervised(program, directory, command, OPEN_STDIN, log_dir=small_disk) as s:
            client = await s.attach(framed=False)
            assert (await client.read_until(b"10000\n")).endswith(b"9999\n10000\n")  # who listens gets all of it
            state = await s.client.status()
            assert state.log_lost > 10000
            s.log = os.path.join(small_disk, "c-json.log")
            logged = s.logged()  # whole lines only, though the disk ended in the middle of one
            assert state.log_lost == sum(len(f"{i}\n") for i in range(1, 10001)) - len(logged)
            os.truncate(s.log, 0)  # somebody makes room: from here on there is a log again
            await client.send(b"\n")
            await client.read_until(b"after\n")
            await s.client.sync_log()
            assert s.logged() == "after\n"
            await client.send(b"\n")
            record = await s.exit()
            assert (record.exit_code, record.log_lost) == (4, state.log_lost)
            client.close()

    run(test())


def test_a_next_run_appends(program: str, directory: str) -> None:
    async def test() -> None:
        for word in ("one", "two"):
            async with supervised(program, directory, ["/bin/echo", word]) as s:
                await s.exit()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, "exit"))
        assert s.logged() == "one\ntwo\n"

    run(test())
