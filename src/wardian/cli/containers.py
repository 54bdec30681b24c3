"""`rename`, `top` and `container prune`."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.pflag import Flag
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation

_LEAST_WIDTH = 20  # of a column of `top`
_PRUNE_WARNING = "WARNING! This will remove all stopped containers."


def rename(invocation: Invocation) -> int:
    old, new = (text.strip() for text in invocation.args)
    if not old or not new:
        raise Failure("Error: Neither old nor new names may be empty")
    try:
        invocation.client.call("POST", f"/containers/{path_name(old)}/rename", query={"name": new})
    except WardianError as error:
        raise Failure(f"{error_text(error)}\nError: failed to rename container named {old}") from None
    return 0


def top(invocation: Invocation) -> int:
    from wardian.cli.table import columns

    name, *options = invocation.args
    query = {"ps_args": " ".join(options) or None}
    answer = invocation.client.call("GET", f"/containers/{path_name(name)}/top", query=query)
    if not isinstance(answer, dict):
        raise Failure("the engine answered no processes")
    rows = [answer["Titles"], *(answer["Processes"] or ())]
    sys.stdout.write(columns(("\t".join(row) for row in rows), _LEAST_WIDTH))
    return 0


def prune(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query
    from wardian.cli.human import size_text
    from wardian.cli.prompt import confirmed

    if not invocation.flag("force") and not confirmed(_PRUNE_WARNING):
        return 0
    query = {"filters": filters_query(invocation["filter"])}
    answer = invocation.client.call("POST", "/containers/prune", query=query)
    if not isinstance(answer, dict):
        raise Failure("the engine answered nothing")
    if answer.get("ContainersDeleted"):
        print("Deleted Containers:", *answer["ContainersDeleted"], "", sep="\n")
    print(f"Total reclaimed space: {size_text(answer.get('SpaceReclaimed') or 0)}")
    return 0


RENAME = Command(rename, "CONTAINER NEW_NAME", least=2, most=2)
TOP = Command(top, "CONTAINER [ps OPTIONS]", least=1, interspersed=False)
PRUNE = Command(
    prune,
    "[OPTIONS]",
    (
        Flag("filter", "", "filter", "", "Remove only what fits (until=24h, label=name)"),
        Flag("force", "f", "bool", "", "Do not ask"),
    ),
    most=0,
)
