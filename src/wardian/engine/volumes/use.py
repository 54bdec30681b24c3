"""Volumes and containers: a create makes them and fills them, a start looks that they are there, a removal takes them.

Who uses a volume is seen from the containers that there are, running or not, and they are read from disk: nothing is
counted. A create that is under way has no container yet, so it pins the names meanwhile.
"""

import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from wardian.engine.deadline import At, look
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST, POINTS
from wardian.engine.parts import Parts
from wardian.engine.registry import Container, Registry
from wardian.engine.spec import Spec
from wardian.engine.userns.choice import ids_of
from wardian.engine.volumes import points
from wardian.engine.volumes.fill import Fill, fill_all
from wardian.engine.volumes.image_mounts import image_points
from wardian.engine.volumes.points import Point
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, NOT_IMPLEMENTED, SYSTEM, WardianError
from wardian.kernel.mounts import Mount
from wardian.kernel.paths import open_in_root
from wardian.storage import IdMap, Volume, check_driver

_EMPTY_NAME = "0" * 64


class Pins:
    """Names of volumes that a create under way needs."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()

    def add(self, name: str) -> None:
        self.names[name] += 1

    def drop(self, names: Iterable[str]) -> None:
        self.names.subtract(names)
        self.names += Counter()


def users(registry: Registry, name: str) -> list[Container]:
    return [
        container for container in registry if any(one["Name"] == name for one in points.volumes_of(container.config))
    ]


def refuse_in_use(parts: Parts, name: str, but: Container | None = None) -> None:
    """Raises CONFLICT in Docker's words. `but` is on its way out."""
    found = [container.id for container in users(parts.registry, name) if container is not but]
    if found or parts.volume_pins.names[name]:
        message = f"remove {name}: volume is in use - [{', '.join(found)}]"
        raise WardianError(CONFLICT, message, operation="remove volume", subject=name)


# --- create ---


def points_of_body(parts: Parts, config: ContainerConfig) -> list[Point]:
    """The mount points of a create. Names of anonymous volumes are still open; nothing is made."""
    inherited: list[Point] = []
    for item in config[HOST + "VolumesFrom"]:
        ref, _, mode = item.partition(":")
        inherited += points.inherited(parts.registry.find(ref).config, mode)
    return points.resolve_points(config, [*inherited, *image_points(parts, config)])


def as_planned(parts: Parts, found: Iterable[Point]) -> list[Point]:
    """The points as if the volumes were made."""
    return [_located(parts, {**one, "Name": one["Name"] or _EMPTY_NAME}) for one in map(dict, found)]


def _located(parts: Parts, point: Point) -> Point:
    if point["Type"] != "volume":
        return point
    name = point["Name"]
    if parts.volumes.get(name) is None:
        mount = parts.volumes.would_mount(name, point.get("options") or {})
    else:
        mount = parts.volumes.mount(name)
    made = {"type": mount.type, "source": mount.source, "options": list(mount.options)}
    return {**point, "Source": parts.volumes.path(name), "mount": made}


@asynccontextmanager
async def settled(parts: Parts, values: dict[str, Any], below: Mount) -> AsyncIterator[list[Fill]]:
    """Makes the volumes of a create that are not there, names them in `values`, and stages what goes into them.

    `below`: the image's files. The fills are for the caller to commit. On an error in the block the volumes that this
    made are gone again.
    """
    found: list[Point] = values.get(POINTS) or []
    ids = ids_of(ContainerConfig(values))
    made: list[str] = []
    pinned: list[str] = []
    fills: list[Fill] = []
    try:
        if found:
            values[POINTS] = [_settle(parts, dict(point), made, pinned, ids) for point in found]
            fills = await fill_all(parts, values[POINTS], below, ids)
        yield fills
    except BaseException:
        parts.volume_pins.drop(pinned)
        pinned.clear()
        for name in made:
            if not users(parts.registry, name) and not parts.volume_pins.names[name]:  # else another create has it too
                _remove(parts, name)
        raise
    finally:
        parts.volume_pins.drop(pinned)
        for fill in fills:
            fill.discard()


def _settle(parts: Parts, point: Point, made: list[str], pinned: list[str], ids: IdMap) -> Point:
    """One point with its volume, which exists from here on."""
    if point["Type"] != "volume":
        return point
    name = point["Name"] or secrets.token_hex(32)
    _check_driver(name, point.pop("driver", ""))
    if parts.volumes.get(name) is None:
        if not point["anonymous"] or not point["Name"]:
            create_volume(parts, name, points.labels_of(point), point.get("options") or {}, ids)
            made.append(name)
        else:  # of another container, which went with its volumes meanwhile
            raise WardianError(INVALID, f"get {name}: no such volume", operation="create", subject=name)
    parts.volume_pins.add(name)
    pinned.append(name)
    return _located(parts, {**point, "Name": name})


def _check_driver(name: str, driver: str) -> None:
    """INVALID: on a 404 of create, docker's CLI pulls the image and hides the cause."""
    try:
        check_driver(name, driver)
    except WardianError as error:
        raise WardianError(INVALID, error.message, operation="create", subject=name) from error


