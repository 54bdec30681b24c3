"""The supervisor with real processes, under sanitizers: streams, attachers, input, terminal, end."""

import asyncio
import contextlib
import errno
import hashlib
import os
import random
import resource
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import needs
from supervised import (
    DETACH_KEYS,
    OPEN_STDIN,
    REPOSITORY,
    STDIN_ONCE,
    TTY,
    Client,
    Supervised,
    compile_c,
    frames,
    supervised,
)
from wardian.errors import CONFLICT, WardianError
from wardian.kernel import procfs
from wardian.runtime import protocol
from wardian.runtime.exitrecord import read_exit
from wardian.runtime.supervisor import SupervisorClient, message

Running = contextlib.AbstractAsyncContextManager[Supervised]
Test = Callable[..., Running]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    needs.program("gcc")
    return compile_c("supervised.c", str(tmp_path_factory.mktemp("supervised") / "supervised"))


@pytest.fixture
def start(program: str, tmp_path: Any) -> Test:
    def make(command: str | list[str], flags: int = 0, **options: Any) -> Running:
        arguments = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        return supervised(program, str(tmp_path), arguments, flags, **options)

    return make


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 90))


def test_exit_code_signal_and_log(start: Test) -> None:
    async def test() -> None:
        async with start("echo out; echo err >&2; exit 7") as s:
            record = await s.exit()
            assert (record.exit_code, record.signal, record.reason) == (7, 0, "exited")
            assert record.started_at < record.finished_at and record.cpu_ns > 0 and record.log_lost == 0
            assert read_exit(s.directory) == record
            assert (s.logged(), s.logged("stderr")) == ("out\n", "err\n")
        assert not os.path.exists(os.path.join(s.directory, "supervisor.sock"))
        async with start("kill -9 $$") as s:
            record = await s.exit()
            assert (record.exit_code, record.signal, record.reason) == (137, 9, "signal")

    run(test())


def test_early_attachers_lose_no_byte(start: Test) -> None:
    async def test() -> None:
        clients = [Client() for _ in range(5)]
        attachers = [client.attacher(early=b"early %d\n" % i) for i, client in enumerate(clients)]
        async with start("cat; echo done >&2", OPEN_STDIN | STDIN_ONCE, attachers=attachers) as s:
            for client in clients:
                client.theirs.close()
            await clients[0].send(b"late\n")
            clients[0].half_close()
            streams = [frames(await client.read()) for client in clients]
            await s.exit()
            assert sorted(streams[0][1].splitlines()) == [*(b"early %d" % i for i in range(5)), b"late"]
            assert all(each == streams[0] and each[2] == b"done\n" for each in streams)
        for client in clients:
            client.close()

    run(test())


def test_early_bytes_longer_than_a_message(start: Test) -> None:
    async def test() -> None:
        early = os.urandom(1 << 20)
        client = Client()
        options = {"attachers": [client.attacher(early=early, framed=True)]}
        async with start(["/bin/cat"], OPEN_STDIN | STDIN_ONCE, **options) as s:
            client.theirs.close()
            client.half_close()
            assert frames(await client.read())[1] == early
            assert (await s.exit()).exit_code == 0
        client.close()

    run(test())


def test_50_megabytes_byte_for_byte(start: Test) -> None:
    async def test() -> None:
        block = os.urandom(1 << 20)
        client = Client()
        async with start(["/bin/cat"], OPEN_STDIN | STDIN_ONCE, attachers=[client.attacher()], log_dir="-") as s:
            client.theirs.close()

            async def feed() -> None:
                for _ in range(50):
                    await client.send(block)
                client.half_close()

            feeder = asyncio.create_task(feed())
            output = frames(await client.read())[1]
            await feeder
            assert len(output) == 50 << 20
            assert hashlib.sha256(output).digest() == hashlib.sha256(block * 50).digest()
            assert (await s.exit()).exit_code == 0
        client.close()

    run(test())


def test_half_close_without_stdin_once_ends_the_attachment_only(start: Test) -> None:
    async def test() -> None:
        async with start(["/bin/cat"], OPEN_STDIN) as s:
            first = await s.attach()
            await first.send(b"one\n")
            await first.read_until(b"one\n")
            first.half_close()
            assert await first.read() == b""
            second = await s.attach()
            await second.send(b"two\n")
            assert (await second.read_until(b"two\n"))[8:] == b"two\n"
            await s.client.close_stdin()
            assert await second.read() == b""
            assert (await s.exit()).exit_code == 0
            first.close()
            second.close()

    run(test())


