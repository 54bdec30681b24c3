"""`search`: which images Docker Hub, or another registry of that API, has of a name."""

from __future__ import annotations

from wardian.cli.command import Command
from wardian.cli.credentials import registry_auth
from wardian.cli.pflag import TABLE_FORMAT, Flag
from wardian.cli.table import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_DESCRIPTION_WIDTH = 45
_KIND = "*search.searchContext"
_HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}


def search(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query

    term = invocation.args[0]
    head, slash, _ = term.partition("/")
    domain = head if slash and ("." in head or ":" in head or head == "localhost") else "docker.io"
    query = {
        "filters": filters_query(invocation["filter"]) or None,
        "limit": invocation.number("limit") or None,
        "term": term,
    }
    headers = {"X-Registry-Auth": registry_auth(domain, invocation.settings)}
    found = invocation.client.call("GET", "/images/search", None, query, headers)
    rows = sorted(found if isinstance(found, list) else (), key=lambda one: -int(one.get("star_count") or 0))
    records = [_found(one, invocation.flag("no-trunc")) for one in rows]
    listing = Listing(_KIND, _HEADERS, "Name Description StarCount IsOfficial", "Name")
    listing.show(records, invocation.text("format"), False)
    return 0


def _found(one: dict[str, Any], whole: bool) -> Record:
    from wardian.cli.ps import ellipsis
    from wardian.cli.record import Record

    text = str(one.get("description") or "").replace("\n", " ").replace("\r", " ")
    fields: dict[str, Callable[..., object]] = {
        "Name": lambda: one.get("name") or "",
        "Description": lambda: text if whole else ellipsis(text, _DESCRIPTION_WIDTH),
        "StarCount": lambda: str(one.get("star_count") or 0),
        "IsOfficial": lambda: "[OK]" if one.get("is_official") else "",
        "IsAutomated": lambda: "[OK]" if one.get("is_automated") else "",
    }
    return Record(_KIND, fields)


SEARCH = Command(
    search,
    "[OPTIONS] TERM",
    (
        Flag("filter", "f", "filter", "", "Show only what fits (is-official=…, stars=…)"),
        TABLE_FORMAT,
        Flag("limit", "", "int", "", "How many results at most (0: 25)", default=0),
        Flag("no-trunc", "", "bool", "", "Do not cut anything short"),
    ),
    least=1,
    most=1,
)
