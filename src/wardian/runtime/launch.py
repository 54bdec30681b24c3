"""Hand a plan to a launcher: one process is started, it carries the plan out and stays as the supervisor.

The way is short because it is the hot path: a process that waits already (ready.py), a memfd, one sendmsg, then the
event loop until RUNNING or FAILED. The same socket goes on as the supervisor's first client, and its EXITED comes
unasked.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wardian.errors import SYSTEM, WardianError
from wardian.kernel.fds import memory_file
from wardian.kernel.pidfd import send_signal
from wardian.runtime import protocol, ready
from wardian.runtime.ops import Chdir, Exec, Step
from wardian.runtime.plan import Plan
from wardian.runtime.supervisor import (
    Attacher,
    Publication,
    SupervisorClient,
    batches,
    message,
    send,
    send_attacher,
    send_publications,
)

log = logging.getLogger(__name__)

DEADLINE = 30.0  # of the whole launch: a mount on a dead server is named, not waited for
_KINDS = {number: name for name, number in protocol.KINDS.items()}
_MAX_RECORDS = 1 << 17
_REAP_AGAIN = 0.01
_PIDFD_AGAIN = 1.0
_LAST_MOMENT = 1.0  # seconds


class Record(NamedTuple):
    """What the launcher says of one step: `kind` is DONE, NOTE (failed, and the plan went on) or FAILED."""

    kind: str
    step: int
    errno: int
    ns: int
    text: str = ""


class Launched(NamedTuple):
    """A container that runs. `start_time` (field 22 of /proc/PID/stat) and `pid` name its first process for ever."""

    pid: int
    start_time: int
    started_at: int  # Unix time, ns
    records: tuple[Record, ...]
    supervisor: SupervisorClient


class LaunchError(WardianError):
    """The launch failed and nothing is left. `step` is the index in the plan (-1: no step), `failed` the step itself,
    `op` its description, `records` what was done before it (and the failure itself)."""

    records: tuple[Record, ...] = ()

    def __init__(self, text: str, step: int = -1, failed: Step | None = None, errno: int = 0, detail: str = "") -> None:
        self.op = failed.describe() if failed is not None else ""
        super().__init__(SYSTEM, text, operation="launch", subject=self.op, errno=errno)
        self.step = step
        self.failed = failed
        self.detail = detail

    @property
    def at_exec(self) -> bool:
        """All was ready, and the command itself could not be run."""
        return self.failed is not None and isinstance(self.failed.op, Exec)

    @property
    def directory(self) -> str:
        """The working directory, when it is there that the process could not go; otherwise ""."""
        return self.failed.op.path if self.failed is not None and isinstance(self.failed.op, Chdir) else ""


async def launch(
    plan: Plan,
    descriptors: Mapping[str, int],
    attachers: Sequence[Attacher] = (),
    run_dir: str = "",
    *,
    publishing: Sequence[Publication] = (),
    fail_step: int | None = None,
    deadline: float = DEADLINE,
) -> Launched:
    """Carry out a plan. `descriptors` has what `plan.descriptors` names; they, the attachers' and those of `publishing`
    stay the caller's to close. Raises LaunchError; then nothing is left. A cancelled launch is undone by the launcher.
    """
    control, process = ready.take()
    unsent: Sequence[Publication] = ()
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # why it ended can be read still
            _send_plan(control, plan.encode(fail_step), [descriptors[name] for name in plan.descriptors], attachers)
            unsent = _publish(control, publishing)
        async with asyncio.timeout(deadline):
            records, running = await _answer(control, plan)
    except BaseException as error:
        _abandon(control)
        try:
            if isinstance(error, LaunchError):
                await _gone(process)
        finally:
            _reap(process)
        raise _why(error, deadline) from error
    asyncio.get_running_loop().call_soon(_reap_at_end, process)
    pid, _, start_time, started_at = running
    supervisor = SupervisorClient(control, run_dir, waits=True)
    try:
        await supervisor.publish(unsent)
    except WardianError as error:  # it has ended already, which its record tells; or it has no room
        log.warning("%s: published ports are not held: %s", run_dir, error)
    return Launched(pid, start_time, started_at, records, supervisor)


def _abandon(control: socket.socket) -> None:
    """After the shutdown the launcher cannot say RUNNING any more and undoes what it did. If it said so before, that is
    in the queue: what runs is killed, and its supervisor cleans up after it."""
    with control, contextlib.suppress(OSError):
        control.shutdown(socket.SHUT_RDWR)
        while data := control.recv(_MAX_RECORDS):
            if protocol.CONTROL_HEADER.unpack_from(data)[2] == protocol.KINDS["RUNNING"]:
                pid, _, start_time, _ = protocol.RUNNING.unpack_from(data, protocol.CONTROL_HEADER.size)
                send_signal(pid, start_time, signal.SIGKILL)


async def _gone(process: int) -> None:
    """Waits a moment for the end of a launcher that fails: what was on its way to it, published ports' sockets too, is
    let go of only then, and who hears of the failure may ask for these ports again. Without a descriptor to wait by
    (EMFILE), the failure is what is told."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_LAST_MOMENT):
            await _readable(asyncio.get_running_loop(), _Pidfd(process))


