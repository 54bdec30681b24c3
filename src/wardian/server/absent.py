"""Operations on what a Wardian does not have, answered as a Docker without it answers: no swarm, no plugin.

These are true answers, not stand-ins: making one of these things is what says that it is not built yet.
"""

from __future__ import annotations

from wardian.errors import NOT_FOUND, UNAVAILABLE, WardianError
from wardian.server.messages import Answer, Request, json_answer

_NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)


async def swarm(request: Request) -> Answer:
    raise WardianError(UNAVAILABLE, _NO_MANAGER, operation="swarm")


async def swarm_member(request: Request) -> Answer:
    raise WardianError(UNAVAILABLE, "This node is not part of a swarm", operation="swarm")


async def plugins(request: Request) -> Answer:
    return json_answer([])


async def checkpoints(request: Request) -> Answer:
    """There is none of a container, and there must be the container."""
    request.engine.containers.inspect(request.parameters["id"])
    return json_answer([])


async def plugin(request: Request) -> Answer:
    name = request.parameters["name"]
    raise WardianError(NOT_FOUND, f'plugin "{name}" not found', operation="plugin", subject=name)
