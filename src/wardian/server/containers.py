"""Handlers of /containers: decode, call the engine, encode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any

import msgspec

from wardian.engine import AttachOptions, LogOptions
from wardian.errors import INVALID, WardianError
from wardian.server import versions
from wardian.server.messages import (
    NO_CONTENT,
    NOTE_HEADER,
    Answer,
    Handover,
    Request,
    Streamed,
    Upgraded,
    json_answer,
    json_line,
)


async def index(request: Request) -> Answer:
    query = request.query
    filters = query.filters()
    for name in ("since", "before"):  # their own parameters, before they were filters
        if query.text(name):
            filters.setdefault(name, []).append(query.text(name))
    limit = query.number("limit", 0) or 0
    every, size = query.flag("all"), query.flag("size")
    if not size:
        return json_answer(request.engine.containers.list_as_json(every, limit, filters))
    listed = partial(request.engine.containers.list, every, limit, size, filters)
    return json_answer(await asyncio.to_thread(listed))  # sizes are walks over trees


async def create(request: Request) -> Answer:
    body = await request.json()
    if body is None:
        raise WardianError(INVALID, "config cannot be empty in order to create a container", operation="create")
    name = request.query.text("name") or None
    platform = request.query.text("platform") or None
    return json_answer(await request.engine.containers.create(body, name, platform), 201)


async def inspect(request: Request) -> Answer:
    size = request.query.flag("size")
    inspected = partial(request.engine.containers.inspect, _ref(request), size)
    return json_answer(await asyncio.to_thread(inspected) if size else inspected())


async def start(request: Request) -> Answer:
    if request.query.text("checkpoint"):
        message = "checkpoint is only supported in experimental mode"
        raise WardianError(INVALID, message, operation="start", subject=_ref(request))
    await request.engine.containers.start(_ref(request), request.query.text("detachKeys") or None)
    return NO_CONTENT


async def stop(request: Request) -> Answer:
    signal, seconds = request.query.text("signal") or None, request.query.number("t")
    return _noted(await request.engine.containers.stop(_ref(request), signal, seconds))


async def restart(request: Request) -> Answer:
    signal, seconds = request.query.text("signal") or None, request.query.number("t")
    return _noted(await request.engine.containers.restart(_ref(request), signal, seconds))


async def kill(request: Request) -> Answer:
    signal = request.query.text("signal") or "KILL"
    return _noted(await request.engine.containers.kill(_ref(request), signal))


async def pause(request: Request) -> Answer:
    await request.engine.containers.pause(_ref(request))
    return NO_CONTENT


async def unpause(request: Request) -> Answer:
    await request.engine.containers.unpause(_ref(request))
    return NO_CONTENT


async def rename(request: Request) -> Answer:
    name = request.query.text("name")
    if not name:
        raise WardianError(INVALID, "Neither old nor new names may be empty", operation="rename")
    await request.engine.containers.rename(_ref(request), name)
    return NO_CONTENT


async def update(request: Request) -> Answer:
    return json_answer(await request.engine.containers.update(_ref(request), await request.json_object()))


async def stats(request: Request) -> Answer | Streamed:
    """Two samples a second apart; one, and one every second, when asked for."""
    streamed, one_shot = request.query.flag("stream", True), request.query.flag("one-shot")
    if streamed and one_shot:
        raise WardianError(INVALID, "cannot have stream=true and one-shot=true", operation="stats")
    if not streamed:
        return json_answer(await request.engine.stats.once(_ref(request), one_shot))
    return Streamed(_samples(request.engine.stats.stream(_ref(request))), eager=False)


async def _samples(bodies: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for body in bodies:
        yield msgspec.json.encode(body) + b"\n"


async def top(request: Request) -> Answer:
    return json_answer(await request.engine.containers.top(_ref(request), request.query.text("ps_args") or "-ef"))


async def prune(request: Request) -> Answer:
    return json_answer(await request.engine.containers.prune(request.query.filters()))


async def remove(request: Request) -> Answer:
    query = request.query
    await request.engine.containers.remove(_ref(request), query.flag("force"), query.flag("v"), query.flag("link"))
    return NO_CONTENT


async def resize(request: Request) -> Answer:
    height, width = request.query.size_of_terminal()
    await request.engine.containers.resize(_ref(request), height, width)
    return Answer(200)


async def wait(request: Request) -> Streamed:
    """Its head goes out at once: docker's CLI sends `start` only when it has seen it."""
    condition = versions.wait_condition(request.version, request.query.text("condition"))
    return Streamed(_exit_status(request.engine.containers.wait(_ref(request), condition)))


async def _exit_status(ended: Awaitable[dict[str, Any]]) -> AsyncIterator[bytes]:
    try:
        yield json_line(await ended)
    except WardianError as error:
        yield json_line({"StatusCode": -1, "Error": {"Message": str(error)}})


async def attach(request: Request) -> Handover:
    query = request.query
    options = AttachOptions(
        stream=query.flag("stream"),
        stdin=query.flag("stdin"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        logs=query.flag("logs"),
        detach_keys=query.text("detachKeys"),
    )
    session = request.engine.containers.attach(_ref(request), options)
    return Handover(session.hand_over, versions.stream_content_type(request.version, session.tty), session.speaks)


async def attach_websocket(request: Request) -> Answer | Upgraded:
    """The same by a websocket, whose messages hold both outputs as they come."""
    from wardian.server import websocket, websocket_relay

    refused = websocket.refused_version(request.headers)
    if refused is not None:
        return refused
    websocket.check_origin(request.headers)
    head = websocket.accepted(request.headers)
    query, every = request.query, versions.websocket_attaches_all(request.version)
    options = AttachOptions(
        stream=query.flag("stream"),
        stdin=every or query.flag("stdin"),
        stdout=every or query.flag("stdout"),
        stderr=every or query.flag("stderr"),
        logs=query.flag("logs"),
        detach_keys=query.text("detachKeys"),
        framed=False,
    )
    session = request.engine.containers.attach(_ref(request), options)
    frames = websocket.Frames(versions.websocket_says_text(request.version))
    return Upgraded(head, partial(websocket_relay.relay, frames=frames, attach=session.hand_over))


async def logs(request: Request) -> Streamed:
    query = request.query
    options = LogOptions(
        follow=query.flag("follow"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        since=query.nanoseconds("since"),
        until=query.nanoseconds("until"),
        tail=_tail(query.text("tail")),
        timestamps=query.flag("timestamps"),
        details=query.flag("details"),
    )
    if not (options.stdout or options.stderr):
        message = "Bad parameters: you must choose at least one stream"
        raise WardianError(INVALID, message, operation="logs", subject=_ref(request))
    stream = request.engine.containers.logs(_ref(request), options)
    return Streamed(stream.chunks, versions.stream_content_type(request.version, stream.tty))


def _tail(text: str) -> int:
    """Docker takes what is no number, as "all", for all."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _noted(note: str) -> Answer:
    """Docker's empty answer; what our own command tells a person travels in its head."""
    return NO_CONTENT._replace(headers=((NOTE_HEADER, note),)) if note else NO_CONTENT


def _ref(request: Request) -> str:
    return request.parameters["id"]
