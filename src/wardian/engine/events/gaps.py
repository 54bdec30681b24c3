"""Events that an engine which was killed did not come to tell: between a container's step and its event is a moment.

What the journal tells last of each container is compared with what is; what is missing is told by the next engine,
late, but told. Pure but for `tell_missing`.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from wardian.engine.events.hub import Events
from wardian.engine.life.state import RunState
from wardian.engine.registry import Container, Registry

_LIFE = ("start", "die")


class Told(NamedTuple):
    """What the journal says of a container. `life` is the last of start and die."""

    created: bool = False
    life: str = ""
    destroyed: bool = False
    attributes: Mapping[str, str] = MappingProxyType({})


class Missing(NamedTuple):
    action: str
    identity: str
    attributes: Mapping[str, str]


def told_of(events: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Told], int]:
    """By container, and since when (unix ns) all is told."""
    found: dict[str, Told] = {}
    since = 0
    for event in events:
        since = since or event["timeNano"]
        if event["Type"] != "container":
            continue
        identity, action = event["Actor"]["ID"], event["Action"]
        told = found.get(identity, Told())._replace(attributes=event["Actor"]["Attributes"])
        if action in _LIFE:
            told = told._replace(life=action)
        elif action == "create":
            told = told._replace(created=True)
        elif action == "destroy":
            told = told._replace(destroyed=True)
        found[identity] = told
    return found, since


def missing_of(container: Container, told: Told, since: int) -> list[Missing]:
    """Of one that is there. What was before the journal begins is not missed."""
    state, attributes = container.state, container.event_attributes()
    found = []
    if not told.created and container.record.created >= since:
        found.append(Missing("create", container.id, attributes))
    if state.live and told.life != "start" and state.started_at >= since:
        found.append(Missing("start", container.id, attributes))
    if not state.live and state.finished_at and told.life == "start":
        found.append(Missing("die", container.id, attributes | end_attributes(state)))
    return found


def end_attributes(state: RunState) -> dict[str, str]:
    """What `die` says more."""
    seconds = max(0, state.finished_at - state.started_at) // 1_000_000_000
    return {"exitCode": str(state.exit_code), "execDuration": str(seconds)}


def tell_missing(events: Events, registry: Registry) -> None:
    """Of an engine that found its predecessor cut off."""
    found, since = told_of(events.told())
    missing = [one for container in registry for one in missing_of(container, found.get(container.id, Told()), since)]
    missing += [
        Missing("destroy", identity, told.attributes)
        for identity, told in found.items()
        if not told.destroyed and registry.get(identity) is None
    ]
    for one in missing:
        events.publish("container", one.action, one.identity, one.attributes)