def test_without_open_stdin_it_is_dev_null(start: Test) -> None:
    async def test() -> None:
        async with start("stat -Lc %t,%T /proc/self/fd/0; cat") as s:
            assert (await s.exit()).exit_code == 0
            assert s.logged() == "1,3\n"

    run(test())


@pytest.mark.parametrize("stdin", [False, True])
def test_slow_attacher_slows_the_container_and_its_disconnect_frees_it(start: Test, stdin: bool) -> None:
    async def test() -> None:
        async with start("head -c 20000000 /dev/zero; echo >&2 end", OPEN_STDIN, log_dir="-") as s:
            slow = await s.attach(stdin=stdin)
            if stdin:
                await slow.send(b"x" * 150000)  # which nobody reads
            await asyncio.sleep(0.5)
            assert read_exit(s.directory) is None  # 20 MB do not fit into socket and pipe
            slow.close()
            assert (await s.exit()).exit_code == 0

    run(test())


def test_exit_is_told_while_an_attacher_is_slow_and_it_still_gets_all(start: Test) -> None:
    async def test() -> None:
        async with start("read x; head -c 60000 /dev/zero | tr '\\0' x", OPEN_STDIN) as s:
            slow = Client()
            slow.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # the rest stays in the pipe
            await s.client.attach(slow.attacher(stdin=False))
            slow.theirs.close()
            await s.client.close_stdin()
            began = time.monotonic()
            record = await s.exit()
            assert record.exit_code == 0 and time.monotonic() - began < 10
            assert frames(await slow.read())[1] == b"x" * 60000
            slow.close()
        assert len(s.logged()) == 60000

    run(test())


def test_unread_input_does_not_reset_the_stream(start: Test) -> None:
    async def test() -> None:
        client = Client()
        async with start("echo bye", OPEN_STDIN | STDIN_ONCE, attachers=[client.attacher()]) as s:
            client.theirs.close()
            await s.exit()
            with contextlib.suppress(OSError):
                client.socket.send(b"x" * 100000)
            assert frames(await client.read())[1] == b"bye\n"
        client.close()

    run(test())


def test_terminal_echo_resize_and_exit(start: Test) -> None:
    async def test() -> None:
        async with start(["/bin/sh"], TTY | OPEN_STDIN | STDIN_ONCE) as s:
            client = await s.attach(framed=False, keys=DETACH_KEYS)
            await s.client.resize(41, 123)
            await client.send(b"stty size; tty; exit 3\n")
            output = await client.read()
            assert b"41 123\r\n" in output and b"/dev/pts/" in output
            assert (await s.exit()).exit_code == 3
            assert s.logged().replace("\r\n", "\n").endswith(output.decode().replace("\r\n", "\n")[-20:])
            client.close()

    run(test())


def test_terminal_output_at_the_very_end_is_drained(start: Test) -> None:
    async def test() -> None:
        for _ in range(20):
            client = Client()
            async with start("seq 1 2000", TTY, attachers=[client.attacher(framed=False, stdin=False)]) as s:
                client.theirs.close()
                await s.exit()
                assert (await client.read()).endswith(b"\r\n1999\r\n2000\r\n")
                assert s.logged().endswith("\r\n1999\r\n2000\r\n"), s.logged()[-50:]
                client.close()
            os.unlink(s.log)

    run(test())


def test_resize_without_a_terminal_is_refused(start: Test) -> None:
    async def test() -> None:
        async with start(["/bin/cat"], OPEN_STDIN) as s:
            with pytest.raises(WardianError, match="RESIZE") as caught:
                await s.client.resize(1, 1)
            assert caught.value.kind == CONFLICT
            os.kill(s.pid, signal.SIGTERM)
            assert (await s.exit()).exit_code == 143

    run(test())


def test_detach_keys(start: Test) -> None:
    async def test() -> None:
        async with start("stty raw -echo; echo ready; exec cat -v", TTY | OPEN_STDIN) as s:
            client = await s.attach(framed=False, keys=DETACH_KEYS)
            await client.send(b"")
            for _ in range(100):
                if "ready" in s.logged():
                    break
                await asyncio.sleep(0.02)
            await client.send(b"a\x10b\x10\x10c")  # a key that is not followed by the next goes through
            assert b"a^Pb^P^Pc" in await client.read_until(b"c")
            await client.send(b"d\x10")
            await client.send(b"\x11tail")
            rest = await client.read()
            assert b"^Q" not in rest and b"tail" not in rest
            again = await s.attach(framed=False, keys=DETACH_KEYS)
            await again.send(b"e")
            await again.read_until(b"e")
            os.kill(s.pid, signal.SIGKILL)
            assert (await s.exit()).exit_code == 137
            client.close()
            again.close()

    run(test())


