"""Handlers of the system: ping, version, info, disk usage, events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from wardian.errors import INVALID, WardianError
from wardian.server.messages import Answer, Request, Streamed, json_answer

_ALWAYS_SENT = frozenset({"api-version", "docker-experimental", "ostype", "server"})


async def ping(request: Request) -> Answer:
    """Every client's first call. Its headers say what the engine is; those that each answer has are not said twice."""
    said = request.engine.system.ping()
    headers = [(name, value) for name, value in said.items() if name.lower() not in _ALWAYS_SENT]
    headers += [("Cache-Control", "no-cache, no-store, must-revalidate"), ("Pragma", "no-cache")]
    content = b"" if request.route.method == "HEAD" else b"OK"
    return Answer(200, content, "text/plain; charset=utf-8", tuple(headers))


async def options(request: Request) -> Answer:
    return Answer(200)


async def version(request: Request) -> Answer:
    return json_answer(request.engine.system.version())


async def info(request: Request) -> Answer:
    return json_answer(request.engine.system.info())


async def disk_usage(request: Request) -> Answer:
    return json_answer(await asyncio.to_thread(request.engine.system.disk_usage, request.query.texts("type")))


async def prune_builds(request: Request) -> Answer:
    return json_answer(request.engine.system.prune_builds())


async def events(request: Request) -> Streamed:
    query = request.query
    after = _event_id(query.text("since"))
    since, until = 0 if after is not None else query.nanoseconds("since"), query.nanoseconds("until")
    if query.text("since") and not since:
        since = 1  # the epoch: all that is known; without `since`, only what comes
    return Streamed(_lines(request.engine.events.subscribe(since, until, query.filters(), after)))


def _event_id(text: str) -> int | None:
    """Our own form of `since`, "id:17": what came after the event with that id."""
    if not text.startswith("id:"):
        return None
    number = text.removeprefix("id:")
    if not number.isascii() or not number.isdecimal():
        raise WardianError(INVALID, f"invalid value for since: {text!r} is no id of an event", operation="events")
    return int(number)


async def _lines(messages: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for message in messages:
        yield msgspec.json.encode(message) + b"\n"
