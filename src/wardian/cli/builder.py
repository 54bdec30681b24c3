"""`builder prune`: the cache of builds."""

from __future__ import annotations

from wardian.cli.command import Command
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation


def prune(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query
    from wardian.cli.human import size_text
    from wardian.cli.prompt import confirmed

    which = "all build cache" if invocation.flag("all") else "all dangling build cache"
    if not invocation.flag("force") and not confirmed(f"WARNING! This will remove {which}."):
        return 0
    query = {
        "all": invocation.flag("all"),
        "filters": filters_query(invocation["filter"]),
        "keep-storage": invocation.number("keep-storage") or None,
    }
    answer = invocation.client.call("POST", "/build/prune", query=query)
    found = answer if isinstance(answer, dict) else {}
    if found.get("CachesDeleted"):
        print("Deleted build cache objects:", *found["CachesDeleted"], "", sep="\n")
    print("Total reclaimed space:", size_text(found.get("SpaceReclaimed") or 0, 4))
    return 0


PRUNE = Command(
    prune,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "", "Remove all that nothing uses, not just what no image is made of"),
        Flag("filter", "", "filter", "", "Remove only what fits (until=24h)"),
        Flag("force", "f", "bool", "", "Do not ask"),
        Flag("keep-storage", "", "bytes", "", "Leave so much of it"),
    ),
    most=0,
)
