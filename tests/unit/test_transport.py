"""The transport of a unix socket's connections, over a socket pair."""

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple

from wardian.server.accepting import Acceptor
from wardian.server.transport import SocketTransport


class _Heard(asyncio.Protocol):
    def __init__(self, keeps: bool = False) -> None:
        self.said: list[str] = []
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()
        self._keeps = keeps

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.said.append("eof")
        return self._keeps

    def pause_writing(self) -> None:
        self.said.append("pause")

    def resume_writing(self) -> None:
        self.said.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(error)


class _Ends(NamedTuple):
    client: socket.socket
    transport: SocketTransport
    heard: _Heard


def _open(keeps: bool = False, early: bytes = b"") -> _Ends:
    client, ours = socket.socketpair()
    client.setblocking(False)
    ours.setblocking(False)
    client.sendall(early)
    heard = _Heard(keeps)
    transport = SocketTransport(asyncio.get_running_loop(), ours, heard)
    transport.open()
    return _Ends(client, transport, heard)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def _read(client: socket.socket) -> bytes:
    """To the end."""
    loop = asyncio.get_running_loop()
    data = b""
    while more := await loop.sock_recv(client, 1 << 20):
        data += more
    return data


def test_what_was_sent_before_is_read_at_once() -> None:
    async def go() -> None:
        client, transport, heard = _open(early=b"asked")
        assert heard.said == ["made"] and heard.data == b"asked"
        transport.write(b"answered")
        transport.close()
        assert await _read(client) == b"answered"
        assert await heard.lost is None

    asyncio.run(go())


def test_a_slow_reader_pauses_who_writes_and_has_all_in_the_end() -> None:
    async def go() -> None:
        client, transport, heard = _open()
        sent = bytes(range(256)) * (1 << 14)
        transport.write(sent[:1000])
        transport.write(sent[1000:])
        assert heard.said == ["made", "pause"] and transport.get_write_buffer_size() > 1 << 16
        transport.close()  # what was written is still sent
        assert transport.is_closing() and not heard.lost.done()
        assert await _read(client) == sent
        assert await heard.lost is None and heard.said == ["made", "pause", "resume"]

    asyncio.run(go())


def test_a_client_that_has_ended_its_side_still_reads() -> None:
    async def go() -> None:
        client, transport, heard = _open(keeps=True)
        client.shutdown(socket.SHUT_WR)
        await _until(lambda: "eof" in heard.said)
        await asyncio.sleep(0.01)
        assert heard.said == ["made", "eof"]  # told once
        transport.write(b"late")
        transport.close()
        assert await _read(client) == b"late"

    asyncio.run(go())


def test_the_clients_end_is_its_end_when_nobody_keeps_it() -> None:
    async def go() -> None:
        client, transport, heard = _open()
        client.close()
        assert await heard.lost is None and transport.is_closing()
        transport.write(b"to nobody")
        transport.close()
        transport.abort()

    asyncio.run(go())


def test_writing_to_one_who_is_gone_is_told() -> None:
    async def go() -> None:
        client, transport, heard = _open(keeps=True)
        transport.pause_reading()
        client.close()
        transport.write(b"x")
        assert isinstance(await heard.lost, BrokenPipeError)

    asyncio.run(go())


def test_what_is_paused_waits() -> None:
    async def go() -> None:
        client, transport, heard = _open()
        transport.pause_reading()
        client.send(b"later")
        await asyncio.sleep(0.01)
        assert heard.data == b"" and not transport.is_reading()
        transport.resume_reading()
        await _until(lambda: heard.data == b"later")
        transport.abort()
        assert await heard.lost is None

    asyncio.run(go())


def test_all_who_wait_are_taken() -> None:
    async def go() -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("")  # unix(7): an abstract name of the kernel's choice
        listener.listen(64)
        heard: list[_Heard] = []

        def protocol() -> _Heard:
            heard.append(_Heard())
            return heard[-1]

        clients = []
        for number in range(40):
            client = socket.socket(socket.AF_UNIX)
            client.connect(listener.getsockname())
            client.sendall(b"%d" % number)
            clients.append(client)
        acceptor = Acceptor(listener, protocol)
        await _until(lambda: len(heard) == 40 and all(one.data for one in heard))
        assert sorted(int(one.data) for one in heard) == list(range(40))
        acceptor.close()
        for client in clients:
            client.close()
        await asyncio.gather(*(one.lost for one in heard))

    asyncio.run(go())


def test_one_that_closes_when_it_may_write_on_leaves_nothing_in_the_loop() -> None:
    """Its descriptor's number is the next connection's, which could not be watched."""

    async def go() -> None:
        client, transport, heard = _open()
        descriptor = transport.get_extra_info("socket").fileno()
        heard.resume_writing = transport.close  # type: ignore[method-assign]
        transport.set_write_buffer_limits(0)
        transport.write(bytes(1 << 20))
        assert await _read(client) == bytes(1 << 20)
        assert await heard.lost is None
        assert not asyncio.get_running_loop().remove_writer(descriptor)  # type: ignore[func-returns-value]

    asyncio.run(go())
