"""Attach: what a client asks for, and the session that takes its connected socket.

The engine never carries bytes. A session takes the client's socket with the bytes that were read past the request's
header and gives both to the supervisor; of a container that has not started they are kept and travel with the plan.
"""

import asyncio
import contextlib
import logging
import os
import select
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

from wardian.detach_keys import UnknownKey, read_detach_keys
from wardian.engine.logging import LogOptions, LogReader, is_readable, log_path
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, INVALID, WardianError
from wardian.runtime import Attacher, SupervisorClient, has_ended

log = logging.getLogger(__name__)

# what a supervisor takes (MAX_ATTACHERS in launcher/supervisor.h): with one more the start would fail
MOST_WAITING = 64
# seconds between two looks at whether those who wait for a start are still there
_LOOK = 5.0


class AttachOptions(NamedTuple):
    """The query of POST /containers/ID/attach. `logs` replays what was logged, `stream` follows what comes.
    Without `framed` no frame says which output it is, as if the container had a terminal."""

    stream: bool = True
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    detach_keys: str = ""
    framed: bool = True


def parse_detach_keys(text: str) -> bytes:
    """docker's spelling: "ctrl-p,ctrl-q", "a,b"; "" is the default. Raises WardianError(INVALID)."""
    try:
        return read_detach_keys(text)
    except UnknownKey:
        message = f"Invalid detach keys ({text}) provided"
        raise WardianError(INVALID, message, operation="attach", subject=text) from None


class AttachSession:
    """A promise to take one client's socket. `tty` says which content type the headers name."""

    def __init__(self, container: Container, options: AttachOptions) -> None:
        config = container.config
        self.tty = bool(config["Tty"])
        self.speaks = container.state.live or options.logs
        self._container = container
        self._options = options
        self._framed = options.framed and not self.tty
        self._keys = parse_detach_keys(options.detach_keys)
        if options.stream and not container.state.live:
            _refuse_too_many(container)
        if options.stdin and options.stream and container.state.live and not config["OpenStdin"]:
            # Docker takes the client's input and drops it; the supervisor has no pipe to give it to
            self._options = options._replace(stdin=False)

    async def hand_over(self, fd: int, early: bytes) -> None:
        """Take over `fd`: it is the supervisor's when this returns, or queued until the container starts."""
        attacher = Attacher(
            fd,
            early,
            self._options.stdin,
            self._options.stdout,
            self._options.stderr,
            self._framed,
            self._keys if self.tty else b"",
        )
        container = self._container
        try:
            goes_on = await self._replay(attacher) if self._options.logs else True
        except BaseException:
            os.close(fd)
            raise
        if not goes_on or not self._options.stream:
            return os.close(fd)
        if not container.state.live:
            _queue(container, attacher)
        elif container.supervisor is not None:
            await give(container, attacher)
        else:
            os.close(fd)  # it has ended, and is about to say so
        return None

    async def _replay(self, attacher: Attacher) -> bool:
        """Send what was logged. False: and all that came after it."""
        reader = self._reader()
        if reader is None:
            return True
        supervisor = self._container.supervisor if self._options.stream and self._container.state.live else None
        if supervisor is not None and await supervisor.holds():
            await self._follow(reader, attacher, supervisor)
            return False
        await _send(attacher.fd, reader.chunks())
        return True

    def _reader(self) -> LogReader | None:
        """None: Docker shows nothing of a log that cannot be read, and goes on with the stream."""
        container = self._container
        if not is_readable(container.config["HostConfig.LogConfig"]):
            return None
        options = LogOptions(stdout=self._options.stdout, stderr=self._options.stderr)
        return LogReader(log_path(container.config.directory, container.id), options, not self._framed)

    async def _follow(self, reader: LogReader, attacher: Attacher, supervisor: SupervisorClient) -> None:
        """What was logged, and then what comes, with nothing missing or doubled between: once the most is shown, the
        supervisor takes the client and holds its output back until the last is."""
        held = 0

        async def hold() -> None:
            nonlocal held
            try:
                held = await supervisor.attach(attacher._replace(held=True))
            except (OSError, WardianError) as error:
                # its state says so a moment later
                if self._container.state.live and not has_ended(error):
                    raise

        try:
            await _send(attacher.fd, reader.chunks_through(hold))
        finally:
            if held:
                with contextlib.suppress(OSError, WardianError):  # its client has left; or the container has ended
                    await supervisor.release(held)


async def _send(fd: int, chunks: AsyncIterator[bytes]) -> None:
    with socket.socket(fileno=os.dup(fd)) as client:
        client.setblocking(False)
        async for chunk in chunks:
            await asyncio.get_running_loop().sock_sendall(client, chunk)


async def give(container: Container, attacher: Attacher) -> None:
    """To the supervisor of a running container; a container that ended meanwhile just ends the stream."""
    try:
        await container.supervisor.attach(attacher)
    except (OSError, WardianError) as error:
        if container.state.live and not has_ended(error):
            raise
    finally:
        os.close(attacher.fd)


async def give_late(container: Container, travelled: int) -> None:
    """After a launch: the first `travelled` attachers went with the plan, the others came while it was carried out."""
    waiting, container.attachers = container.attachers, []
    for attacher in waiting[:travelled]:
        os.close(attacher.fd)
    for attacher in waiting[travelled:]:
        try:
            await give(container, attacher)
        except (OSError, WardianError) as error:  # its stream ends, the start went well
            log.warning("container %s: a client that is attached gets nothing: %s", container.id[:12], error)


def _queue(container: Container, attacher: Attacher) -> None:
    try:
        _refuse_too_many(container)
    except WardianError:
        os.close(attacher.fd)
        raise
    container.attachers.append(attacher)
    _look_later(container)


def _look_later(container: Container) -> None:
    if container.departures is None:
        container.departures = asyncio.get_running_loop().call_later(_LOOK, _look, container)


def _look(container: Container) -> None:
    """Who left takes no descriptor of this engine until the start, which may never come."""
    container.departures = None
    if not container.lock.locked():  # a start under way counts those that travel with it
        drop_departed(container)
    if container.attachers:
        _look_later(container)


def _refuse_too_many(container: Container) -> None:
    if not container.lock.locked():  # a start under way counts those that travel with it
        drop_departed(container)
    if len(container.attachers) >= MOST_WAITING:
        message = f"{MOST_WAITING} clients are attached to container {container.id} already, and it has not started"
        raise WardianError(CONFLICT, message, operation="attach", subject=container.id)


def drop_departed(container: Container) -> None:
    """Close the sockets of those who waited for a start, and left."""
    waiting, container.attachers = container.attachers, []
    for attacher in waiting:
        if _has_departed(attacher):
            os.close(attacher.fd)
        else:
            container.attachers.append(attacher)


def _has_departed(attacher: Attacher) -> bool:
    """Both ways are closed (poll(2), POLLHUP), and nothing is left that the container would read."""
    poll = select.poll()
    poll.register(attacher.fd, 0)
    if not poll.poll(0):
        return False
    if not attacher.stdin:
        return True
    with socket.socket(fileno=os.dup(attacher.fd)) as client, contextlib.suppress(OSError):
        return not attacher.early and not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return True


def drop_attachers(container: Container) -> None:
    """Close the sockets of those who waited for a start that failed."""
    for attacher in container.attachers:
        os.close(attacher.fd)
    container.attachers = []