def create_volume(
    parts: Parts, name: str, labels: dict[str, str], options: dict[str, str], ids: IdMap | None = None
) -> Volume:
    """Its directory belongs to the root of who has it made: of `ids`, of the engine's userns-remap, or the host's."""
    ids = (parts.remap or IdMap()) if ids is None else ids
    volume = parts.volumes.create(name, labels, options, ids.outside(0, 0))
    publish(parts, "create", name)
    return volume


def _remove(parts: Parts, name: str) -> None:
    parts.volumes.remove(name)
    publish(parts, "destroy", name)


def remove_volume(parts: Parts, name: str) -> None:
    """Raises NOT_FOUND, or CONFLICT while a container has it."""
    if parts.volumes.get(name) is None:
        raise WardianError(NOT_FOUND, f"get {name}: no such volume", operation="remove volume", subject=name)
    refuse_in_use(parts, name)
    _remove(parts, name)


# --- start ---


async def make_ready(parts: Parts, container: Container, spec: Spec) -> None:
    """Its volumes are there, and what they are made of. Raises WardianError naming what is not; a server's name in
    `spec` becomes its address."""
    distant = []
    for point in points.volumes_of(container.config):
        if parts.volumes.get(point["Name"]) is None:
            raise WardianError(SYSTEM, f"get {point['Name']}: no such volume", operation="start", subject=point["Name"])
        _refuse_shared_memory(parts, container, point)
        if point["mount"]["source"] == point["Source"]:
            parts.volumes.make_directory(point["Name"])
            _check_subpath(point)
        else:
            distant.append(point)
    if distant:
        await look(partial(_look_at, distant, spec), "start", f"container {container.id}")


def _refuse_shared_memory(parts: Parts, container: Container, point: Point) -> None:
    """A tmpfs is made for the container that mounts it: two of them would be two."""
    if point["mount"]["type"] != "tmpfs":
        return
    for other in users(parts.registry, point["Name"]):
        if other is not container and other.state.live:
            message = f"volume {point['Name']} is a tmpfs of container {other.name}, which runs: sharing it"
            raise WardianError(NOT_IMPLEMENTED, f"{message} is not built yet", operation="start", subject=point["Name"])


def _check_subpath(point: Point) -> None:
    if not point.get("subpath"):
        return
    root = os.open(point["Source"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_in_root(root, point["subpath"], os.O_PATH))
    except OSError as error:
        where = os.path.join(point["Source"], point["subpath"])
        message = f"cannot access path {where}: lstat {where}: {(error.strerror or '').lower()}"
        raise WardianError(SYSTEM, message, operation="start", subject=where, errno=error.errno or 0) from error
    finally:
        os.close(root)


def _look_at(distant: list[Point], spec: Spec, at: At) -> None:
    """In a thread: a device may be on a server that does not answer, and so may a server's name."""
    for point in distant:
        mount = point["mount"]
        at(mount["source"])
        if point.get("subpath") and mount["type"] != "bind":
            message = "a subpath of a volume that is a file system of its own is not built yet"
            raise WardianError(NOT_IMPLEMENTED, message, operation="start", subject=point["Name"])
        if mount["type"] == "bind":
            _refuse_no_device(point, mount["source"])
            if point.get("subpath"):
                _check_subpath({**point, "Source": mount["source"]})
        elif mount["type"] in ("nfs", "nfs4", "cifs", "smb3"):
            for planned in spec["mounts"]:
                if planned["destination"] == point["Destination"]:
                    planned["options"] = [_resolved(word) for word in planned["options"]]


def _refuse_no_device(point: Point, device: str) -> None:
    try:
        os.stat(device)
    except OSError as error:
        data = point["Source"]
        message = (
            f"error while mounting volume '{data}': failed to mount local volume: mount {device}:{data}, "
            f"flags: 0x1000: {(error.strerror or '').lower()}"
        )
        raise WardianError(SYSTEM, message, operation="start", subject=device, errno=error.errno or 0) from error


def _resolved(word: str) -> str:
    """The kernel takes addresses only (nfs(5), addr=)."""
    key, _, host = word.partition("=")
    if key != "addr" or not host:
        return word
    try:
        return f"addr={socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]}"
    except OSError as error:
        message = f"error resolving passed in network volume address: {error}"
        raise WardianError(SYSTEM, message, operation="start", subject=host) from error


def publish_mounts(parts: Parts, container: Container, action: str) -> None:
    """`mount` at a container's start, `unmount` at its end."""
    for point in points.volumes_of(container.config):
        more = {"container": container.id}
        if action == "mount":
            writable = "true" if point["RW"] else "false"
            more |= {"destination": point["Destination"], "propagation": "", "read/write": writable}
        publish(parts, action, point["Name"], **more)


def publish(parts: Parts, action: str, name: str, **more: str) -> None:
    parts.events.publish("volume", action, name, {"driver": "local", **more})


# --- removal ---


def release(parts: Parts, container: Container) -> None:
    """Takes the anonymous volumes of a container that goes, but for those that another has too."""
    for point in points.volumes_of(container.config):
        if not point["anonymous"] or parts.volumes.get(point["Name"]) is None:
            continue
        try:
            refuse_in_use(parts, point["Name"], container)
        except WardianError:
            continue
        _remove(parts, point["Name"])
