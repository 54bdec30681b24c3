"""Handlers of /volumes."""

from __future__ import annotations

from wardian.errors import UNAVAILABLE, WardianError
from wardian.server import versions
from wardian.server.messages import NO_CONTENT, Answer, Request, json_answer


async def index(request: Request) -> Answer:
    return json_answer(request.engine.volumes.list(request.query.filters()))


async def inspect(request: Request) -> Answer:
    return json_answer(request.engine.volumes.inspect(request.parameters["name"]))


async def create(request: Request) -> Answer:
    return json_answer(await request.engine.volumes.create(await request.json_object()), 201)


async def update(request: Request) -> Answer:
    message = "volume update only valid for cluster volumes, but swarm is unavailable"
    raise WardianError(UNAVAILABLE, message, operation="update volume", subject=request.parameters["name"])


async def remove(request: Request) -> Answer:
    await request.engine.volumes.remove(request.parameters["name"], request.query.flag("force"))
    return NO_CONTENT


async def prune(request: Request) -> Answer:
    filters = versions.prune_filters_of_volumes(request.version, request.query.filters())
    return json_answer(await request.engine.volumes.prune(filters))
