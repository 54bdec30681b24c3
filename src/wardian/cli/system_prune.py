"""`system prune`: all that is not used, at once."""

from __future__ import annotations

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation

Filters = dict[str, dict[str, bool]]


def prune(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query
    from wardian.cli.human import size_text
    from wardian.cli.prompt import confirmed

    volumes, every = invocation.flag("volumes"), invocation.flag("all")
    filters = filters_query(invocation["filter"]) or {}
    if volumes and "until" in filters:
        raise Failure('ERROR: The "until" filter is not supported with "--volumes"')
    if not invocation.flag("force") and not confirmed(_warning(volumes, every, filters)):
        return 0
    freed = 0
    for path, title, own in _steps(volumes, every):
        answer = invocation.client.call("POST", path, query={"filters": {**filters, **own} or None})
        if isinstance(answer, dict):
            freed += answer.get("SpaceReclaimed") or 0
            _tell(title, answer)
    print("Total reclaimed space:", size_text(freed, 4))
    return 0


def _warning(volumes: bool, every: bool, filters: Filters) -> str:
    what = ["all stopped containers", "all networks not used by at least one container"]
    if volumes:
        what.append("all anonymous volumes not used by at least one container")
    what += ["all images without at least one container associated to them" if every else "all dangling images"]
    what.append("all build cache" if every else "unused build cache")
    text = "WARNING! This will remove:\n" + "".join(f"  - {one}\n" for one in what)
    shown = sorted(f"{key}={value}" for key, values in filters.items() for value in values)
    if shown:
        text += "\n  Items to be pruned will be filtered with:\n" + "".join(f"  - {one}\n" for one in shown)
    return text


def _steps(volumes: bool, every: bool) -> list[tuple[str, str, Filters]]:
    """Where to ask, what heads the list of what went, and the filters that this one has besides."""
    steps: list[tuple[str, str, Filters]] = [
        ("/containers/prune", "Deleted Containers:", {}),
        ("/networks/prune", "Deleted Networks:", {}),
    ]
    if volumes:
        steps.append(("/volumes/prune", "Deleted Volumes:", {}))
    dangling = "false" if every else "true"
    steps.append(("/images/prune", "Deleted Images:", {"dangling": {dangling: True}}))
    return [*steps, ("/build/prune", "Deleted build cache objects:", {"all": {"1": True}} if every else {})]


def _tell(title: str, answer: dict[str, Any]) -> None:
    gone = next((value for key, value in answer.items() if key.endswith("Deleted")), None)
    lines = [line for one in gone or () for line in _lines(one)]
    if lines:
        print(title, *lines, "", sep="\n")


def _lines(one: object) -> list[str]:
    """An image's parts are maps, everything else is a name."""
    if isinstance(one, dict):
        return [f"{key.lower()}: {value}" for key, value in one.items() if value]
    return [str(one)]


PRUNE = Command(
    prune,
    "[OPTIONS]",
    (
        Flag("all", "a", "bool", "", "Remove all images that nothing uses, not just those without a name"),
        Flag("filter", "", "filter", "", "Remove only what fits (label=…, until=…)"),
        Flag("force", "f", "bool", "", "Do not ask"),
        Flag("volumes", "", "bool", "", "Remove anonymous volumes, too"),
    ),
    most=0,
)
