"""The engine's side of `wardian-resolver`: find the one that runs, start one, and speak to it.

It is started as a process of its own: own session, `/` as its directory, in the supervisors' group, so that no end of
the engine's is its end. The control socket is made here and handed over listening: what is sent to it waits in the
kernel until the process has begun, and nobody has to ask again and again whether it has.
"""

import array
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from wardian.errors import SYSTEM, UNAVAILABLE, WardianError
from wardian.kernel import procfs
from wardian.network.resolver import protocol

CONTROL = "control.sock"
LOG = "log"
_PROGRAM = os.path.join(os.path.dirname(__file__), "resolver", "__main__.py")
_HANDED_OVER = 3
_DEADLINE = 5.0  # of an answer: it answers at once, or the machine has stopped
_BACKLOG = 8
_SEND_AGAIN = 0.01
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


class ResolverClient:
    """A connection to the resolver, for the event loop's thread. `lost` is called once when the resolver has ended."""

    def __init__(self, control: socket.socket, lost: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._control = control
        self._lost = lost
        self._serial = 0
        self._answers: dict[int, asyncio.Future[tuple[int, dict[str, Any]]]] = {}
        self.version = protocol.VERSION
        control.setblocking(False)
        self._loop.add_reader(control.fileno(), self._readable)

    async def request(self, kind: int, body: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """The answer's body. Raises WardianError: UNAVAILABLE when the resolver has ended, SYSTEM when it refuses;
        TimeoutError when it is silent."""
        self._serial += 1
        serial = self._serial
        future = self._answers[serial] = self._loop.create_future()
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._send(protocol.pack(kind, serial, body), descriptors)
                outcome = await future
        except TimeoutError:
            raise
        except OSError as error:
            raise WardianError(UNAVAILABLE, f"names: {error}", operation="names") from error
        finally:
            self._answers.pop(serial, None)
        answer: int = outcome[0]
        said: dict[str, Any] = outcome[1]
        if answer != protocol.DONE:
            text = f"the resolver refuses: {said.get('error', 'it speaks another version')}"
            raise WardianError(SYSTEM, text, operation="names")
        return said

    def close(self) -> None:
        """Let go of the resolver, which runs on. Nothing is called afterwards."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the connection to the resolver is closed"))

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        while True:
            try:
                self._control.sendmsg([data], rights, socket.MSG_NOSIGNAL)
                return
            except BlockingIOError:
                await asyncio.sleep(_SEND_AGAIN)

    def _readable(self) -> None:
        try:
            data = self._control.recv(protocol.MOST_BYTES)
            if data:
                self.version, kind, serial, body = protocol.unpack(data)
                future = self._answers.get(serial)
                if future is not None and not future.done():
                    future.set_result((kind if self.version == protocol.VERSION else protocol.REFUSED, dict(body)))
                return
        except BlockingIOError:
            return
        except (OSError, protocol.Malformed):
            pass
        self.close()
        self._lost()


def connect(directory: str) -> socket.socket | None:
    """A connection to the resolver of `directory`, or None when none listens there."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _short(directory) as path:
            control.connect(f"{path}/{CONTROL}")
    except OSError:
        control.close()
        return None
    return control


def spawn(directory: str, cgroup_base: str) -> int:
    """Start a resolver that listens in `directory`, in place of one that is gone. Returns its pid; it is our child."""
    listener = _listen(directory)
    log = os.open(f"{directory}/{LOG}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", _PROGRAM, directory, *_groups(f"{cgroup_base}/supervisors")],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, 2, 1),
                (os.POSIX_SPAWN_DUP2, listener.fileno(), _HANDED_OVER),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    finally:
        os.close(log)
        listener.close()


async def ended(pidfd: int, seconds: float) -> bool:
    """Whether the process of a pidfd ends within `seconds`; if it is our child, its status is taken."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(pidfd, readable)
    try:
        await asyncio.wait_for(future, seconds)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    return True


@contextlib.contextmanager
def _short(directory: str) -> Any:
    """A short path of a directory: that of a unix socket has at most 107 bytes (unix(7))."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _listen(directory: str) -> socket.socket:
    """Bound under another name and renamed: whoever finds the name finds a socket that listens."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _short(directory) as path, contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}/{CONTROL}.new")
        with _short(directory) as path:
            listener.bind(f"{path}/{CONTROL}.new")
            listener.listen(_BACKLOG)
            os.rename(f"{path}/{CONTROL}.new", f"{path}/{CONTROL}")
    except BaseException:
        listener.close()
        raise
    return listener


def _groups(group: str) -> list[str]:
    """The files by which a process enters `group`, which is made where it is not there: as a launcher's plan does."""
    mounts = [mount for mount in procfs.mounts() if mount.type in ("cgroup", "cgroup2") and mount.root == "/"]
    # A hierarchy may be mounted twice, as below the root of another engine's: the first mount serves.
    version1 = list({m.super_options: m for m in reversed(mounts) if m.type == "cgroup"}.values())
    version2 = [mount for mount in mounts if mount.type == "cgroup2"][:1]
    if version1 and procfs.group2() == "/":
        version2 = []
    files = []
    for mount in version1 + version2:
        path = mount.target
        for name in group.split("/"):
            above, path = path, f"{path}/{name}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
            if "cpuset" in mount.super_options.split(","):
                _inherit_cpuset(above, path)
        files.append(f"{path}/{'tasks' if mount.type == 'cgroup' else 'cgroup.procs'}")
    return files


def _inherit_cpuset(above: str, path: str) -> None:
    """Version 1: a group without cpus and memory nodes takes no process (cpuset(7))."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not procfs.read(f"{path}/{file}").strip():
            with open(f"{path}/{file}", "w") as empty:
                empty.write(procfs.read(f"{above}/{file}").strip())