def test_stray_process_that_holds_the_pipe_is_not_waited_for(start: Test) -> None:
    async def test() -> None:
        began = time.monotonic()
        async with start("echo before; (trap '' PIPE; sleep 2; echo late) & exit 5") as s:
            client = await s.attach(stdin=False)
            record = await s.exit()
            assert record.exit_code == 5 and time.monotonic() - began < 1.5
            assert s.logged() == "before\n"
            await client.read()
            client.close()
        await asyncio.sleep(max(0.0, 2.3 - (time.monotonic() - began)))

    run(test())


def test_chatty_stray_process_does_not_hold_up_the_end(start: Test) -> None:
    async def test() -> None:
        async with start("yes & exit 0") as s:
            began = time.monotonic()
            assert (await s.exit()).exit_code == 0
            assert time.monotonic() - began < 2.5

    run(test())


def test_later_engine_finds_it_again(start: Test) -> None:
    async def test() -> None:
        async with start("read x; echo $x; exit 4", OPEN_STDIN) as s:
            s.client._loop.remove_reader(s.client._control.fileno())
            s.client._control.close()  # the engine that launched it is gone
            later = await SupervisorClient.connect(s.directory)
            assert (await later.status()).pid == s.pid
            client = Client()
            await later.attach(client.attacher())
            client.theirs.close()
            await client.send(b"hello\n")
            record = await later.wait_exit()
            assert record.exit_code == 4
            assert frames(await client.read())[1] == b"hello\n"
            later.close()
            client.close()
            with pytest.raises(WardianError, match="no supervisor"):
                await SupervisorClient.connect(s.directory)

    run(test())


def test_an_engine_gets_in_however_many_are_connected(start: Test) -> None:
    """And that which is there, and waits for the end, is not put out for it."""

    async def test() -> None:
        async with start("read x; exit 4", OPEN_STDIN) as s:
            idle = []
            for _ in range(3):
                for _ in range(20):
                    idle.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                    idle[-1].connect(os.path.join(s.directory, "supervisor.sock"))
                await s.client.status()  # those before it have been let in, or wait in the backlog
                await _taken(s)
            later = await SupervisorClient.connect(s.directory)
            waiting = asyncio.ensure_future(later.wait_exit())
            assert (await later.status()).pid == s.pid
            for _ in range(20):
                idle.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                idle[-1].connect(os.path.join(s.directory, "supervisor.sock"))
            await _taken(s)
            assert (await later.status()).pid == (await s.client.status()).pid
            await later.close_stdin()
            assert (await waiting).exit_code == (await s.exit()).exit_code
            later.close()
            for one in idle:
                one.close()

    run(test())


async def _taken(s: Supervised) -> None:
    """The backlog is empty: who comes now is answered at once."""
    async with asyncio.timeout(20):
        later = await SupervisorClient.connect(s.directory)
        await later.status()
        later.close()


def test_log_sync(start: Test) -> None:
    async def test() -> None:
        async with start("echo one; read x", OPEN_STDIN) as s:
            for _ in range(100):
                await s.client.sync_log()
                if s.logged() == "one\n":
                    break
                await asyncio.sleep(0.01)
            assert s.logged() == "one\n"
            assert (await s.client.status()).log_written == os.path.getsize(s.log)
            await s.client.close_stdin()
            await s.exit()

    run(test())


def test_signals_of_a_dying_session_are_ignored(start: Test) -> None:
    async def test() -> None:
        async with start("read x; exit 6", OPEN_STDIN) as s:
            await s.client.status()  # it is past its beginning
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
                os.kill(s.process.pid, number)
            await s.client.close_stdin()
            assert (await s.exit()).exit_code == 6

    run(test())


