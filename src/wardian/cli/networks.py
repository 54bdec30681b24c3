"""`network`: create, ls, rm, prune, connect, disconnect; `network inspect` is a form of `inspect`."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.natural_order import natural_key
from wardian.cli.pflag import TABLE_FORMAT, Flag
from wardian.cli.table import Listing
from wardian.errors import WardianError

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
    records = [_record(network, whole) for network in sorted(found, key=_by_name)]
    listing = Listing(_KIND, _HEADERS, "ID Name Driver Scope", "ID")
    quiet = invocation.flag("quiet")
    form = invocation.text("format") or ("" if quiet else invocation.setting("networksFormat"))
    listing.show(records, form, quiet)
    return 0


def _by_name(network: dict[str, Any]) -> list[tuple[int, int, int]]:
    return natural_key(str(network["Name"]))


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


def create(invocation: Invocation) -> int:
    from wardian.cli.network_body import network_body

    answer = invocation.client.call("POST", "/networks/create", network_body(invocation.parsed))
    if not isinstance(answer, dict):
        raise Failure("the engine answered no id of a network")
    if answer.get("Warning"):
        sys.stderr.write(f"WARNING: {answer['Warning']}\n")
    print(answer["Id"])
    return 0


def remove(invocation: Invocation) -> int:
    """Removes each; what could not be is told at once, and the others go all the same."""
    code = 0
    for name in invocation.args:
        try:
            invocation.client.call("DELETE", f"/networks/{path_name(name, 'network')}")
            print(name, flush=True)
        except (WardianError, Failure) as error:
            if invocation.flag("force") and getattr(error, "status", 0) == 404:
                continue
            sys.stderr.write(f"{error_text(error)}\n")
            code = 1
    return code


_PRUNE_WARNING = "WARNING! This will remove all custom networks not used by at least one container."


def prune(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query
    from wardian.cli.prompt import confirmed

    if not invocation.flag("force") and not confirmed(_PRUNE_WARNING):
        return 0
    query = {"filters": filters_query(invocation["filter"])}
    answer = invocation.client.call("POST", "/networks/prune", query=query)
    deleted = answer.get("NetworksDeleted") if isinstance(answer, dict) else None
    if deleted:
        print("Deleted Networks:", *deleted, "", sep="\n")
    return 0


def connect(invocation: Invocation) -> int:
    from wardian.cli.network_body import connection_body

    network = path_name(invocation.args[0], "network")
    invocation.client.call("POST", f"/networks/{network}/connect", connection_body(invocation.parsed))
    return 0


def disconnect(invocation: Invocation) -> int:
    network, container = path_name(invocation.args[0], "network"), path_name(invocation.args[1])
    body = {"Container": container, "Force": invocation.flag("force")}
    invocation.client.call("POST", f"/networks/{network}/disconnect", body)
    return 0


CREATE = Command(
    create,
    "[OPTIONS] NETWORK",
    (
        Flag("attachable", "", "bool", "", "Let containers join it by hand (networks of a swarm)"),
        Flag("aux-address", "", "map", "", "Address that is not to be given to containers (name=address)"),
        Flag("config-from", "", "string", "", "Network whose configuration is taken"),
        Flag("config-only", "", "bool", "", "Keep the configuration only"),
        Flag("driver", "d", "string", "", "Driver: bridge, macvlan, ipvlan", default="bridge"),
        Flag("gateway", "", "strings", "", "IPv4 or IPv6 address of a subnet's gateway"),
        Flag("ingress", "", "bool", "", "Make the routing mesh of a swarm"),
        Flag("internal", "", "bool", "", "Let nothing in and nothing out"),
        Flag("ip-range", "", "strings", "", "Part of a subnet from which addresses are given"),
        Flag("ipam-driver", "", "string", "", "Driver of its addresses", default="default"),
        Flag("ipam-opt", "", "map", "", "Option of the driver of its addresses (key=value)"),
        Flag("ipv4", "", "bool", "", "Give IPv4 addresses", default=True),
        Flag("ipv6", "", "bool", "", "Give IPv6 addresses"),
        Flag("label", "", "label", "", "Set a label (key=value)"),
        Flag("opt", "o", "map", "", "Option of the driver (key=value)"),
        Flag("scope", "", "string", "", "Where it is known: local, swarm"),
        Flag("subnet", "", "strings", "", "Subnet (10.5.0.0/16, fd00:5::/64)"),
    ),
    least=1,
    most=1,
)
LS = Command(
    ls,
    "[OPTIONS]",
    (
        Flag("filter", "f", "filter", "", "Show only what fits (name=value)"),
        TABLE_FORMAT,
        Flag("no-trunc", "", "bool", "", "Do not cut anything short"),
        Flag("quiet", "q", "bool", "", "Show only ids"),
    ),
    most=0,
)
RM = Command(
    remove,
    "NETWORK [NETWORK...]",
    (Flag("force", "f", "bool", "", "A network that is not there is no error"),),
    least=1,
)
PRUNE = Command(
    prune,
    "[OPTIONS]",
    (
        Flag("filter", "", "filter", "", "Remove only what fits (until=24h, label=name)"),
        Flag("force", "f", "bool", "", "Do not ask"),
    ),
    most=0,
)
CONNECT = Command(
    connect,
    "[OPTIONS] NETWORK CONTAINER",
    (
        Flag("alias", "", "strings", "", "Other name of the container on the network"),
        Flag("driver-opt", "", "strings", "", "Option of the driver (key=value)"),
        Flag("gw-priority", "", "int", "", "The network with the highest has the default route"),
        Flag("ip", "", "string", "", "IPv4 address"),
        Flag("ip6", "", "string", "", "IPv6 address"),
        Flag("link", "", "link", "", "Link to another container (name[:alias])"),
        Flag("link-local-ip", "", "strings", "", "Link-local address"),
    ),
    least=2,
    most=2,
)
DISCONNECT = Command(
    disconnect,
    "[OPTIONS] NETWORK CONTAINER",
    (Flag("force", "f", "bool", "", "Disconnect it though its namespace cannot be reached"),),
    least=2,
    most=2,
)
