"""The engine's side of a supervisor: requests over its socket, and its exit.

The messages are drawn in `protocol`. Sockets are non-blocking and read by the event loop; no threads.
"""

import array
import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from wardian.errors import CONFLICT, NOT_FOUND, UNAVAILABLE, WardianError
from wardian.kernel.fds import memory_file
from wardian.runtime import protocol
from wardian.runtime.exitrecord import ExitRecord, parse_exit, read_exit

log = logging.getLogger(__name__)

_KINDS = protocol.KINDS
_FLAGS = protocol.ATTACHER_FLAGS
_HEADER = protocol.CONTROL_HEADER.size
_MAX_MESSAGE = 4096
_BACKLOG = 32  # MAX_CLIENTS of launcher/supervisor.h
_ENDED = (errno.ESRCH, errno.EPIPE, errno.ECONNRESET, errno.EBADF)  # the last once the connection is closed
_DEADLINE = 10.0  # of an answer: a supervisor answers at once, or its machine has stopped


class Attacher(NamedTuple):
    """A client's connected socket for the supervisor. Whoever made it still closes its own `fd` afterwards.

    `early` is what was already read from it. `framed`: output in Docker's 8-byte frames, else raw. `detach_keys` end
    the attachment when typed; b"" for none. `held`: the container's output waits until it is released.
    """

    fd: int
    early: bytes
    stdin: bool
    stdout: bool
    stderr: bool
    framed: bool
    detach_keys: bytes = b""
    held: bool = False


class Publication(NamedTuple):
    """A published port: `fd`, a bound socket of the host's, is held under `key` and leads to a container's address.

    Whoever made the socket still closes its own `fd` afterwards. -1 where the supervisor holds it already.
    """

    key: int
    fd: int
    address: str
    port: int


class SupervisorState(NamedTuple):
    """What STATUS answers. `log_lost`: bytes of output that the log could not take."""

    pid: int
    attachers: int
    log_written: int
    log_lost: int


def message(kind: str, body: bytes) -> bytes:
    """One message of the protocol."""
    return protocol.CONTROL_HEADER.pack(protocol.CONTROL_MAGIC, protocol.VERSION, _KINDS[kind], len(body)) + body


def send(control: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """One message with its descriptors (unix(7), SCM_RIGHTS). A supervisor that does not read in time is an OSError."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def send_attacher(control: socket.socket, serial: int, attacher: Attacher) -> None:
    """ATTACH. The bytes that were already read travel in a memfd: there may be more of them than a message holds."""
    keys = attacher.detach_keys[: protocol.MAX_DETACH_KEYS]
    flags = (
        _FLAGS["STDIN"] * attacher.stdin
        | _FLAGS["STDOUT"] * attacher.stdout
        | _FLAGS["STDERR"] * attacher.stderr
        | _FLAGS["FRAMED"] * attacher.framed
        | _FLAGS["EARLY"] * bool(attacher.early)
        | _FLAGS["HELD"] * attacher.held
    )
    body = protocol.REQUEST.pack(serial, flags, len(keys)) + keys
    if not attacher.early:
        return send(control, message("ATTACH", body), (attacher.fd,))
    early = memory_file("wardian-early", attacher.early)
    try:
        return send(control, message("ATTACH", body), (attacher.fd, early))
    finally:
        os.close(early)


def batches(publications: Sequence[Publication]) -> "list[Sequence[Publication]]":
    """As many together as one message takes."""
    most = protocol.MAX_TARGETS
    return [publications[start : start + most] for start in range(0, len(publications), most)]


def send_publications(control: socket.socket, serial: int, batch: Sequence[Publication]) -> None:
    """PUBLISH of one batch, in which all bring a socket, or none does."""
    descriptors = tuple(one.fd for one in batch if one.fd >= 0)
    assert len(descriptors) in (0, len(batch)), "a socket for each, or for none"
    flags = protocol.PUBLISH_FLAGS["SOCKETS"] if descriptors else 0
    body = protocol.REQUEST.pack(serial, len(batch), flags) + b"".join(map(_target, batch))
    send(control, message("PUBLISH", body), descriptors)


def _target(publication: Publication) -> bytes:
    family = socket.AF_INET6 if ":" in publication.address else socket.AF_INET
    address = socket.inet_pton(family, publication.address)
    return protocol.TARGET.pack(publication.key, family, publication.port, address)


def listen(run_dir: str) -> socket.socket:
    """RUN_DIR's socket, for the supervisor that is to be. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    directory = -1
    try:
        directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY)
        listener.bind(_address(directory))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        if directory >= 0:
            os.close(directory)
    return listener


