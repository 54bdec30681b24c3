"""Volumes as the API's calls want them."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from wardian.engine.filters import Filters, check_filters, matches_label
from wardian.engine.inspect import rfc3339
from wardian.engine.parts import Parts
from wardian.engine.volumes import use as volume_use
from wardian.errors import INVALID, NOT_FOUND, UNAVAILABLE, WardianError
from wardian.patterns import Finds, finder
from wardian.storage import ANONYMOUS, Volume, check_driver

Bodies = list[dict[str, Any]]
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)


class Volumes:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list(self, filters: Filters | None = None) -> dict[str, Any]:
        wanted = filters or {}
        check_filters(wanted, ("name", "label", "dangling", "driver"))
        dangling = _dangling(wanted)
        names = [_finder(text) for text in wanted.get("name", ())]
        found = [
            self._render(volume)
            for volume in self._parts.volumes.list()
            if _selected(volume, wanted)
            and (not names or any(finds(volume.name) for finds in names))
            and dangling in (None, not self._used(volume))
        ]
        return {"Volumes": found, "Warnings": None}

    def inspect(self, name: str) -> dict[str, Any]:
        volume = self._parts.volumes.get(name)
        if volume is None:
            raise WardianError(NOT_FOUND, f"get {name}: no such volume", operation="inspect volume", subject=name)
        return self._render(volume)

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """One that is there already is the answer, whatever else the body says, but for a driver that there is not."""
        if body.get("ClusterVolumeSpec") is not None:
            raise WardianError(UNAVAILABLE, _NO_MANAGER, operation="create volume")
        name, driver = _text(body, "Name"), _text(body, "Driver")
        labels, options = _texts(body, "Labels"), _texts(body, "DriverOpts")
        if not name:
            name, labels = secrets.token_hex(32), {**labels, ANONYMOUS: ""}
        check_driver(name, driver)
        volume = self._parts.volumes.get(name)
        if volume is None:
            volume = volume_use.create_volume(self._parts, name, labels, options)
        return self._render(volume)

    async def remove(self, name: str, force: bool = False) -> None:
        """`force`: one that is not there is no error; one that is in use stays, as with Docker."""
        try:
            volume_use.remove_volume(self._parts, name)
        except WardianError as error:
            if not force or error.kind != NOT_FOUND:
                raise

    async def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """Those that no container has; without `all`, only what nobody named."""
        wanted = filters or {}
        check_filters(wanted, ("label", "label!", "all"))
        every = _every(wanted)
        gone, freed = [], 0
        for volume in self._parts.volumes.list():
            if not (every or volume.anonymous) or self._used(volume) or not _selected(volume, wanted):
                continue
            size = await asyncio.to_thread(self._parts.volumes.size, volume.name)
            if self._used(volume) or self._parts.volumes.get(volume.name) is None:
                continue  # meanwhile
            volume_use.remove_volume(self._parts, volume.name)
            gone.append(volume.name)
            freed += size
        self._parts.events.publish("volume", "prune", "", {"reclaimed": str(freed)})
        return {"VolumesDeleted": gone, "SpaceReclaimed": freed}

    def usage(self) -> Bodies:
        """With sizes and users, for `system df`."""
        parts = self._parts
        found = []
        for volume in parts.volumes.list():
            data = {
                "Size": parts.volumes.size(volume.name),
                "RefCount": len(volume_use.users(parts.registry, volume.name)),
            }
            found.append(self._render(volume) | {"UsageData": data})
        return found

    def _used(self, volume: Volume) -> bool:
        pinned = self._parts.volume_pins.names[volume.name] > 0
        return pinned or bool(volume_use.users(self._parts.registry, volume.name))

    def _render(self, volume: Volume) -> dict[str, Any]:
        return {
            "CreatedAt": rfc3339(volume.created // 1_000_000_000 * 1_000_000_000),
            "Driver": volume.driver,
            "Labels": volume.labels,
            "Mountpoint": self._parts.volumes.path(volume.name),
            "Name": volume.name,
            "Options": volume.options,
            "Scope": "local",
        }


def _selected(volume: Volume, wanted: Filters) -> bool:
    labels = volume.labels or {}
    for key, values in wanted.items():
        if key == "label":
            found = all(matches_label(labels, text) for text in values)
        elif key == "label!":
            found = not any(matches_label(labels, text) for text in values)
        elif key == "driver":
            found = volume.driver in values
        else:
            found = True
        if values and not found:
            return False
    return True


def _finder(pattern: str) -> Finds:
    try:
        return finder(pattern)
    except ValueError:
        return lambda name: pattern in name


def _dangling(wanted: Filters) -> bool | None:
    values = wanted.get("dangling", [])
    if not values:
        return None
    if len(set(values)) == 1 and values[0] in (*_TRUE, *_FALSE):
        return values[0] in _TRUE
    message = f"invalid filter 'dangling=[{' '.join(values)}]'"
    raise WardianError(INVALID, message, operation="list volumes", subject="dangling")


def _every(wanted: Filters) -> bool:
    values = wanted.get("all", [])
    if not values:
        return False
    for value in values:
        if value not in (*_TRUE, *_FALSE):
            message = f"invalid filter 'all': strconv.ParseBool: parsing \"{value}\": invalid syntax"
            raise WardianError(INVALID, message, operation="prune volumes", subject="all")
    return values[0] in _TRUE


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field) or ""
    if not isinstance(value, str):
        raise _not_json(field, "string")
    return value


def _texts(body: Mapping[str, Any], field: str) -> dict[str, str]:
    value = body.get(field) or {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise _not_json(field, "map[string]string")
    return value


def _not_json(field: str, kind: str) -> WardianError:
    message = f"invalid JSON: field CreateOptions.{field} must be of type {kind}"
    return WardianError(INVALID, message, operation="create volume", subject=field)