BAD = [
    b"",
    b"x",
    b"\0" * 24,
    message("STATUS", b"\0" * 11),
    message("STATUS", b"\0" * 13),
    message("STATUS", b"\0" * 12)[:-1],
    message("ATTACH", protocol.REQUEST.pack(1, 7, 0)),  # no socket came with it
    message("ATTACH", protocol.REQUEST.pack(1, 7, 17) + b"k" * 17),
    message("ATTACH", protocol.REQUEST.pack(1, 7, 0xFFFFFFFF) + b"k" * 16),
    message("HELLO", b"\0" * 12)[:4] + b"\xff\xff" + message("HELLO", b"\0" * 12)[6:],  # a version from the future
    message("STATUS", b"\0" * 12) + b"\0" * 5000,
    message("STATUS", b"\0" * 12) + b"\0" * 9000,
    message("PUBLISH", protocol.REQUEST.pack(1, 1, 0)),  # and no target
    message("PUBLISH", protocol.REQUEST.pack(1, 0x0AAAAAAB, 0) + b"\0" * 8),  # 24 times that is 8 in 32 bits
    message("PUBLISH", protocol.REQUEST.pack(1, 251, 0) + protocol.TARGET.pack(0, 2, 80, b"") * 251),
    message("UNPUBLISH", protocol.REQUEST.pack(1, 0, 0) + b"\0"),
]


def test_bad_messages_end_their_connection_only(start: Test) -> None:
    async def test() -> None:
        async with start("read x", OPEN_STDIN) as s:
            for data in BAD:
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bad:
                    bad.connect(os.path.join(s.directory, "supervisor.sock"))
                    bad.settimeout(5)
                    bad.send(data)
                    with contextlib.suppress(ConnectionResetError):
                        assert bad.recv(100) == b"", data
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wide:  # more descriptors than any message has
                wide.connect(os.path.join(s.directory, "supervisor.sock"))
                socket.send_fds(wide, [message("STATUS", b"\0" * 12)], [0] * 8)
                wide.settimeout(5)
                assert wide.recv(100) == b""
            assert (await s.client.status()).attachers == 0
            descriptors = len(os.listdir(f"/proc/{s.process.pid}/fd"))
            assert descriptors < 25
            await s.client.close_stdin()
            await s.exit()

    run(test())


def test_mutated_messages(start: Test) -> None:
    """Seeded noise on every request; the sanitizers watch. What it means by chance it may do."""

    async def test() -> None:
        choice = random.Random(1)
        requests = [
            message("ATTACH", protocol.REQUEST.pack(1, 15, 3) + b"abc"),
            message("RESIZE", protocol.REQUEST.pack(2, 24, 80)),
            message("WAIT", protocol.REQUEST.pack(3, 0, 0)),
            message("LOG_SYNC", protocol.REQUEST.pack(4, 0, 0)),
            message("PUBLISH", protocol.REQUEST.pack(5, 2, 1) + protocol.TARGET.pack(0, 2, 80, b"") * 2),
            message("UNPUBLISH", protocol.REQUEST.pack(6, protocol.NONE, 0)),
        ]
        async with start("echo x; read x", OPEN_STDIN) as s:
            for _ in range(500):
                data = bytearray(choice.choice(requests))
                for _ in range(choice.randrange(4)):
                    data[choice.randrange(len(data))] = choice.randrange(256)
                del data[len(data) - choice.choice((0, 0, 0, 1, 5)) :]
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
                    peer.connect(os.path.join(s.directory, "supervisor.sock"))
                    with contextlib.suppress(OSError):
                        socket.send_fds(peer, [bytes(data)], [0] * choice.randrange(4))
            assert (await s.client.status()).pid == s.pid
            await s.client.close_stdin()
            assert (await s.exit()).log_lost == 0

    run(test())


def test_unknown_request_is_answered(start: Test) -> None:
    async def test() -> None:
        async with start("read x", OPEN_STDIN) as s:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
                peer.connect(os.path.join(s.directory, "supervisor.sock"))
                data = bytearray(message("STATUS", protocol.REQUEST.pack(9, 0, 0)))
                data[6] = 99
                peer.send(data)
                assert protocol.ANSWER.unpack(peer.recv(100)[protocol.CONTROL_HEADER.size :]) == (9, 38)  # ENOSYS
            await s.client.close_stdin()
            await s.exit()

    run(test())


def test_more_attachers_than_slots(start: Test) -> None:
    async def test() -> None:
        async with start("read x; echo $x", OPEN_STDIN) as s:
            clients = [await s.attach() for _ in range(64)]
            with pytest.raises(WardianError, match="ATTACH"):
                await s.attach()
            clients[0].close()
            await asyncio.sleep(0.05)
            clients.append(await s.attach())
            await clients[5].send(b"all\n")
            for client in clients[1:]:
                assert frames(await client.read())[1] == b"all\n"
                client.close()
            await s.exit()

    run(test())


