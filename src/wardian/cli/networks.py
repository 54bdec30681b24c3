"""`network ls`."""

from __future__ import annotations

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag
from wardian.cli.table import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_KIND = "*network.networkContext"
_HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def ls(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query

    query = {"filters": filters_query(invocation["filter"])}
    found = invocation.client.call("GET", "/networks", query=query)
    if not isinstance(found, list):
        raise Failure("the engine answered no list of networks")
    whole = invocation.flag("no-trunc")
    records = [_record(network, whole) for network in sorted(found, key=lambda network: str(network["Name"]))]
    listing = Listing(_KIND, _HEADERS, "ID Name Driver Scope", "ID")
    quiet = invocation.flag("quiet")
    form = invocation.text("format") or ("" if quiet else invocation.setting("networksFormat"))
    listing.show(records, form, quiet)
    return 0


def _record(network: dict[str, Any], whole: bool) -> Record:
    from wardian.cli.record import Record

    labels = network.get("Labels") or {}
    fields: dict[str, Callable[..., object]] = {
        "ID": lambda: network["Id"] if whole else network["Id"][:12],
        "Name": lambda: network["Name"],
        "Driver": lambda: network["Driver"],
        "Scope": lambda: network["Scope"],
        "IPv4": lambda: _switch(network.get("EnableIPv4", True)),
        "IPv6": lambda: _switch(network.get("EnableIPv6")),
        "Internal": lambda: _switch(network.get("Internal")),
        "Labels": lambda: ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "CreatedAt": lambda: _stamp(str(network.get("Created", ""))),
    }
    return Record(_KIND, fields)


def _switch(value: object) -> str:
    return "true" if value else "false"


def _stamp(text: str) -> str:
    """Go's Time.String of a moment in UTC: the fraction stays as the engine wrote it."""
    return text.replace("T", " ").replace("Z", " +0000 UTC")


LS = Command(
    ls,
    "[OPTIONS]",
    (
        Flag("filter", "f", "filter", "", "Show only what fits (name=value)"),
        Flag("format", "", "string", "", "'table', 'table TEMPLATE', 'json', or a Go template"),
        Flag("no-trunc", "", "bool", "", "Do not cut anything short"),
        Flag("quiet", "q", "bool", "", "Show only ids"),
    ),
    most=0,
)
