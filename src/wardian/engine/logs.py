"""A container's log, as its supervisor wrote it (Docker's json-file format), read from where the client asked."""

from collections.abc import AsyncIterator
from typing import NamedTuple


class LogOptions(NamedTuple):
    """The query of GET /containers/ID/logs. Times are unix nanoseconds, 0 for none; `tail` is -1 for all."""

    follow: bool = False
    stdout: bool = False
    stderr: bool = False
    since: int = 0
    until: int = 0
    tail: int = -1
    timestamps: bool = False


class LogStream(NamedTuple):
    """`chunks` are ready to send: framed as Docker frames streams unless the container has a terminal (`tty`)."""

    tty: bool
    chunks: AsyncIterator[bytes]
