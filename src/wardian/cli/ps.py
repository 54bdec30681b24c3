"""`ps`: the list of containers."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import TABLE_FORMAT, Flag, go_quote
from wardian.cli.table import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_HEADERS = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
_TABLE = "ID Image Command RunningFor Status Ports Names"
_COMMAND_WIDTH, _MOUNT_WIDTH = 20, 15


def ellipsis(text: str, width: int) -> str:
    """At most `width` characters, the last an ellipsis when some were cut."""
    return text if len(text) <= width else text[: width - 1] + "…"


def short_id(identity: str) -> str:
    return identity.rpartition(":")[2][:12]


def ps(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query

    quiet, size = invocation.flag("quiet"), invocation.flag("size")
    form = invocation.text("format")
    if quiet and form:
        sys.stderr.write("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
        form = ""
    elif not quiet:
        form = form or invocation.setting("psFormat")
    # What docker does: sizes cost a walk over the writable layer, so they are asked for when the template shows them.
    asks_size = size or ".Size" in form or "json ." in form
    last = 1 if invocation.flag("latest") else invocation.number("last")
    query = {
        "all": invocation.flag("all"),
        "limit": last if last > 0 else None,
        "size": asks_size,
        "filters": filters_query(invocation["filter"]),
    }
    found = invocation.client.call("GET", "/containers/json", query=query)
    if not isinstance(found, list):
        raise Failure("the engine answered no list of containers")
    whole = invocation.flag("no-trunc")
    records = [container_record(container, whole) for container in found]
    table = f"{_TABLE} Size" if size else _TABLE
    Listing("*formatter.ContainerContext", _HEADERS, table, "ID").show(records, form, quiet)
    return 0


def container_record(container: dict[str, Any], whole: bool) -> Record:
    from wardian.cli.moments import ago, stamp
    from wardian.cli.record import Record

    labels = container.get("Labels") or {}
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    mounts = [_mount_name(mount, whole) for mount in container.get("Mounts") or ()]
    volumes = sum(mount.get("Driver") == "local" for mount in container.get("Mounts") or ())
    fields: dict[str, Callable[..., object]] = {
        "ID": lambda: container["Id"] if whole else short_id(container["Id"]),
        "Names": lambda: ",".join(_names(container, whole)),
        "Image": lambda: _image(container, whole),
        "Command": lambda: go_quote(container["Command"] if whole else ellipsis(container["Command"], _COMMAND_WIDTH)),
        "CreatedAt": lambda: stamp(container["Created"]),
        "RunningFor": lambda: ago(container["Created"]),
        "Ports": lambda: ports_text(container.get("Ports") or []),
        "State": lambda: container.get("State", ""),
        "Status": lambda: container.get("Status", ""),
        "Size": lambda: _size(container),
        "Labels": lambda: ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "Mounts": lambda: ",".join(mounts),
        "LocalVolumes": lambda: str(volumes),
        "Networks": lambda: ",".join(networks),
        "Platform": lambda: container.get("ImageManifestDescriptor", {}).get("platform"),
    }
    return Record("*formatter.ContainerContext", fields)


def _names(container: dict[str, Any], whole: bool) -> list[str]:
    names = [name.removeprefix("/") for name in container.get("Names") or ()]
    return names if whole else [name for name in names if "/" not in name]


def _image(container: dict[str, Any], whole: bool) -> str:
    image = str(container.get("Image") or "")
    if not image:
        return "<no image>"
    if whole:
        return image
    identity = short_id(str(container.get("ImageID", "")))
    if identity and identity == short_id(image):
        return identity
    return image.partition("@")[0]


def _size(container: dict[str, Any]) -> str:
    from wardian.cli.human import size_text

    written, root = container.get("SizeRw") or 0, container.get("SizeRootFs") or 0
    return size_text(written) + (f" (virtual {size_text(root)})" if root > 0 else "")


def _mount_name(mount: dict[str, Any], whole: bool) -> str:
    name = str(mount.get("Name") or mount.get("Source") or "")
    return name if whole else ellipsis(name, _MOUNT_WIDTH)


def ports_text(ports: list[dict[str, Any]]) -> str:
    """Published ports as Docker writes them, neighbours joined: 0.0.0.0:80-81->80-81/tcp, 127.0.0.1:8080->80/tcp."""
    groups: dict[tuple[str, str], list[int]] = {}
    done, mapped = [], []
    ordered = sorted(ports, key=lambda p: (p["PrivatePort"], p.get("IP", ""), p.get("PublicPort", 0), p["Type"]))
    for port in ordered:
        inside, address, kind = port["PrivatePort"], port.get("IP", ""), port["Type"]
        if address and port.get("PublicPort") != inside:
            mapped.append(f"{_host_port(address, port['PublicPort'])}->{inside}/{kind}")
            continue
        group = groups.get((address, kind))
        if group and inside == group[1] + 1:
            group[1] = inside
            continue
        if group:
            done.append(_group_text((address, kind), group))
        groups[(address, kind)] = [inside, inside]
    return ", ".join([*done, *(_group_text(key, group) for key, group in groups.items()), *mapped])


def _group_text(key: tuple[str, str], group: list[int]) -> str:
    address, kind = key
    text = str(group[0]) if group[0] == group[1] else f"{group[0]}-{group[1]}"
    return f"{_host_port(address, text)}->{text}/{kind}" if address else f"{text}/{kind}"


def _host_port(address: str, port: object) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


PS = Command(
    ps,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "", "Show those that do not run, too"),
        Flag("filter", "f", "filter", "", "Show only what fits (name=value)"),
        TABLE_FORMAT,
        Flag("last", "n", "int", "", "Show the last N created, whatever their state", default=-1),
        Flag("latest", "l", "bool", "", "Show the last created, whatever its state"),
        Flag("no-trunc", "", "bool", "", "Do not cut anything short"),
        Flag("quiet", "q", "bool", "", "Show only ids"),
        Flag("size", "s", "bool", "", "Show how much each wrote"),
    ),
    most=0,
)
