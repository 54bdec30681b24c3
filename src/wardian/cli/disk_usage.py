"""`system df`: what images, containers, volumes and builds take on disk."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import TABLE_FORMAT, Flag
from wardian.cli.table import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_TABLE = "Type TotalCount Active Size Reclaimable"
_IMAGE_HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_CONTAINER_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
_VOLUME_HEADERS = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
_BUILD_HEADERS = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
}
_ACTIVE = ("running", "paused", "restarting")
_UNKNOWN = "N/A"


def disk_usage(invocation: Invocation) -> int:
    form = invocation.text("format")
    usage = invocation.client.call("GET", "/system/df")
    if not isinstance(usage, dict):
        raise Failure("the engine answered no disk usage")
    if not invocation.flag("verbose"):
        Listing("*formatter.diskUsageContext", _HEADERS, _TABLE, "Type").show(summary(usage), form, False)
    elif form in ("", "table"):
        sys.stdout.write(_verbose(usage))
    else:
        sys.stdout.write(_templated(usage, form))
    return 0


def summary(usage: dict[str, Any]) -> list[Record]:
    return [
        _row("Images", *_images(usage)),
        _row("Containers", *_containers(usage)),
        _row("Local Volumes", *_volumes(usage)),
        _row("Build Cache", *_builds(usage), share=False),
    ]


def _row(kind: str, count: int, active: int, size: int, reclaimable: int, share: bool = True) -> Record:
    from wardian.cli.human import size_text
    from wardian.cli.record import Record

    part = f" ({reclaimable * 100 // size}%)" if share and size > 0 else ""
    fields: dict[str, Callable[..., object]] = {
        "Type": lambda: kind,
        "TotalCount": lambda: str(count),
        "Active": lambda: str(active),
        "Size": lambda: size_text(size, 4),
        "Reclaimable": lambda: size_text(reclaimable, 4) + part,
    }
    return Record("*formatter.diskUsageContext", fields)


def _images(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    """Layers that several images have count once; what only images in use have cannot be reclaimed."""
    images = usage.get("Images") or []
    active = [image for image in images if image.get("Containers")]
    known = [image for image in active if image["Size"] >= 0 and image["SharedSize"] >= 0]
    total = usage.get("LayersSize") or 0
    return len(images), len(active), total, total - sum(image["Size"] - image["SharedSize"] for image in known)


def _containers(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    containers = usage.get("Containers") or []
    active = [one for one in containers if one.get("State") in _ACTIVE]
    total = sum(one.get("SizeRw") or 0 for one in containers)
    return len(containers), len(active), total, total - sum(one.get("SizeRw") or 0 for one in active)


def _volumes(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    data = [one.get("UsageData") or {} for one in usage.get("Volumes") or ()]
    known = [one for one in data if one.get("Size", -1) >= 0]
    free = sum(one["Size"] for one in known if not one.get("RefCount"))
    return len(data), sum(one.get("RefCount", 0) > 0 for one in data), sum(one["Size"] for one in known), free


def _builds(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    caches = usage.get("BuildCache") or []
    total, used = _size_of_builds(usage), [one for one in caches if one.get("InUse")]
    return len(caches), len(used), total, total - sum(one["Size"] for one in used if not one.get("Shared"))


def _size_of_builds(usage: dict[str, Any]) -> int:
    return sum(one["Size"] for one in usage.get("BuildCache") or () if not one.get("Shared"))


def _verbose(usage: dict[str, Any]) -> str:
    from wardian.cli.human import size_text

    records = _records(usage, False)
    volumes = _table(_VOLUME_HEADERS, records["Volumes"]) if usage.get("Volumes") is not None else ""
    return (
        f"Images space usage:\n\n{_table(_IMAGE_HEADERS, records['Images'])}\n"
        f"Containers space usage:\n\n{_table(_CONTAINER_HEADERS, records['Containers'])}\n"
        f"Local Volumes space usage:\n\n{volumes}\n"
        f"Build cache usage: {size_text(_size_of_builds(usage), 4)}\n\n"
        f"{_table(_BUILD_HEADERS, records['BuildCache'])}"
    )


def _table(headers: dict[str, str], records: list[Record]) -> str:
    return Listing("", headers, " ".join(headers), "").render(records, "", False)


def _templated(usage: dict[str, Any], form: str) -> str:
    """The template is of the whole: .Images, .Containers, .Volumes, .BuildCache. As docker, without a line's end."""
    from functools import partial

    from wardian.cli.gotemplate import Template, TemplateError
    from wardian.cli.record import Record

    try:
        return Template("{{json .}}" if form == "json" else form).render(
            Record("", {kind: partial(_plain, records) for kind, records in _records(usage, True).items()}, True)
        )
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}") from None


