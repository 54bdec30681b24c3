"""syslog: RFC 3164 and 5424 messages over unix sockets, UDP, TCP and TLS (framed by RFC 5425 there).

""            <30>Nov 21 20:49:42 TAG[PID]: text                       the local daemon's own
rfc3164       <30>Nov 21 20:49:42 HOST TAG[PID]: text
rfc5424       <30>1 2026-11-21T20:49:42Z HOST TAG PID TAG - text       rfc5424micro: with microseconds
"""

import asyncio
import contextlib
import datetime
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from wardian.engine.logging.drivers import FACILITIES
from wardian.engine.logging.followers import FIRST_PAUSE, Line

_SEVERITY = {"stdout": 6, "stderr": 3}
LOCAL = ("/dev/log", "/var/run/syslog", "/var/run/log")
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_SECONDS = 10.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def priority(facility: str, stream: str) -> int:
    number = int(facility) if facility.isdigit() else FACILITIES.index(facility or "daemon")
    return number * 8 + _SEVERITY.get(stream, 6)


def stamp(when: int) -> str:
    """RFC 3164's, of this host's time zone: a day below ten has a space before it."""
    moment = time.localtime(when // 1_000_000_000)
    return f"{_MONTHS[moment.tm_mon - 1]} {moment.tm_mday:2d} {time.strftime('%H:%M:%S', moment)}"


def moment(when: int, micro: bool) -> str:
    """RFC 5424's (RFC 3339), in UTC."""
    seconds, rest = divmod(when, 1_000_000_000)
    text = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest // 1000:06d}Z" if micro else f"{text}Z"


def format_message(kind: str, facility: str, tag: str, host: str, line: Line) -> bytes:
    number, pid = priority(facility, line.stream), os.getpid()
    if kind.startswith("rfc5424"):
        head = f"<{number}>1 {moment(line.time, kind == 'rfc5424micro')} {host} {tag} {pid} {tag} - "
    elif kind == "rfc3164":
        head = f"<{number}>{stamp(line.time)} {host} {tag}[{pid}]: "
    else:
        head = f"<{number}>{stamp(line.time)} {tag}[{pid}]: "
    return head.encode() + line.text


class Syslog:
    pause = FIRST_PAUSE

    def __init__(self, options: Mapping[str, str], tag: str) -> None:
        self._options = options
        parts = urlsplit(options.get("syslog-address", ""))
        self._scheme, self._path = parts.scheme, parts.path
        self._host, self._port = parts.hostname or "localhost", parts.port or 514
        self._tag = tag.replace(" ", "_")
        self._name = os.uname().nodename
        self._socket: socket.socket | None = None
        self._connection: Connection | None = None

    async def send(self, lines: list[Line]) -> None:
        framed = self._scheme == "tcp+tls" and self._options.get("syslog-format", "").startswith("rfc5424")
        messages = [self._message(line, framed) for line in lines]
        try:
            async with asyncio.timeout(_SECONDS):
                await self._connect()
                await self._give(messages)
        except TimeoutError:
            self.close()
            raise OSError(f"no answer within {_SECONDS:g} s") from None
        except OSError:
            self.close()
            raise

    def _message(self, line: Line, framed: bool) -> bytes:
        kind, facility = self._options.get("syslog-format", ""), self._options.get("syslog-facility", "")
        text = format_message(kind, facility, self._tag, self._name, line) + b"\n"
        return b"%d %b" % (len(text), text) if framed else text

    async def _give(self, messages: list[bytes]) -> None:
        if self._connection is not None:
            reader, writer = self._connection
            if reader.at_eof():
                raise ConnectionResetError("the syslog server has ended the connection")
            writer.write(b"".join(messages))
            await writer.drain()
            return
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        for message in messages:
            await loop.sock_sendall(self._socket, message)

    async def _connect(self) -> None:
        if self._connection is not None or self._socket is not None:
            return
        if self._scheme in ("tcp", "tcp+tls"):
            context = self._tls() if self._scheme == "tcp+tls" else None
            self._connection = await asyncio.open_connection(self._host, self._port, ssl=context)
            self._connection[1].transport.set_write_buffer_limits(0)  # drained: the kernel has it, if we die now
        elif self._scheme == "udp":
            found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            self._socket = await _connected(found[0][0], socket.SOCK_DGRAM, found[0][4])
        else:
            await self._connect_local()

    async def _connect_local(self) -> None:
        """The daemon's socket: of datagrams nearly everywhere, else a stream."""
        kinds = (socket.SOCK_DGRAM,) if self._scheme == "unixgram" else (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        error: OSError = FileNotFoundError("Unix syslog delivery error")
        for path in (self._path,) if self._path else LOCAL:
            for kind in kinds:
                try:
                    self._socket = await _connected(socket.AF_UNIX, kind, path)
                    return
                except OSError as problem:
                    error = problem
        raise error

    def _tls(self) -> ssl.SSLContext:
        options = self._options
        context = ssl.create_default_context(cafile=options.get("syslog-tls-ca-cert") or None)
        if options.get("syslog-tls-cert"):
            context.load_cert_chain(options["syslog-tls-cert"], options["syslog-tls-key"])
        if "syslog-tls-skip-verify" in options:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._connection is not None:
            self._connection[1].close()
        self._socket = self._connection = None


async def _connected(family: int, kind: int, address: object) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        connect: Callable[..., object] = asyncio.get_running_loop().sock_connect
        await connect(made, address)  # type: ignore[misc]
    except BaseException:
        with contextlib.suppress(OSError):
            made.close()
        raise
    return made
