"""Handlers of the system: ping, version, info, disk usage, events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from wardian.server.messages import Answer, Request, Streamed, json_answer

_ALWAYS_SENT = frozenset({"api-version", "docker-experimental", "ostype", "server"})


async def ping(request: Request) -> Answer:
    """Every client's first call. Its headers say what the engine is; those that each answer has are not said twice."""
    said = request.engine.system.ping()
    headers = [(name, value) for name, value in said.items() if name.lower() not in _ALWAYS_SENT]
    headers += [("Cache-Control", "no-cache, no-store, must-revalidate"), ("Pragma", "no-cache")]
    content = b"" if request.route.method == "HEAD" else b"OK"
    return Answer(200, content, "text/plain; charset=utf-8", tuple(headers))


async def version(request: Request) -> Answer:
    return json_answer(request.engine.system.version())


async def info(request: Request) -> Answer:
    return json_answer(request.engine.system.info())


async def disk_usage(request: Request) -> Answer:
    return json_answer(await asyncio.to_thread(request.engine.system.disk_usage))


async def events(request: Request) -> Streamed:
    query = request.query
    since, until = query.nanoseconds("since"), query.nanoseconds("until")
    if query.text("since") and not since:
        since = 1  # the epoch: all that is known; without `since`, only what comes
    return Streamed(_lines(request.engine.events.subscribe(since, until, query.filters())))


async def _lines(messages: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for message in messages:
        yield msgspec.json.encode(message) + b"\n"
