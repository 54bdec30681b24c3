"""The terminal side of attach and exec: raw mode, size, the copy loop with demultiplexing.

Docker's stream framing (API documentation of `ContainerAttach`): 8 bytes `{stream, 0, 0, 0, size as big-endian u32}`,
then the bytes. The engine (its supervisor) looks for the detach keys; this side only carries bytes.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import select
import struct
import termios

from wardian.client.wire import Hijacked
from wardian.descriptors import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_CHUNK = 65536
_FRAME_HEAD = 8
_MAX_FRAME = 1 << 30


def terminal_size(fd: int = 1) -> tuple[int, int] | None:
    """(height, width) of the terminal on `fd`, None when it is none or has no size."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


class RawMode:
    """Raw mode of a terminal while the `with` block runs (cfmakeraw(3)); nothing when `fd` is no terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> RawMode:
        if os.isatty(self._fd):
            self._saved = termios.tcgetattr(self._fd)
            termios.tcsetattr(self._fd, termios.TCSANOW, _make_raw(termios.tcgetattr(self._fd)))
        return self

    def __exit__(self, *exception: object) -> None:
        if self._saved is not None:
            # TCSANOW: TCSADRAIN would wait for a terminal that nobody reads.
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)


def _make_raw(attributes: list[Any]) -> list[Any]:
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = attributes
    iflag &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    iflag &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    # The container's own terminal has made \r\n of \n where that is wanted: a bare \n of an editor is to stay one.
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = (cflag & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    cc = list(cc)
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, cc]


class Demultiplexer:
    """Frames in any pieces → (stream, bytes) as soon as bytes are there; a frame is never held back to be whole."""

    def __init__(self) -> None:
        self._head = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Raises ValueError on something that is no frame."""
        out = []
        while data:
            if not self._left:
                need = _FRAME_HEAD - len(self._head)
                self._head, data = self._head + data[:need], data[need:]
                if len(self._head) < _FRAME_HEAD:
                    break
                self._stream, self._left = struct.unpack(">BxxxL", self._head)
                if self._stream > 3 or self._left > _MAX_FRAME:
                    raise ValueError(f"not a frame of Docker's stream protocol: {self._head!r}")
                self._head = b""
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            out.append((self._stream, piece))
        return out


def write_frames(chunks: Iterable[bytes], stdout: int = 1, stderr: int = 2) -> None:
    """A framed stream (logs) onto two descriptors."""
    demultiplexer = Demultiplexer()
    for chunk in chunks:
        for stream, piece in demultiplexer.feed(chunk):
            write_all(stderr if stream == 2 else stdout, piece)


class CopyLoop:
    """Carries bytes between this process's descriptors and a hijacked connection until the engine closes it.

    `stdin` is a descriptor or None. `run` returns when the output ended; the end of stdin half-closes the connection
    (the container sees EOF). `keys` are the detach keys of a terminal: they are carried like all else (the engine acts
    on them), and `detached` says afterwards whether they were typed.
    """

    def __init__(
        self,
        hijacked: Hijacked,
        multiplexed: bool,
        stdin: int | None = None,
        stdout: int = 1,
        stderr: int = 2,
        keys: bytes = b"",
    ) -> None:
        self._keys = keys
        self._typed = 0
        self._sock = hijacked.sock
        self._early = hijacked.early
        self._frames = Demultiplexer() if multiplexed else None
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._outgoing = b""

    def run(self, wake: int | None = None, woken: Callable[[], None] | None = None) -> None:
        """`wake`: a descriptor that becomes readable when `woken` shall be called (signal.set_wakeup_fd's pipe)."""
        self._sock.setblocking(False)
        self._write_output(self._early)
        while True:
            readers = [self._sock.fileno()]
            if self._stdin is not None and not self._outgoing:
                readers.append(self._stdin)
            if wake is not None:
                readers.append(wake)
            writers = [self._sock.fileno()] if self._outgoing else []
            readable, writable, _ = select.select(readers, writers, [])
            if wake in readable and woken is not None:
                woken()
            if writable:
                self._send()
            if self._stdin in readable:
                self._take_input()
            if self._sock.fileno() in readable and not self._take_output():
                return

    @property
    def detached(self) -> bool:
        """Whether the detach keys were typed."""
        return bool(self._keys) and self._typed == len(self._keys)

    def _watch(self, data: bytes) -> None:
        for byte in data:
            if self.detached:
                return
            self._typed = self._typed + 1 if byte == self._keys[self._typed] else int(byte == self._keys[0])

    def _take_output(self) -> bool:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self._write_output(data)
        return bool(data)

    def _write_output(self, data: bytes) -> None:
        if self._frames is None:
            write_all(self._stdout, data)
            return
        for stream, piece in self._frames.feed(data):
            write_all(self._stderr if stream == 2 else self._stdout, piece)

    def _take_input(self) -> None:
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the terminal is gone, or we are in its background
                raise
            data = b""
        if data:
            if self._keys:
                self._watch(data)
            self._outgoing = data
            self._send()
        else:
            self._stdin = None
            self._half_close()

    def _send(self) -> None:
        try:
            sent = self._sock.send(self._outgoing)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            # The container no longer reads; its output may still come.
            self._stdin, self._outgoing = None, b""
            return
        self._outgoing = self._outgoing[sent:]

    def _half_close(self) -> None:
        try:
            self._sock.shutdown(_socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
