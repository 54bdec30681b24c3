"""`events`: what happens in the engine, as it happens."""

from __future__ import annotations

from wardian.cli.command import Command, Failure
from wardian.cli.moments import iso_nano, read_moment, read_since
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_NILS = dict.fromkeys(("Status", "ID", "From"), "")  # fields that docker has, and that no answer to us fills
_SHAPES: dict[str, tuple[str, ...] | str] = {"Actor": ("ID", "Attributes")}


def events(invocation: Invocation) -> int:
    from wardian.cli.filters import filters_query

    show = _shower(invocation.text("format"))
    query = {
        "filters": filters_query(invocation["filter"]),
        "since": read_since(invocation.text("since")),
        "until": read_moment(invocation.text("until")),
    }
    with invocation.client.stream("GET", "/events", query=query) as stream:
        for event in stream.objects():
            if isinstance(event, dict):
                print(show(event), flush=True)
    return 0


def _shower(form: str) -> Callable[[dict[str, Any]], str]:
    if not form:
        return _line
    from wardian.cli.gotemplate import Template, TemplateError

    try:
        template = Template("{{json .}}" if form == "json" else form, strict=False, nils=_NILS, shapes=_SHAPES)
        template.render(_empty())  # a field that no event has is told at once, not when the first event comes
    except TemplateError as error:
        raise Failure(f"Error parsing format: {error}", 64) from None

    def show(event: dict[str, Any]) -> str:
        try:
            return template.render(event)
        except TemplateError as error:
            raise Failure(str(error)) from None

    return show


def _empty() -> Record:
    """An event that says nothing, with the fields that one has in docker's templates."""
    from wardian.cli.record import Record

    actor = Record("events.Actor", {"ID": str, "Attributes": dict})
    fields: dict[str, Callable[..., object]] = dict.fromkeys(("Type", "Action", "Scope", *_NILS), str)
    return Record("*events.Message", fields | {"Actor": lambda: actor, "Time": int, "TimeNano": int, "Wardian": dict})


def _line(event: dict[str, Any]) -> str:
    moment = event.get("timeNano") or event.get("time", 0) * 1_000_000_000
    actor = event.get("Actor") or {}
    words = [iso_nano(moment), str(event.get("Type", "")), str(event.get("Action", "")), str(actor.get("ID", ""))]
    attributes = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    return " ".join(words) + (f" ({attributes})" if attributes else "")


EVENTS = Command(
    events,
    "[OPTIONS]",
    (
        Flag("filter", "f", "filter", "", "Show only what fits (name=value)"),
        Flag("format", "", "string", "", "'json', or a Go template"),
        Flag(
            "since",
            "",
            "string",
            "",
            "Begin with what happened since a moment, in the last 42m, or after event id:N",
        ),
        Flag("until", "", "string", "", "End at a moment"),
    ),
    most=0,
)
