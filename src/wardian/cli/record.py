"""A row of a listing: tables read it without the template engine, whose import costs more than a whole table."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Record:
    """Fields by name; `kind` is the Go type that error texts of templates name."""

    __slots__ = ("fields", "kind", "ordered")

    def __init__(self, kind: str, fields: dict[str, Callable[..., object]], ordered: bool = False) -> None:
        self.kind = kind
        self.fields = fields
        self.ordered = ordered

    def items(self) -> list[tuple[str, object]]:
        """What {{json .}} shows: every field that takes no argument, by name (or in the order that they have)."""
        fields = self.fields.items() if self.ordered else sorted(self.fields.items())
        return [(name, get()) for name, get in fields if name != "Label"]