def _plain(records: list[Record]) -> list[dict[str, object]]:
    return [dict(record.items()) for record in records]


def _records(usage: dict[str, Any], whole: bool) -> dict[str, list[Record]]:
    from wardian.cli.ps import container_record

    containers = [{**one, "SizeRootFs": 0} for one in usage.get("Containers") or ()]
    return {
        "Images": [_image(image, whole) for image in usage.get("Images") or ()],
        "Containers": [container_record(one, whole) for one in containers],
        "Volumes": [_volume(one) for one in usage.get("Volumes") or ()],
        "BuildCache": [_build(one) for one in usage.get("BuildCache") or ()],
    }


def _image(image: dict[str, Any], whole: bool) -> Record:
    """By its first name."""
    from wardian.cli.images import image_record

    repository, _, tag = (image.get("RepoTags") or ["<none>:<none>"])[0].rpartition(":")
    return image_record(image, repository, tag, "", whole)


def _volume(volume: dict[str, Any]) -> Record:
    from wardian.cli.human import size_text
    from wardian.cli.record import Record

    data = volume.get("UsageData") or {}
    links, size = data.get("RefCount", -1), data.get("Size", -1)
    labels = ",".join(f"{key}={value}" for key, value in sorted((volume.get("Labels") or {}).items()))
    fields: dict[str, Callable[..., object]] = {
        "Availability": lambda: _UNKNOWN,
        "Driver": lambda: volume.get("Driver", ""),
        "Group": lambda: _UNKNOWN,
        "Labels": lambda: labels,
        "Links": lambda: str(links) if links >= 0 else _UNKNOWN,
        "Mountpoint": lambda: volume.get("Mountpoint", ""),
        "Name": lambda: volume["Name"],
        "Scope": lambda: volume.get("Scope", ""),
        "Size": lambda: size_text(size, 4) if size >= 0 else _UNKNOWN,
        "Status": lambda: _UNKNOWN,
    }
    return Record("*formatter.diskUsageVolumeContext", fields)


def _build(cache: dict[str, Any]) -> Record:
    from wardian.cli.human import size_text
    from wardian.cli.moments import ago, seconds_of
    from wardian.cli.record import Record

    fields: dict[str, Callable[..., object]] = {
        "CacheType": lambda: cache.get("Type", ""),
        "CreatedSince": lambda: ago(seconds_of(cache.get("CreatedAt") or "")),
        "Description": lambda: cache.get("Description", ""),
        "ID": lambda: cache["ID"][:12] + ("*" if cache.get("InUse") else ""),
        "InUse": lambda: str(bool(cache.get("InUse"))).lower(),
        "LastUsedSince": lambda: ago(seconds_of(cache.get("LastUsedAt") or "")) if cache.get("LastUsedAt") else "",
        "Parent": lambda: ",".join(cache.get("Parents") or ()),
        "Shared": lambda: str(bool(cache.get("Shared"))).lower(),
        "Size": lambda: size_text(cache.get("Size") or 0, 3),
        "UsageCount": lambda: str(cache.get("UsageCount", 0)),
    }
    return Record("*formatter.buildCacheContext", fields)


DF = Command(
    disk_usage,
    "[OPTIONS]",
    (
        TABLE_FORMAT,
        Flag("verbose", "v", "bool", "", "Show each image, container, volume and build"),
    ),
    most=0,
)