def _address(directory: int) -> str:
    """By descriptor: RUN_DIR's own path may be longer than an address (unix(7))."""
    return f"/proc/self/fd/{directory}/supervisor.sock"


def has_ended(error: Exception) -> bool:
    """Whether that is why a supervisor did not do what it was asked: its container has ended, and all is in the log; or
    this engine has let go of it (`close`)."""
    return isinstance(error, WardianError) and error.errno in _ENDED


class SupervisorClient:
    """A connection to one supervisor, for the event loop's thread.

    Of a launch (`Launched.supervisor`), or later from `connect`. When the supervisor ends without saying how the
    container ended, `wait_exit` raises WardianError(UNAVAILABLE, "supervisor lost"), or why it cannot be read: see
    lost.py.
    """

    def __init__(self, control: socket.socket, run_dir: str, waits: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._control = control
        self._run_dir = run_dir
        self._serial = 0
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._end: asyncio.Future[ExitRecord] = self._loop.create_future()  # it has ended …
        self._exit: asyncio.Future[ExitRecord] = self._loop.create_future()  # … and all that it had is gone
        self._waits = waits
        self._held = 0  # attachers that are, or are to be
        self._closed = False
        control.setblocking(False)
        self._loop.add_reader(control.fileno(), self._readable)

    @classmethod
    async def connect(cls, run_dir: str) -> "SupervisorClient":
        """Of a container that an earlier engine launched. Raises WardianError(NOT_FOUND) when no supervisor listens,
        with another errno than ENOENT and ECONNREFUSED when it may."""
        control, directory = None, -1
        try:
            control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY)
            control.setblocking(False)  # connect to a unix socket is done at once, or it is EAGAIN: a full backlog
            control.connect(_address(directory))
        except OSError as error:
            if control is not None:
                control.close()
            raise WardianError(
                NOT_FOUND,
                f"no supervisor in {run_dir}: {error.strerror}",
                operation="connect",
                subject=run_dir,
                errno=error.errno or 0,
            ) from error
        finally:
            if directory >= 0:
                os.close(directory)
        return cls(control, run_dir)

    async def attach(self, attacher: Attacher) -> int:
        """Hand a client over, and return what `release` names it by when it is held, as it must then be. Raises
        WardianError(CONFLICT) when the container has ended."""
        self._held += attacher.held
        try:
            serial: int = protocol.ANSWER.unpack_from(await self._ask("ATTACH", attacher=attacher))[0]
        except BaseException:
            self._let_go(attacher.held)
            raise
        return serial

    async def holds(self) -> bool:
        """False: an earlier version's, which does not know that an attacher is to be held and takes it as any other."""
        try:
            await self._ask("RELEASE", protocol.NONE)  # nobody's
        except WardianError as error:
            return error.errno != errno.ENOSYS
        return True

    async def release(self, held: int) -> None:
        """From here on the attacher gets what the container writes, and it writes on."""
        try:
            await self._ask("RELEASE", held)
        finally:
            self._let_go(1)

    async def resize(self, height: int, width: int) -> None:
        """Set the terminal's size (TIOCSWINSZ, tty_ioctl(4)). Raises WardianError(CONFLICT) without a terminal."""
        await self._ask("RESIZE", height, width)

    async def close_stdin(self) -> None:
        """End the container's input, after what was already given to it."""
        await self._ask("CLOSE_STDIN")

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Hand published ports' sockets over to be held, or (without them) say where those that are held lead now."""
        for batch in batches(publications):
            await self._ask("PUBLISH", batch=batch)

    async def unpublish(self, key: int | None = None) -> None:
        """Let go of one published port, or of all: when this returns the host's ports are free again."""
        await self._ask("UNPUBLISH", protocol.NONE if key is None else key)

    async def sync_log(self) -> None:
        """When this returns, what the container wrote before is in its log."""
        await self._ask("LOG_SYNC")

    async def status(self) -> SupervisorState:
        data = await self._ask("STATUS")
        return SupervisorState(*protocol.STATE.unpack(data)[2:])

    async def wait_exit(self) -> ExitRecord:
        """Wait until the container has ended, its output is drained, its record written, and nothing is left."""
        return await asyncio.shield(self.gone())

    async def wait_end(self) -> ExitRecord:
        """The same, but for root and groups where the plan says `tells_first`: those last until `gone` is done."""
        self._wait()
        return await asyncio.shield(self._end)

    def told(self) -> ExitRecord | None:
        """How it ended, by what has come until now; None while it runs. Raises WardianError as `wait_exit` does."""
        if not self._end.done():
            self._readable()
        return self._end.result() if self._end.done() else None

    def gone(self) -> "asyncio.Future[ExitRecord]":
        """Done when its root and its groups are no more. Not to be cancelled."""
        self._wait()
        return self._exit

    def let_go(self) -> None:
        """Of one that has ended: somebody waits until it is `gone`."""
        with contextlib.suppress(WardianError):  # then it is
            self._request("LET_GO", 0, 0)

    def _wait(self) -> None:
        if not self._waits:
            self._waits = True
            self._request("WAIT", 0, 0)

    def close(self) -> None:
        """The container goes on; who waits for its end gets a CancelledError. Who has asked for something is answered
        first, and who is held gets the rest: with the connection both would end."""
        self._end.cancel()
        self._exit.cancel()
        self._closed = True
        self._let_go(0)

    def _let_go(self, held: int) -> None:
        """So many are held no more."""
        self._held -= held
        if self._closed and not self._held and not self._answers and self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    async def _ask(
        self,
        kind: str,
        first: int = 0,
        second: int = 0,
        attacher: Attacher | None = None,
        batch: Sequence[Publication] = (),
    ) -> bytes:
        serial = self._request(kind, first, second, attacher, batch)
        future = self._answers[serial] = self._loop.create_future()
        try:
            data: bytes = await asyncio.wait_for(future, _DEADLINE)
        except (TimeoutError, asyncio.CancelledError) as unanswered:
            if attacher is not None and attacher.held:  # it may be for all that, and the container stands still
                with contextlib.suppress(WardianError):
                    self._request("RELEASE", serial, 0)
            if isinstance(unanswered, TimeoutError):
                message = f"the supervisor did not answer {kind} within {_DEADLINE:.0f} s"
                raise WardianError(UNAVAILABLE, message) from None
            raise
        finally:
            self._answers.pop(serial, None)
            self._let_go(0)
        error = protocol.ANSWER.unpack_from(data)[1]
        if error:
            raise WardianError(CONFLICT, f"supervisor: {kind}: {os.strerror(error)}", operation=kind, errno=error)
        return data

    def _request(
        self,
        kind: str,
        first: int,
        second: int,
        attacher: Attacher | None = None,
        batch: Sequence[Publication] = (),
    ) -> int:
        self._serial += 1
        try:
            if attacher is not None:
                send_attacher(self._control, self._serial, attacher)
            elif batch:
                send_publications(self._control, self._serial, batch)
            else:
                send(self._control, message(kind, protocol.REQUEST.pack(self._serial, first, second)))
        except OSError as error:
            if kind != "WAIT":  # the end of file, which is on its way, answers that
                number = error.errno or 0
                raise WardianError(CONFLICT, "the container has ended", operation=kind, errno=number) from error
        return self._serial

    def _readable(self) -> None:
        while True:
            try:
                data = self._control.recv(_MAX_MESSAGE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                data = b""
            if not data:
                self._ended()
                break
            self._take(data)

    def _take(self, data: bytes) -> None:
        magic, version, kind, _ = protocol.CONTROL_HEADER.unpack_from(data)
        body = data[_HEADER:]
        if magic != protocol.CONTROL_MAGIC or version > protocol.VERSION:
            return
        if kind in (_KINDS["ENDED"], _KINDS["EXITED"]):
            told = (self._end,) if kind == _KINDS["ENDED"] else (self._end, self._exit)
            self._settle(told, lambda: parse_exit(body[protocol.ANSWER.size :]))
            return
        serial, error = protocol.ANSWER.unpack_from(body)
        # What travelled with the launch: published ports. ESRCH: the container had ended by then, and needs none.
        if error not in (0, errno.ESRCH) and not serial:
            log.error("%s: the supervisor does not hold the published ports: %s", self._run_dir, os.strerror(error))
        future = self._answers.get(serial)
        if future is not None and not future.done():
            future.set_result(body)

    def _ended(self) -> None:
        self._loop.remove_reader(self._control.fileno())
        for future in self._answers.values():
            if not future.done():
                future.set_exception(WardianError(CONFLICT, "the container has ended", errno=errno.ESRCH))
        self._settle((self._end, self._exit), lambda: read_exit(self._run_dir) if self._run_dir else None)

    def _settle(
        self, futures: "Sequence[asyncio.Future[ExitRecord]]", record_of: Callable[[], ExitRecord | None]
    ) -> None:
        """The end, or that it cannot be known: an error must reach who waits, and not the loop."""
        waiting = [future for future in futures if not future.done()]
        if not waiting:
            return
        try:
            record = record_of()
            if record is None:
                raise WardianError(UNAVAILABLE, "supervisor lost", subject=self._run_dir)
        except (OSError, WardianError) as error:
            for future in waiting:
                future.set_exception(error)
                future.exception()  # an engine that is closing may have nobody who waits
            return
        for future in waiting:
            future.set_result(record)
