"""Handlers of exec."""

from __future__ import annotations

from wardian.server import versions
from wardian.server.messages import Answer, Handover, Request, json_answer


async def create(request: Request) -> Answer:
    body = await request.json_object()
    return json_answer(await request.engine.execs.create(request.parameters["id"], body), 201)


async def start(request: Request) -> Answer | Handover:
    body = await request.json_object()
    session = request.engine.execs.start(request.parameters["id"], body)
    if body.get("Detach"):
        await session.run_detached()
        return Answer(200)
    return Handover(session.hand_over, versions.stream_content_type(request.version, session.tty))


async def inspect(request: Request) -> Answer:
    return json_answer(request.engine.execs.inspect(request.parameters["id"]))


async def resize(request: Request) -> Answer:
    height, width = request.query.size_of_terminal()
    await request.engine.execs.resize(request.parameters["id"], height, width)
    return Answer(200)