def _why(error: BaseException, deadline: float) -> BaseException:
    if isinstance(error, TimeoutError):
        return LaunchError(f"the launcher was not done within {deadline:.0f} s")
    if isinstance(error, OSError):
        return LaunchError(f"the launcher: {error.strerror}", errno=error.errno or 0)
    return error


def _send_plan(control: socket.socket, data: bytes, slots: Sequence[int], attachers: Sequence[Attacher]) -> None:
    memory = memory_file("wardian-plan", data)
    try:
        most = protocol.MAX_FDS
        send(
            control,
            message("HELLO", protocol.HELLO.pack(len(data), len(slots), len(attachers))),
            (memory, *slots[: most - 1]),
        )
        for start in range(most - 1, len(slots), most):
            send(control, message("MORE", b""), slots[start : start + most])
    finally:
        os.close(memory)
    for attacher in attachers:
        send_attacher(control, 0, attacher)


def _publish(control: socket.socket, publishing: Sequence[Publication]) -> Sequence[Publication]:
    """Queued for the supervisor that is to be, so that the ports are held from its first moment; returns what the
    socket had no room for."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        for batch in batches(publishing):
            send_publications(control, 0, batch)
            sent += len(batch)
    return publishing[sent:]


async def _answer(control: socket.socket, plan: Plan) -> tuple[tuple[Record, ...], tuple[int, int, int, int]]:
    """The launcher's records up to RUNNING. Raises LaunchError from FAILED, REFUSED, or its end."""
    loop = asyncio.get_running_loop()
    records: list[Record] = []
    while True:
        try:
            data = control.recv(_MAX_RECORDS)
        except BlockingIOError:
            await _readable(loop, control)
            continue
        except ConnectionResetError:
            # it ended with a message of ours unread; what it said before that is read after this error (unix(7))
            continue
        except OSError:
            data = b""
        if not data:
            raise LaunchError("the launcher ended without a word")
        magic, version, number, _ = protocol.CONTROL_HEADER.unpack_from(data)
        if magic != protocol.CONTROL_MAGIC or version != protocol.VERSION:
            raise LaunchError(f"the launcher speaks version {version} of the protocol, this Wardian {protocol.VERSION}")
        body = memoryview(data)[protocol.CONTROL_HEADER.size :]
        kind = _KINDS.get(number, str(number))
        if kind == "RUNNING":
            return tuple(records), protocol.RUNNING.unpack(body)
        records += _records(kind, body)
        if kind in ("FAILED", "REFUSED"):
            error = _failure(kind, records[-1], plan)
            error.records = tuple(records)
            raise error


async def _readable(loop: asyncio.AbstractEventLoop, control: "socket.socket | _Pidfd") -> None:
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(control.fileno(), _settle, future)
    try:
        await future
    finally:
        loop.remove_reader(control.fileno())


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _records(kind: str, body: memoryview) -> list[Record]:
    """DONE carries many, the others one with a text."""
    if kind == "DONE":
        return [Record(kind, *fields) for fields in protocol.RECORD.iter_unpack(body)]
    text = bytes(body[protocol.RECORD.size :]).rstrip(b"\0").decode(errors="replace")
    step, number, duration = protocol.RECORD.unpack_from(body)
    return [Record(kind, step, number, duration, text)]


def _failure(kind: str, record: Record, plan: Plan) -> LaunchError:
    what = os.strerror(record.errno) if record.errno else "failed"
    if kind == "REFUSED":
        text = f"the launcher refused the plan at byte {record.step}: {record.text or what}"
        return LaunchError(text, errno=record.errno)
    more = f", {record.text}" if record.text else ""
    if not 0 <= record.step < len(plan.ops):
        return LaunchError(f"the launcher: {what}{more}", errno=record.errno, detail=record.text)
    failed = plan.ops[record.step]
    text = f"step {record.step}: {failed.describe()}: {what}{more}"
    return LaunchError(text, record.step, failed, record.errno, record.text)


def _reap(process: int) -> bool:
    """Takes the status of a launcher that has ended; True when it has. It is our child only while we live."""
    with contextlib.suppress(ChildProcessError):
        ended, _ = os.waitpid(process, os.WNOHANG)
        if not ended:
            asyncio.get_running_loop().call_later(_REAP_AGAIN, _reap, process)
            return False
    return True


class _Pidfd:
    """A pidfd that closes with its last holder: with the event loop, when that ends before the container."""

    def __init__(self, process: int) -> None:
        self._descriptor = os.pidfd_open(process)

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def _reap_at_end(process: int) -> None:
    """Once its container has ended the launcher ends too: its pidfd says when. Without a descriptor for one (EMFILE)
    that is tried again: a child that nobody waits for stays a zombie."""
    loop = asyncio.get_running_loop()
    try:
        pidfd = _Pidfd(process)
    except ProcessLookupError:
        return
    except OSError:
        loop.call_later(_PIDFD_AGAIN, _reap_at_end, process)
        return

    def ended() -> None:
        loop.remove_reader(pidfd)
        _reap(process)

    loop.add_reader(pidfd, ended)
