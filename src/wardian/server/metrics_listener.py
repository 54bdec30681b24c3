"""--metrics-addr: `GET /metrics` on a TCP port of this host's own, without TLS, and nothing else.

Loopback alone: the numbers say what runs here, and who may read them on another machine is not for this engine to
decide without certificates. A proxy that decides it can sit in front. And asked for by such an address or localhost
(the request's Host): a page in a browser of this host can have its own name lead to 127.0.0.1 (DNS rebinding), and then
the browser lets it read what is answered.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from typing import TYPE_CHECKING

from wardian.errors import INVALID, SYSTEM, WardianError

if TYPE_CHECKING:
    from wardian.server.application import Application

Address = tuple[str, int]
_SECONDS = 10.0
_MOST = 16 << 10
_HOST_PORT = re.compile(r":[0-9]*$")


def read_address(text: str) -> Address | None:
    """`127.0.0.1:9323`; None for "". Raises WardianError for another machine's view."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise _refused(f"invalid address {text!r}: it is ADDRESS:PORT, 127.0.0.1:9323 for example", text)
    if not _is_loopback(host):
        raise _refused(f"metrics are served on a loopback address only, not on {host}", text)
    return host, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":  # RFC 6761 section 6.3: nobody else's name
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_asked_here(head: bytes) -> bool:
    """Whether the Host of a request is of this host's own (RFC 9110 section 7.2). Every browser sends one, so who sends
    none (HTTP/1.0) is none."""
    hosts = []
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"host":
            hosts.append(value.decode("latin-1").strip().lower())
    if len(hosts) > 1:
        return False
    return not hosts or _is_loopback(_HOST_PORT.sub("", hosts[0]).removeprefix("[").removesuffix("]").removesuffix("."))


def _refused(message: str, subject: str) -> WardianError:
    return WardianError(INVALID, message, operation="serve", subject=subject)


async def open_metrics(application: Application, address: Address) -> asyncio.Server:
    """Raises WardianError when the port cannot be had."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(_answer(application, reader, writer), _SECONDS)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever it was asked for nothing
        finally:
            writer.close()

    try:
        return await asyncio.start_server(answer, *address, limit=_MOST)
    except OSError as error:
        where = f"{address[0]}:{address[1]}"
        message = f"cannot listen on {where} for metrics: {error.strerror or error}"
        raise WardianError(SYSTEM, message, operation="listen", subject=where, errno=error.errno or 0) from error


async def _answer(application: Application, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, its answer, the end of the connection (RFC 9112)."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if not is_asked_here(head):
        status, kind = "421 Misdirected Request", "text/plain; charset=utf-8"
        content = b"metrics are told to who asks for localhost or a loopback address\n"
    elif method not in (b"GET", b"HEAD") or path != b"/metrics":
        status, kind, content = "404 Not Found", "text/plain; charset=utf-8", b"only GET /metrics is here\n"
    else:
        from wardian.server.metrics import CONTENT_TYPE, text_of  # few engines are asked so

        status, kind = "200 OK", CONTENT_TYPE
        content = text_of(application.engine.system.metrics(), application.times)
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}", "Connection: close")
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == b"HEAD" else content))
    await writer.drain()
