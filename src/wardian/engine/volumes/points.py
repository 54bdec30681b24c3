"""The mount points of a container that are volumes, or that it has from other containers: which, where, of what.

Pure. A point is a JSON object, kept with the container's options under `POINTS`: the fields of inspect's `Mounts`, and
in lower case what only the engine knows:

    anonymous           nobody named it: it goes with `rm -v`
    copy                what the image has there is copied into it when it is empty
    declared            a place only: of an image's VOLUME, or of -v without a name
    subpath             the part of the volume that is mounted
    driver, labels, options    of the volume, when it is made for this
    mount               what a plan makes of it: {type, source, options}
    image, layers, lowers, mapped    the image that is mounted, its layers, their directories and where all of those are
    spec                the runtime spec's mount, of an inherited bind or tmpfs
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST, POINTS
from wardian.engine.spec import mounts as spec_mounts
from wardian.errors import INVALID, WardianError
from wardian.storage import ANONYMOUS, DRIVER

Point = dict[str, Any]
_SHOWN = ("Type", "Name", "Source", "Destination", "Driver", "Mode", "RW", "Propagation")
POINTED = spec_mounts.POINTED
PROPAGATIONS = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))


class Bind(NamedTuple):
    """One of `Binds`: of a path of the host, or, where `source` has no leading slash, of a volume; "" has no name."""

    source: str
    target: str
    mode: str

    @property
    def words(self) -> list[str]:
        return [word for word in self.mode.split(",") if word]

    @property
    def of_host(self) -> bool:
        return self.source.startswith("/")


def split_bind(item: str) -> Bind:
    source, colon, rest = item.partition(":")
    if not colon:
        return Bind("", source, "")
    target, _, mode = rest.partition(":")
    return Bind(source, target, mode)


def binds_of(config: ContainerConfig) -> list[Bind]:
    return [split_bind(item) for item in config[HOST + "Binds"]]


def place(path: str) -> str:
    """A destination as one absolute path; where links lead is seen when it is mounted."""
    return posixpath.normpath("/" + path.lstrip("/"))


def volumes_of(config: ContainerConfig) -> list[Point]:
    return [point for point in config[POINTS] if point["Type"] == "volume"]


def refuse_duplicates(config: ContainerConfig) -> None:
    """Two mounts of one container on one place."""
    taken = {place(target) for target in config[HOST + "Tmpfs"]}
    for target in (*(one.target for one in binds_of(config)), *(one["Target"] for one in config[HOST + "Mounts"])):
        if place(target) in taken:
            message = f"Duplicate mount point: {place(target)}"
            raise WardianError(INVALID, message, operation="create", subject=target)
        taken.add(place(target))


def resolve_points(config: ContainerConfig, inherited: Iterable[Point]) -> list[Point]:
    """In Docker's order: what others have, what -v and --mount ask for, then what image and user declare."""
    driver = config[HOST + "VolumeDriver"]
    own = [_of_bind(one, driver) for one in binds_of(config) if not one.of_host]
    own += [_of_mount(item, driver) for item in config[HOST + "Mounts"] if item["Type"] == "volume"]
    theirs = {place(one.target) for one in binds_of(config)} | {place(one["Target"]) for one in config[HOST + "Mounts"]}
    images = {place(one["Target"]) for one in config[HOST + "Mounts"] if one["Type"] == "image"}
    found = {one["Destination"]: one for one in inherited if one["Destination"] not in theirs - images}
    found |= {one["Destination"]: one for one in own}
    taken = {*found, *theirs, *(place(target) for target in config[HOST + "Tmpfs"])}
    for declared in config["Volumes"]:
        if place(declared) not in taken:
            taken.add(place(declared))
            found[place(declared)] = _volume("", declared, "", True) | {"driver": driver, "declared": True}
    return list(found.values())


def _volume(name: str, target: str, mode: str, writable: bool) -> Point:
    return {
        "Type": "volume",
        "Name": name,
        "Source": "",
        "Destination": place(target),
        "Driver": DRIVER,
        "Mode": mode,
        "RW": writable,
        "Propagation": "",
        "anonymous": not name,
        "copy": True,
    }


def _of_bind(bind: Bind, driver: str) -> Point:
    point = _volume(bind.source, bind.target, bind.mode or "z", "ro" not in bind.words)
    return point | {"copy": "nocopy" not in bind.words, "driver": driver}


def _of_mount(item: Mapping[str, Any], driver: str) -> Point:
    options = item.get("VolumeOptions") or {}
    made_by = options.get("DriverConfig") or {}
    point = _volume(str(item.get("Source") or ""), item["Target"], "z", not item.get("ReadOnly", False))
    return point | {
        "copy": not options.get("NoCopy", False),
        "subpath": options.get("Subpath") or "",
        "labels": options.get("Labels") or {},
        "options": made_by.get("Options") or {},
        "driver": made_by.get("Name") or driver,
    }


def host_source(point: Point) -> str:
    """The path of the host that a point shows, where it is none of a volume's own directory; else ""."""
    if point["Type"] == "bind":
        return str(point["Source"])
    mount = point.get("mount") or {}
    return str(mount["source"]) if mount.get("type") == "bind" and mount["source"] != point["Source"] else ""


def labels_of(point: Point) -> dict[str, str]:
    """Of the volume that is made for it."""
    return {**(point.get("labels") or {}), **({ANONYMOUS: ""} if point["anonymous"] else {})}


def inherited(config: ContainerConfig, mode: str) -> list[Point]:
    """What a container with `--volumes-from` of this one gets: its volumes, its binds, its tmpfs of --mount."""
    points = [dict(point) for point in config[POINTS]]
    for bind in binds_of(config):
        if bind.of_host:
            points.append(_foreign("bind", bind.source, bind.target, spec_mounts.bind_of_words(*bind[:2], bind.words)))
    for item in config[HOST + "Mounts"]:
        if item["Type"] not in POINTED:
            points.append(_foreign(item["Type"], item.get("Source", ""), item["Target"], spec_mounts.of_mount(item)))
    read_only = "ro" in mode.split(",")
    return [{**point, "copy": False, "Mode": "", "RW": point["RW"] and not read_only} for point in points]


def _foreign(kind: str, source: str, target: str, mount: dict[str, Any]) -> Point:
    propagation = next((word for word in mount["options"] if word in PROPAGATIONS), "")
    return {
        "Type": kind,
        "Source": source,
        "Destination": place(target),
        "Mode": "",
        "RW": not {"ro", "rro"}.intersection(mount["options"]),
        "Propagation": propagation,
        "anonymous": False,
        "spec": mount,
    }


def shown(points: Sequence[Point]) -> list[dict[str, Any]]:
    """As inspect's `Mounts`."""
    return [{name: point[name] for name in _SHOWN if name in point} for point in points]
