"""Which events a subscriber asked for: Docker's filters (daemon/events/filter.go of moby tells the rules)."""

from collections.abc import Mapping
from typing import Any

from wardian.engine.filters import Filters, matches_label

# "exec_create: sh" answers to exec_create, "health_status: healthy" to health_status
_BY_PREFIX = ("exec_create", "exec_start", "health_status")
_OBJECTS = ("container", "network", "volume", "daemon", "plugin", "node", "service", "secret", "config")


def matches_event(event: Mapping[str, Any], filters: Filters) -> bool:
    """Values of one key are alternatives (labels must all hold), keys must all hold. A key that Docker does not know
    is passed over, as Docker passes over it."""
    return all(_holds(event, key, wanted) for key, wanted in filters.items() if wanted)


def _holds(event: Mapping[str, Any], key: str, wanted: list[str]) -> bool:
    actor = event["Actor"]
    attributes = actor["Attributes"]
    if key == "type":
        return event["Type"] in wanted
    if key == "event":
        return event["Action"] in wanted or event["Action"].partition(":")[0] in set(wanted).intersection(_BY_PREFIX)
    if key == "label":
        return all(matches_label(attributes, text) for text in wanted)
    if key == "scope":
        return event["scope"] in wanted
    if key == "image":
        name = attributes.get("name" if event["Type"] == "image" else "image", "")
        return any(text in wanted for one in (actor["ID"], name) if one for text in (one, _without_tag(one)))
    if key in _OBJECTS:
        names = (actor["ID"], attributes.get("name", ""))
        return event["Type"] == key and any(name.startswith(text) for text in wanted for name in names)
    return True


def _without_tag(reference: str) -> str:
    name, colon, tag = reference.rpartition(":")
    return name if colon and "/" not in tag else reference
