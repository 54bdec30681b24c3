"""Handlers of what is asked of registries: login, distribution, search."""

from __future__ import annotations

from wardian.server.images import decode_auth
from wardian.server.messages import Answer, Request, json_answer


async def login(request: Request) -> Answer:
    return json_answer(await request.engine.registries.login(await request.json_object()))


async def distribution(request: Request) -> Answer:
    auth = decode_auth(request.headers.get("x-registry-auth", ""))
    return json_answer(await request.engine.registries.describe(request.parameters["name"], auth))


async def search(request: Request) -> Answer:
    query = request.query
    auth = decode_auth(request.headers.get("x-registry-auth", ""))
    found = await request.engine.registries.search(query.text("term"), query.number("limit"), query.filters(), auth)
    return json_answer(found)
