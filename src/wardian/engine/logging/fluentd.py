"""fluentd's forward protocol, version 1 (github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1):

    [tag, [[time, {"container_id": …, "container_name": …, "source": "stdout", "log": "text", …}], …], {"size": N}]

With fluentd-request-ack the options name a chunk, and the server says {"ack": chunk} when it has it.
"""

import asyncio
import base64
import os
import ssl
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from wardian.engine.logging.drivers import read_duration, read_flag
from wardian.engine.logging.followers import FIRST_PAUSE, Line

_SECONDS = 10.0
_EVENT_TIME = struct.Struct(">II")

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def message(tag: str, record: Mapping[str, str], lines: list[Line], precise: bool, chunk: str) -> bytes:
    events = [(_time(line.time, precise), _record(record, line)) for line in lines]
    options: dict[str, Any] = {"size": len(events)}
    if chunk:
        options["chunk"] = chunk
    return msgspec.msgpack.encode((tag, events, options))


def _time(when: int, precise: bool) -> object:
    seconds, rest = divmod(when, 1_000_000_000)
    return msgspec.msgpack.Ext(0, _EVENT_TIME.pack(seconds, rest)) if precise else seconds


def _record(fields: Mapping[str, str], line: Line) -> dict[str, str]:
    record = {**fields, "source": line.stream, "log": line.text.decode("utf-8", "replace")}
    if line.part:
        record |= {
            "partial_message": "true",
            "partial_id": f"{fields['container_id'][:12]}-{line.time}",
            "partial_ordinal": str(line.part),
            "partial_last": "true" if line.last else "false",
        }
    return record


class Fluentd:
    def __init__(self, options: Mapping[str, str], tag: str, record: Mapping[str, str]) -> None:
        address = options.get("fluentd-address") or "tcp://127.0.0.1:24224"
        self._address = urlsplit(address if "://" in address else f"tcp://{address}")
        self._tag = tag
        self._record = record
        self._precise = read_flag(options.get("fluentd-sub-second-precision", "false"))
        self._acknowledged = read_flag(options.get("fluentd-request-ack", "false"))
        self._patience = read_duration(options.get("fluentd-write-timeout", "0")) or _SECONDS
        self._renewal = read_duration(options.get("fluentd-async-reconnect-interval") or "0")
        self.pause = read_duration(options.get("fluentd-retry-wait") or "0") or FIRST_PAUSE
        self._connection: Connection | None = None
        self._since = 0.0

    async def send(self, lines: list[Line]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                reader, writer = await self._connected()
                chunk = base64.b64encode(os.urandom(16)).decode() if self._acknowledged else ""
                writer.write(message(self._tag, self._record, lines, self._precise, chunk))
                await writer.drain()
                if chunk:
                    await _acknowledgement(reader, chunk)
        except TimeoutError:
            self.close()
            raise OSError(f"no answer within {self._patience:g} s") from None
        except OSError:
            self.close()
            raise

    async def _connected(self) -> Connection:
        now = asyncio.get_running_loop().time()
        if self._connection is not None:
            if self._connection[0].at_eof() or (self._renewal and now - self._since > self._renewal):
                self.close()
            else:
                return self._connection
        address = self._address
        if address.scheme == "unix":
            self._connection = await asyncio.open_unix_connection(f"{address.netloc}{address.path}")
        else:
            context = ssl.create_default_context() if address.scheme == "tls" else None
            host, port = address.hostname or "127.0.0.1", address.port or 24224
            self._connection = await asyncio.open_connection(host, port, ssl=context)
        self._connection[1].transport.set_write_buffer_limits(0)  # drained: the kernel has it, if we die now
        self._since = now
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def _acknowledgement(reader: asyncio.StreamReader, chunk: str) -> None:
    data = b""
    while True:
        more = await reader.read(4096)
        if not more:
            raise ConnectionResetError("the connection ended before the lines were acknowledged")
        data += more
        try:
            answer = msgspec.msgpack.decode(data)
        except msgspec.DecodeError:
            continue
        if not isinstance(answer, dict) or answer.get("ack") != chunk:
            raise ConnectionAbortedError("the server acknowledged something else")
        return
