"""A supervisor under AddressSanitizer and UBSan around a plain process: what tests/launcher/supervised.c is for."""

import asyncio
import functools
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from wardian.runtime import protocol
from wardian.runtime.exitrecord import ExitRecord
from wardian.runtime.supervisor import Attacher, SupervisorClient, send_attacher

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = """attach control exit file group json kmsg log publish relay relay_filter relay_tcp relay_udp stdio stream
supervise tty""".split()
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TTY, OPEN_STDIN, STDIN_ONCE, SHARED_PID = (
    protocol.SUPERVISE_FLAGS[name] for name in ("TTY", "OPEN_STDIN", "STDIN_ONCE", "SHARED_PID")
)
DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q


STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
_made = tempfile.TemporaryDirectory()


@functools.cache
def _supervisor(flags: Sequence[str]) -> str:
    """The supervisor's files, compiled once with the same flags."""
    directory = tempfile.mkdtemp(dir=_made.name)
    sources = [f"{REPOSITORY}/launcher/{name}.c" for name in SOURCES]
    subprocess.run(["gcc", *STRICT, *flags, "-c", *sources], cwd=directory, check=True)
    return directory


def compile_c(main: str, program: str, flags: Sequence[str] = SANITIZE, *, link: Sequence[str] = ()) -> str:
    """tests/launcher/MAIN with the supervisor's files; `link`: more for its last step."""
    objects = [f"{_supervisor(tuple(flags))}/{name}.o" for name in SOURCES]
    command = ["gcc", *STRICT, *flags, "-o", program, f"{REPOSITORY}/tests/launcher/{main}", *objects, *link]
    subprocess.run(command, check=True)
    return program


class Client:
    """The far end of an attached connection."""

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair()
        self.socket.setblocking(False)

    def attacher(
        self,
        early: bytes = b"",
        stdin: bool = True,
        stdout: bool = True,
        stderr: bool = True,
        framed: bool = True,
        keys: bytes = b"",
    ) -> Attacher:
        return Attacher(self.theirs.fileno(), early, stdin, stdout, stderr, framed, keys)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    async def read(self) -> bytes:
        """To the end of the stream."""
        return b"".join([chunk async for chunk in self._chunks()])

    async def read_until(self, text: bytes) -> bytes:
        data = b""
        async with asyncio.timeout(10):
            while text not in data:
                chunk = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
                assert chunk, f"ended before {text!r}: {data!r}"
                data += chunk
        return data

    async def _chunks(self) -> AsyncIterator[bytes]:
        async with asyncio.timeout(60):
            while chunk := await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20):
                yield chunk

    def close(self) -> None:
        self.socket.close()
        self.theirs.close()


def frames(data: bytes) -> dict[int, bytes]:
    """Docker's multiplexed stream, taken apart by stream number."""
    streams: dict[int, list[bytes]] = {1: [], 2: []}
    at = 0
    while at < len(data):
        number, length = data[at], int.from_bytes(data[at + 4 : at + 8], "big")
        assert data[at + 1 : at + 4] == b"\0\0\0" and len(data) >= at + 8 + length, data[at : at + 16]
        streams[number].append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return {number: b"".join(parts) for number, parts in streams.items()}


class Process:
    """The supervisor's own process: descriptor 3 is its launch socket."""

    def __init__(self, program: str, arguments: Sequence[str], control: int, errors: int) -> None:
        actions = [
            (os.POSIX_SPAWN_DUP2, control, 3),
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, errors, 2),
        ]
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # it has one life, and ends with it
        self.pid = os.posix_spawn(
            program, [program, *arguments], environment, file_actions=actions, setsid=True, setsigdef=(signal.SIGPIPE,)
        )
        self.status: int | None = None

    async def wait(self) -> int:
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            else:
                await asyncio.sleep(0.005)
        return self.status


class Supervised:
    """A running supervisor: its client connection, directories, and the process it watches."""

    def __init__(self, directory: str, process: Process, pid: int, client: SupervisorClient) -> None:
        self.directory = directory
        self.process = process
        self.pid = pid
        self.client = client
        self.log = os.path.join(directory, "log", "c-json.log")

    async def attach(self, **options: Any) -> Client:
        client = Client()
        await self.client.attach(client.attacher(**options))
        client.theirs.close()
        return client

    async def exit(self) -> ExitRecord:
        async with asyncio.timeout(60):
            return await self.client.wait_exit()

    def entries(self, suffix: str = "") -> list[dict[str, str]]:
        with open(self.log + suffix, "rb") as file:
            return [json.loads(line) for line in file.read().splitlines()]

    def logged(self, stream: str = "stdout") -> str:
        return "".join(entry["log"] for entry in self.entries() if entry["stream"] == stream)


@asynccontextmanager
async def supervised(
    program: str,
    directory: str,
    command: Sequence[str],
    flags: int = 0,
    *,
    max_size: int = 0,
    max_files: int = 1,
    attachers: Sequence[Attacher] = (),
    cgroup: str = "-",
    log_dir: str = "",
) -> AsyncIterator[Supervised]:
    """Runs `command` under a supervisor; at the end checks that it went well and left nothing open."""
    os.makedirs(os.path.join(directory, "log"), exist_ok=True)
    log_dir = log_dir or os.path.join(directory, "log")
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sizes = [str(max_size), str(max_files), str(len(attachers))]
    arguments = [str(flags), directory, log_dir, "c-json.log", *sizes, cgroup]
    with open(os.path.join(directory, "stderr"), "w+") as errors:
        process = Process(program, [*arguments, *command], theirs.fileno(), errors.fileno())
        theirs.close()
        for attacher in attachers:
            send_attacher(control, 0, attacher)
        control.setblocking(False)
        async with asyncio.timeout(20):
            message = await asyncio.get_running_loop().sock_recv(control, 4096)
        assert message, "the supervisor ended before it began"
        pid = protocol.RUNNING.unpack(message[protocol.CONTROL_HEADER.size :])[0]
        running = Supervised(directory, process, pid, SupervisorClient(control, directory, waits=True))
        try:
            yield running
            async with asyncio.timeout(20):
                assert await process.wait() == 0
        finally:
            running.client.close()
            if process.status is None:
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
            with open(errors.name) as file:
                assert file.read() == ""
