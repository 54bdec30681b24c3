"""Tables and `--format`: columns as Go's tabwriter sets them, rows as Go templates show them."""

from __future__ import annotations

import sys

from wardian.cli.command import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wardian.cli.record import Record

_LEAST, _GAP = 10, 3  # a column's least width, and the space after its widest cell


def columns(lines: Iterable[str], least: int = _LEAST) -> str:
    """Lines with tab-separated cells → text. The last cell of a line belongs to no column (Go's text/tabwriter)."""
    rows = [line.split("\t") for line in lines]
    widths: list[int] = []
    for row in rows:
        for number, cell in enumerate(row[:-1]):
            if number == len(widths):
                widths.append(least)
            widths[number] = max(widths[number], len(cell) + _GAP)
    return "".join(
        "".join(cell.ljust(widths[number]) for number, cell in enumerate(row[:-1])) + row[-1] + "\n" for row in rows
    )


class Listing:
    """What a listing can show: headers by field, and the template of its table."""

    def __init__(self, kind: str, headers: dict[str, str], table: str, quiet: str) -> None:
        self.kind = kind
        self.headers = headers
        self.table = table
        self.quiet = quiet

    def show(self, records: Sequence[Record], form: str, quiet: bool) -> None:
        """Prints the records: as `--format` says, or the table; only ids with --quiet."""
        sys.stdout.write(self.render(records, form, quiet))

    def render(self, records: Sequence[Record], form: str, quiet: bool) -> str:
        if quiet and form in ("", "table"):
            return "".join(f"{record.fields[self.quiet]()}\n" for record in records)
        if form in ("", "table"):
            return self._plain_table(records)
        if form == "json":
            form = "{{json .}}"
        is_table = form.startswith("table")
        if is_table:
            form = form[len("table") :]
        form = form.strip(" ").replace("\\t", "\t").replace("\\n", "\n")
        return self._templated(records, form, is_table)

    def _plain_table(self, records: Sequence[Record]) -> str:
        names = self.table.split()
        head = "\t".join(self.headers[name] for name in names)
        rows = ["\t".join(str(record.fields[name]()) for name in names) for record in records]
        return columns([head, *rows])

    def _wrong(self, step: str) -> str:
        """docker's words; its ps tries the template before the others do, and says more."""
        return f"failed to {step} template" if self.kind == "*formatter.ContainerContext" else "template parsing error"

    def _templated(self, records: Sequence[Record], form: str, is_table: bool) -> str:
        from wardian.cli.gotemplate import Template, TemplateError
        from wardian.cli.record import Record

        try:
            template = Template(form)
        except TemplateError as error:
            raise Failure(f"{self._wrong('parse')}: {error}") from None
        try:
            rows = [template.render(record) for record in records]
            if not is_table:
                return "".join(f"{row}\n" for row in rows)
            heads: dict[str, Callable[..., object]] = {name: _constant(title) for name, title in self.headers.items()}
            heads["Label"] = _label_title
            head = Template(form).render(Record(self.kind, heads))
        except TemplateError as error:
            raise Failure(f"{self._wrong('execute')}: {error}") from None
        return columns(line for text in (head, *rows) for line in text.split("\n"))


def _constant(text: str) -> Callable[[], str]:
    return lambda: text


def _label_title(label: object) -> str:
    """The header of {{.Label "a.b-c"}}: its last part, in words."""
    return str(label).split(".")[-1].replace("-", " ").replace("_", " ")
