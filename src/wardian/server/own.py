"""Handlers of Wardian's own operations: the plan that would run, the one that ran, the end of the engine."""

from __future__ import annotations

from wardian.server.messages import NO_CONTENT, Answer, Request, json_answer


async def plan(request: Request) -> Answer:
    return json_answer(await request.engine.containers.plan(await request.json_object()))


async def explain(request: Request) -> Answer:
    return json_answer(request.engine.containers.explain(request.parameters["id"]))


async def shutdown(request: Request) -> Answer:
    """The engine ends once this answer is out; containers run on."""
    request.shut_down()
    return NO_CONTENT
