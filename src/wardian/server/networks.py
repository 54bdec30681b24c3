"""Handlers of /networks."""

from __future__ import annotations

from typing import Any

from wardian.errors import INVALID, WardianError
from wardian.server import versions
from wardian.server.messages import NO_CONTENT, Answer, Request, json_answer


async def index(request: Request) -> Answer:
    detailed = versions.lists_containers_of_networks(request.version)
    return json_answer(request.engine.networks.list(request.query.filters(), detailed))


async def inspect(request: Request) -> Answer:
    """`verbose` adds what only networks of a swarm have."""
    _check_verbose(request.query.text("verbose"))
    return json_answer(request.engine.networks.inspect(request.parameters["id"], request.query.text("scope")))


async def create(request: Request) -> Answer:
    return json_answer(await request.engine.networks.create(await request.json_object()), 201)


async def remove(request: Request) -> Answer:
    await request.engine.networks.remove(request.parameters["id"])
    return NO_CONTENT


async def prune(request: Request) -> Answer:
    return json_answer(await request.engine.networks.prune(request.query.filters()))


async def connect(request: Request) -> Answer:
    body = await request.json_object()
    endpoint = body.get("EndpointConfig")
    if endpoint is not None and not isinstance(endpoint, dict):
        raise WardianError(INVALID, "invalid JSON: EndpointConfig must be an object", operation="connect")
    await request.engine.networks.connect(request.parameters["id"], _container(body), endpoint)
    return Answer(200)


async def disconnect(request: Request) -> Answer:
    body = await request.json_object()
    force = body.get("Force") is True
    await request.engine.networks.disconnect(request.parameters["id"], _container(body), force)
    return Answer(200)


def _container(body: dict[str, Any]) -> str:
    name = body.get("Container") or ""
    if not isinstance(name, str):
        raise WardianError(INVALID, "invalid JSON: Container must be a string", operation="connect")
    return name


def _check_verbose(text: str) -> None:
    """strconv.ParseBool, with its words."""
    known = ("", "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")
    if text not in known:
        message = f'invalid value for verbose: {text}: strconv.ParseBool: parsing "{text}": invalid syntax'
        raise WardianError(INVALID, message, operation="inspect network", subject="verbose")
