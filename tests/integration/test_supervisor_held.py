"""An attacher that is held: what was written before is in the log, what comes after is in its stream."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import needs
from supervised import OPEN_STDIN, TTY, Client, Supervised, compile_c, frames, supervised
from wardian.errors import WardianError
from wardian.kernel import procfs
from wardian.runtime import supervisor
from wardian.runtime.supervisor import SupervisorClient

Test = Callable[..., contextlib.AbstractAsyncContextManager[Supervised]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    needs.program("gcc")
    return compile_c("supervised.c", str(tmp_path_factory.mktemp("supervised") / "supervised"))


@pytest.fixture
def start(program: str, tmp_path: Any) -> Test:
    return lambda command, flags=0: supervised(program, str(tmp_path), ["/bin/sh", "-c", command], flags)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def _held(client: SupervisorClient) -> tuple[Client, int]:
    far = Client()
    serial = await client.attach(far.attacher(stdin=False)._replace(held=True))
    far.theirs.close()
    return far, serial


async def _until_logged(s: Supervised, text: str) -> None:
    async with asyncio.timeout(10):
        while not s.logged().endswith(text):
            await asyncio.sleep(0.01)


COUNT = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done"


def test_log_and_stream_meet(start: Test) -> None:
    """Half a line, too: it is in the log when the attacher is held, and the rest of it is in the stream."""

    async def test() -> None:
        async with start("read begin; echo one; printf half; read x; echo rest; printf end", OPEN_STDIN) as s:
            talker = await s.attach()
            await talker.send(b"begin\n")
            await talker.read_until(b"half")
            far, serial = await _held(s.client)
            assert s.logged() == "one\nhalf"
            await talker.send(b"go\n")
            await asyncio.sleep(0.1)  # nothing comes: there is nothing that could be waited for
            assert s.logged() == "one\nhalf"
            await s.client.release(serial)
            assert frames(await far.read())[1] == b"rest\nend"
            assert s.logged() == "one\nhalfrest\nend"
            far.close()
            talker.close()

    run(test())


def test_while_it_writes(start: Test) -> None:
    async def test() -> None:
        async with start(f"{COUNT}; read x", OPEN_STDIN) as s:
            for _ in range(5):
                far, serial = await _held(s.client)
                before = s.logged()
                await s.client.release(serial)
                far.socket.setblocking(False)
                if not before.endswith("2999\n"):
                    said = await far.read_until(b"2999\n")
                    assert before.encode() + frames(said)[1] == b"".join(b"%d\n" % number for number in range(3000))
                far.close()
            await s.client.close_stdin()

    run(test())


def test_the_end_of_who_holds_it_frees_the_container(start: Test) -> None:
    async def test() -> None:
        async with start(f"read x; {COUNT}", OPEN_STDIN) as s:
            other = await SupervisorClient.connect(s.directory)
            far, _ = await _held(other)
            await s.client.close_stdin()
            other._loop.remove_reader(other._control.fileno())
            other._control.close()  # the engine that it was is gone
            assert await far.read() == b""
            assert (await s.exit()).exit_code == 0
            assert s.logged().endswith("2999\n")
            far.close()

    run(test())


def test_a_connection_that_is_let_go_lasts_until_who_is_held_is_released(start: Test) -> None:
    async def test() -> None:
        async with start("read x; echo said", OPEN_STDIN) as s:
            other = await SupervisorClient.connect(s.directory)
            far, serial = await _held(other)
            other.close()
            await s.client.close_stdin()
            await other.release(serial)
            assert frames(await far.read())[1] == b"said\n"
            assert other._control.fileno() == -1
            far.close()

    run(test())


@pytest.mark.parametrize("way", ["cancelled", "too late"])
def test_who_got_no_answer_that_it_is_held_frees_the_container(
    start: Test, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with start("read x; echo said; read y", OPEN_STDIN) as s:
            talker, far = await s.attach(), Client()
            os.kill(s.process.pid, signal.SIGSTOP)
            async with asyncio.timeout(10):
                while not procfs.status(s.process.pid)["State"].startswith("T"):
                    await asyncio.sleep(0.005)
            monkeypatch.setattr(supervisor, "_DEADLINE", 0.01 if way == "too late" else 60)
            asked = asyncio.create_task(s.client.attach(far.attacher(stdin=False)._replace(held=True)))
            await asyncio.sleep(0)  # now it is sent
            if way == "cancelled":
                asked.cancel()
            with pytest.raises((WardianError, asyncio.CancelledError)):
                await asked
            monkeypatch.undo()
            far.theirs.close()
            os.kill(s.process.pid, signal.SIGCONT)
            await talker.send(b"go\n")
            await _until_logged(s, "said\n")
            await talker.send(b"end\n")
            assert frames(await far.read())[1] == b"said\n"
            far.close()
            talker.close()

    run(test())


def test_a_client_that_leaves_frees_the_container(start: Test) -> None:
    async def test() -> None:
        async with start(f"read x; {COUNT}; read y", OPEN_STDIN | TTY) as s:
            far, serial = await _held(s.client)
            talker = await s.attach()
            far.close()
            await talker.send(b"go\n")
            await _until_logged(s, "2999\r\n")
            with pytest.raises(WardianError, match="RELEASE"):
                await s.client.release(serial)
            await talker.send(b"end\n")
            await talker.read()
            talker.close()

    run(test())


def test_the_end_is_told_while_one_is_held_and_it_gets_the_rest(start: Test) -> None:
    async def test() -> None:
        async with start("read x; echo last", OPEN_STDIN) as s:
            far, serial = await _held(s.client)
            await s.client.close_stdin()
            assert (await s.exit()).exit_code == 0
            assert s.logged() == ""
            await s.client.release(serial)
            assert frames(await far.read())[1] == b"last\n"
            far.close()
        assert s.logged() == "last\n"

    run(test())
