"""A container's streams in front of a person: raw mode, window size, signals passed on, and how it ended."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an import of enum, a tenth of a command's start
import os
import select

from wardian.cli.command import Failure, error_text
from wardian.client.console import CopyLoop, RawMode, terminal_size
from wardian.detach_keys import UnknownKey, read_detach_keys
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation
    from wardian.client import Client, Hijacked, Stream

# Not passed on: what the kernel does not let us catch, and what says something about this process only.
_KEPT = frozenset(
    getattr(_signal, f"SIG{name}")
    for name in ["KILL", "STOP", "CHLD", "PIPE", "URG", "SEGV", "BUS", "ILL", "FPE", "TRAP", "SYS"]
)
# With a terminal in raw mode they would end this command and leave the terminal raw: it is put back first.
_ENDING = frozenset((_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM))
# Docker's CLI waits for the container all the same, and gives up at the third.
_COUNTED, _ENOUGH = frozenset((_signal.SIGINT, _signal.SIGTERM)), 3
_RETRY_SECONDS, _RETRY_STEP = 5.0, 0.1


def check_terminal(attach_stdin: bool, tty: bool) -> None:
    """A terminal in the container needs one here when stdin is attached."""
    if attach_stdin and tty and not os.isatty(0):
        raise Failure("the input device is not a TTY")


def detach_keys(invocation: Invocation) -> str:
    """The keys that leave a container running, as they were named: by the flag, or in config.json. Raises Failure."""
    keys = invocation.text("detach-keys") or invocation.setting("detachKeys")
    _read_keys(keys)
    return keys


def _read_keys(text: str) -> bytes:
    try:
        return read_detach_keys(text)
    except UnknownKey as error:
        raise Failure(f"invalid detach keys ({text}): {error}") from None


def signal_name(number: int) -> str:
    """INT for 2; the number itself for what has no name."""
    for name in dir(_signal):
        if name.startswith("SIG") and "_" not in name and getattr(_signal, name) == number:
            return name[3:] if number not in _ALIASED else _ALIASED[number]
    return str(number)


_ALIASED = {_signal.SIGABRT: "ABRT", _signal.SIGIO: "IO", _signal.SIGRTMIN: "RTMIN", _signal.SIGRTMAX: "RTMAX"}


class Signals:
    """While the `with` block runs, signals arrive as bytes on `fd` instead of interrupting."""

    def __init__(self, numbers: frozenset[int]) -> None:
        self._numbers = numbers
        self._before: dict[int, object] = {}
        self.fd = -1
        self._write = -1
        self._previous = -1

    def __enter__(self) -> Signals:
        self.fd, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._previous = _signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = _signal.signal(number, _note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, before in self._before.items():
            _signal.signal(number, before if before is not None else _signal.SIG_DFL)
        _signal.set_wakeup_fd(self._previous)
        os.close(self.fd)
        os.close(self._write)

    def take(self) -> bytes:
        """The signals that came since, one byte each."""
        try:
            return os.read(self.fd, 512)
        except BlockingIOError:
            return b""


def _note(number: int, frame: object) -> None:
    """The byte in the wakeup pipe says it all."""


class Session:
    """One attachment to `resource` ("containers/ID" or "exec/ID"), from its connection to the end of output.

    `keys` names the detach keys; empty for the usual ones. With `proxy`, signals are passed on. Without, the first
    two of SIGINT and SIGTERM are overheard where the command `waits` for the exit code, as docker does.
    """

    def __init__(self, client: Client, resource: str, tty: bool, proxy: bool, keys: str, waits: bool = False) -> None:
        self._client = client
        self._resource = resource
        self.tty = tty
        self._keys = _read_keys(keys)
        self.detached = False
        self._proxy = proxy
        self._waits = waits
        self._asked = 0
        without = _COUNTED if waits else frozenset()
        caught = frozenset(_signal.valid_signals()) - _KEPT if proxy else without
        if tty:
            caught |= {_signal.SIGWINCH, *_ENDING}
        self.signals = Signals(frozenset(int(number) for number in caught))

    def __enter__(self) -> Session:
        self.signals.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.signals.__exit__(*exception)

    def copy(self, hijacked: Hijacked, stdin: bool) -> None:
        """Carries bytes until the output ends; `detached` tells whether the person left by the keys."""
        multiplexed = hijacked.multiplexed if hijacked.multiplexed is not None else not self.tty
        loop = CopyLoop(hijacked, multiplexed, 0 if stdin else None, keys=self._keys if self.tty else b"")
        if self.tty and stdin:
            with RawMode(0):
                loop.run(self.signals.fd, self.act)
        else:
            loop.run(self.signals.fd, self.act)
        self.detached = loop.detached

    def resize(self, more: int = 0) -> None:
        """Tells the container's terminal the size of ours."""
        size = terminal_size()
        if size is not None:
            self._quietly(f"/{self._resource}/resize", {"h": size[0] + more, "w": size[1] + more})

    def redraw(self) -> None:
        """Another size and back: a program that has nothing to say shows its prompt again."""
        self.resize(1)
        self.resize()

    def act(self) -> None:
        """Does what the signals that came ask for. Raises Failure for one that ends this command."""
        for number in self.signals.take():
            if number == _signal.SIGWINCH and self.tty:
                self.resize()
            elif self._proxy:
                self._quietly(f"/{self._resource}/kill", {"signal": signal_name(number)})
            elif self._waits and number in _COUNTED:
                self._count()
            else:
                raise Failure("", 128 + number)

    def _count(self) -> None:
        self._asked += 1
        if self._asked == _ENOUGH:
            raise Failure(f"\ngot {_ENOUGH} SIGTERM/SIGINTs, forcefully exiting")

    def _quietly(self, path: str, query: dict[str, object]) -> None:
        # The container may have ended meanwhile: what the streams then say is what counts.
        try:
            self._client.request("POST", path, query=query)
        except WardianError:
            pass

    def exit_code(self, waiting: Stream, condition: str = "") -> int:
        """The container's exit code, from the answer to a `wait` for `condition`; signals are still passed on."""
        answer = waiting.fileno()
        while answer not in select.select([answer, self.signals.fd], [], [])[0]:
            self.act()
        return read_exit_code(self._client, self._resource, waiting, condition)


def read_exit_code(client: Client, resource: str, waiting: Stream, condition: str = "") -> int:
    """What the answer to a `wait` says; the next engine's, where this one ends. Raises Failure with what went wrong."""
    try:
        answer = waiting.json()
    except WardianError as lost:
        try:
            answer = _wait_again(client, resource, lost, condition)
        except WardianError as final:
            raise Failure(f"error waiting for container: {error_text(final)}", 125) from None
    if not isinstance(answer, dict):
        raise Failure("the engine ended the wait without an answer", 125)
    error = answer.get("Error")
    if isinstance(error, dict) and error.get("Message"):
        raise Failure(f"Error waiting for container: {error['Message']}", 125)
    return int(answer["StatusCode"])


def _wait_again(client: Client, resource: str, lost: WardianError, condition: str) -> object:
    """A container outlives its engine: the one that comes next is asked, if it comes within seconds.

    It may have ended meanwhile, even be removed: how is known to the next engine. The next exit may have been then."""
    import time

    end = time.monotonic() + _RETRY_SECONDS
    while True:
        try:
            query = {"condition": condition if condition == "removed" else None}
            with client.stream("POST", f"/{resource}/wait", query=query) as waiting:
                return waiting.json()
        except WardianError as error:
            if hasattr(error, "status"):
                raise
            if time.monotonic() > end:
                raise lost from None
        time.sleep(_RETRY_STEP)
