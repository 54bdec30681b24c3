"""Handlers of /networks."""

from __future__ import annotations

from wardian.server.messages import Answer, Request, json_answer


async def index(request: Request) -> Answer:
    return json_answer(request.engine.networks.list(request.query.filters()))


async def inspect(request: Request) -> Answer:
    return json_answer(request.engine.networks.inspect(request.parameters["id"]))