def test_clients_that_left_hold_no_slot_while_the_container_reads_nothing(start: Test) -> None:
    """The first one's input fills pipe and buffer; what the others have sent is nothing, so nothing of theirs waits."""

    async def test() -> None:
        async with start("read x; exec sleep 1000", OPEN_STDIN) as s:
            first = await s.attach()
            await first.send(b"\n" + b"x" * 200000)
            for _ in range(70):
                (await s.attach()).close()
                await asyncio.sleep(0.005)
            assert (await s.client.status()).attachers == 1
            os.kill(s.pid, signal.SIGKILL)
            await s.exit()
            first.close()

    run(test())


def cpu_seconds(pid: int) -> float:
    fields = procfs.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors_it_waits_and_does_not_spin(start: Test) -> None:
    async def test() -> None:
        async with start("read x", OPEN_STDIN) as s:
            limits = resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE)
            used = len(os.listdir(f"/proc/{s.process.pid}/fd"))
            resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (used + 3, limits[1]))
            filling = [await SupervisorClient.connect(s.directory) for _ in range(30)]
            before = cpu_seconds(s.process.pid)
            await asyncio.sleep(1)
            assert cpu_seconds(s.process.pid) - before < 0.2
            assert (await s.client.status()).pid == s.pid
            resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, limits)
            async with asyncio.timeout(5):
                assert (await filling[-1].status()).pid == s.pid
            for client in filling:
                client.close()
            await s.client.close_stdin()
            await s.exit()

    run(test())


@pytest.fixture(scope="module")
def full_later(tmp_path_factory: pytest.TempPathFactory) -> str:
    needs.program("gcc")
    wrapped = ("-Wl,--wrap=epoll_ctl", f"{REPOSITORY}/tests/launcher/full_epoll_later.c")
    return compile_c("supervised.c", str(tmp_path_factory.mktemp("full") / "full"), link=wrapped)


def test_while_the_kernel_watches_no_more_nothing_stands_still(
    full_later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who attaches is told so; who is attached, the container's input and output and an engine's calls go on."""
    full = tmp_path / "no more"
    monkeypatch.setenv("FULL_EPOLL", str(full))

    async def test() -> None:
        command = ["/bin/sh", "-c", "read go; seq 200000; exec wc -c"]
        async with supervised(full_later, str(tmp_path), command, OPEN_STDIN | STDIN_ONCE) as s:
            client = await s.attach(framed=False)
            full.touch()
            with pytest.raises(WardianError) as caught:
                await s.attach()
            assert caught.value.errno == errno.ENOSPC
            other = await SupervisorClient.connect(s.directory)  # an engine that is turned away would end the container
            assert (await other.status()).pid == s.pid
            await client.send(b"go\n")
            await asyncio.sleep(0.3)  # the output waits for its reader
            await client.read_until(b"\n200000\n")
            await client.send(b"x" * 1000000)  # more than a pipe holds, and a program that is slow to read
            client.half_close()
            assert await client.read() == b"1000000\n"
            assert (await other.wait_exit()).exit_code == 0
            other.close()
            client.close()

    run(test())


def test_who_waited_for_the_start_and_cannot_be_watched_is_no_silent_loss(
    full_later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FULL_EPOLL", "/")

    async def test() -> None:
        client = Client()
        command = ["/bin/sleep", "1000"]
        with pytest.raises(AssertionError):  # its status says so too
            async with supervised(full_later, str(tmp_path), command, attachers=[client.attacher()]) as s:
                client.theirs.close()
                told.append(await s.exit())
                assert await client.read() == b""
                client.close()

    told: list[Any] = []
    run(test())
    assert [(record.exit_code, record.reason) for record in told] == [(137, "the supervisor could not start")]


def test_a_child_whose_end_cannot_be_watched_is_ended(tmp_path: Any) -> None:
    """Else nobody would hear of its end."""
    needs.program("gcc")
    wrapped = ("-Wl,--wrap=epoll_ctl", f"{REPOSITORY}/tests/launcher/full_epoll_child.c")
    full = compile_c("supervised.c", str(tmp_path / "full"), link=wrapped)

    async def test() -> None:
        with pytest.raises(AssertionError):  # its status says so too
            async with supervised(full, str(tmp_path), ["/bin/sleep", "1000"]) as s:
                record = await s.exit()
                assert (record.exit_code, record.reason) == (137, "the supervisor could not start")
                assert await s.process.wait() == 1
                told.append(record)

    told: list[Any] = []
    run(test())
    assert told
