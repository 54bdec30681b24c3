"""`volume`: create, ls, rm, prune, update; `volume inspect` is a form of `inspect`."""

from __future__ import annotations

from wardian.cli.command import Command, Failure, path_name
from wardian.cli.natural_order import natural_key
from wardian.cli.pflag import TABLE_FORMAT, Flag
from wardian.cli.table import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_KIND = "*formatter.volumeContext"
_HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Availability": "AVAILABILITY",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Group": "GROUP",
    "Status": "STATUS",
}
_UNSAID = "N/A"  # what only system df knows, and what only volumes of a cluster have


def ls(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query

    answer = invocation.client.call("GET", "/volumes", query={"filters": filters_query(invocation["filter"])})
    if not isinstance(answer, dict):
        raise Failure("the engine answered no list of volumes")
    found = sorted(answer.get("Volumes") or (), key=lambda volume: natural_key(str(volume["Name"])))
    quiet = invocation.flag("quiet")
    form = invocation.text("format") or ("" if quiet else invocation.setting("volumesFormat"))
    Listing(_KIND, _HEADERS, "Driver Name", "Name").show([_record(volume) for volume in found], form, quiet)
    return 0


def _record(volume: dict[str, Any]) -> Record:
    from wardian.cli.record import Record

    labels = volume.get("Labels") or {}
    fields: dict[str, Callable[..., object]] = {
        "Name": lambda: volume["Name"],
        "Driver": lambda: volume["Driver"],
        "Scope": lambda: volume["Scope"],
        "Mountpoint": lambda: volume["Mountpoint"],
        "Labels": lambda: ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        **{name: lambda: _UNSAID for name in ("Availability", "Group", "Links", "Size", "Status")},
    }
    return Record(_KIND, fields)


def create(invocation: Invocation) -> int:
    from wardian.cli.pairs import pairs

    if invocation.given("name") and invocation.args:
        message = "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        raise Failure(message)
    body: dict[str, object] = {
        "Name": invocation.args[0] if invocation.args else invocation.text("name"),
        "Driver": invocation.text("driver"),
        "DriverOpts": pairs(invocation.parsed["opt"]),
        "Labels": pairs(invocation.parsed["label"]),
    }
    answer = invocation.client.call("POST", "/volumes/create", body)
    if not isinstance(answer, dict):
        raise Failure("the engine answered no volume")
    print(answer["Name"])
    return 0


def remove(invocation: Invocation) -> int:
    from wardian.cli.lifecycle import for_each

    query = {"force": True} if invocation.flag("force") else {}

    def act(name: str) -> str:
        invocation.client.call("DELETE", f"/volumes/{path_name(name, 'volume')}", query=query)
        return name

    return for_each(invocation.args, act)


_WARNING = "WARNING! This will remove {} not used by at least one container."


def prune(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query
    from wardian.cli.human import size_text
    from wardian.cli.prompt import confirmed

    filters = list(invocation.parsed["filter"])
    every = invocation.flag("all")
    if every:
        given = [f"{name}={value}" for name, value in filters if name == "all"]
        if given:
            raise Failure(f"conflicting options: cannot specify both --all and --filter {given[0]}")
        filters.append(("all", "true"))
    what = "all local volumes" if every else "anonymous local volumes"
    if not invocation.flag("force") and not confirmed(_WARNING.format(what)):
        return 0
    answer = invocation.client.call("POST", "/volumes/prune", query={"filters": filters_query(filters)})
    if not isinstance(answer, dict):
        raise Failure("the engine answered no list of volumes")
    if answer.get("VolumesDeleted"):
        print("Deleted Volumes:", *answer["VolumesDeleted"], "", sep="\n")
    print(f"Total reclaimed space: {size_text(answer.get('SpaceReclaimed') or 0)}")
    return 0


def update(invocation: Invocation) -> int:
    """Only a swarm has such volumes, and no Wardian is in one: it answers as a Docker that is in none."""
    volume = invocation.client.call("GET", f"/volumes/{path_name(invocation.args[0], 'volume')}")
    if not isinstance(volume, dict) or not volume.get("ClusterVolume"):
        raise Failure("can only update cluster volumes")
    raise Failure("volume update only valid for cluster volumes, but swarm is unavailable")


CREATE = Command(
    create,
    "[OPTIONS] [VOLUME]",
    (
        Flag("driver", "d", "string", "", "Driver of the volume", default="local"),
        Flag("label", "", "label", "", "Set a label (key=value)"),
        Flag("name", "", "string", "", "Its name (the argument says it too)"),
        Flag("opt", "o", "map", "", "Option of the driver (key=value): type, device, o"),
    ),
    most=1,
)
LS = Command(
    ls,
    "[OPTIONS]",
    (
        Flag("filter", "f", "filter", "", "Show only what fits (dangling=true, name=, label=, driver=)"),
        TABLE_FORMAT,
        Flag("quiet", "q", "bool", "", "Show only names"),
    ),
    most=0,
)
RM = Command(
    remove,
    "[OPTIONS] VOLUME [VOLUME...]",
    (Flag("force", "f", "bool", "", "A volume that is not there is no error"),),
    least=1,
)
UPDATE = Command(
    update,
    "[OPTIONS] VOLUME",
    (Flag("availability", "", "string", "", "Availability (active, pause, drain)", default="active"),),
    least=1,
    most=1,
)
PRUNE = Command(
    prune,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "", "Remove those with a name too"),
        Flag("filter", "", "filter", "", "Remove only what fits (label=name)"),
        Flag("force", "f", "bool", "", "Do not ask"),
    ),
    most=0,
)
