"""`load` and `import`: images from files."""

from __future__ import annotations

import os
import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wardian.cli.command import Invocation

_PIECE = 1 << 20


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Failure(f"open {path}: {str(error.strerror).lower()}") from None


def _pieces(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _PIECE):
        yield piece


def load(invocation: Invocation) -> int:
    from wardian.cli.pull import show_progress
    from wardian.cli.references import platform_query

    path = invocation.text("input")
    if not path and os.isatty(0):
        raise Failure("requested load from stdin, but stdin is empty")
    fd = _open(path) if path else 0
    # Docker asks for no progress when nobody watches.
    quiet = invocation.flag("quiet") or not os.isatty(1)
    query = {"quiet": quiet, "platform": platform_query(invocation.text("platform"))}
    headers = {"Content-Type": "application/x-tar"}
    with invocation.client.stream("POST", "/images/load", _pieces(fd), query, headers) as stream:
        show_progress(stream)
    return 0


def save(invocation: Invocation) -> int:
    from wardian.cli.command import path_name
    from wardian.cli.output_file import check_output
    from wardian.cli.references import platform_query
    from wardian.cli.whole_file import write_pieces, write_whole

    path = invocation.text("output")
    if not path and os.isatty(1):
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if path:
        check_output(path, "save image")
    query: dict[str, object] = {"platform": platform_query(invocation.text("platform"))}
    target = "/images/get"
    if len(invocation.args) == 1:
        target = f"/images/{path_name(invocation.args[0], 'image')}/get"
    else:
        query["names"] = invocation.args
    with invocation.client.stream("GET", target, None, query) as stream:
        if path:
            write_whole(stream.chunks(), path)
        else:
            write_pieces(1, stream.chunks())
    return 0


def import_(invocation: Invocation) -> int:
    from wardian.cli.pull import show_progress

    source = invocation.args[0]
    repository = invocation.args[1] if len(invocation.args) > 1 else None
    if repository:
        from wardian.cli.references import parse_name

        parse_name(repository)
    remote = source.startswith(("http://", "https://"))
    body = None if remote else _pieces(0 if source == "-" else _open(source))
    query = {
        "changes": invocation.words("change"),
        "fromSrc": source if remote else "-",
        "message": invocation.text("message") or None,
        "platform": invocation.text("platform") or None,
        "repo": repository,
    }
    headers = {} if remote else {"Content-Type": "text/plain"}
    with invocation.client.stream("POST", "/images/create", body, query, headers) as stream:
        show_progress(stream)
    sys.stdout.flush()
    return 0


LOAD = Command(
    load,
    "[OPTIONS]",
    (
        Flag("input", "i", "string", "", "Read this file in place of stdin"),
        Flag("platform", "", "string", "", "Load only this platform (os/arch[/variant])"),
        Flag("quiet", "q", "bool", "", "Do not show progress"),
    ),
    most=0,
)
IMPORT = Command(
    import_,
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    (
        Flag("change", "c", "list", "", "Apply an instruction of Dockerfiles to the image"),
        Flag("message", "m", "string", "", "Note in the image's history"),
        Flag("platform", "", "string", "", "Platform of the image (os/arch[/variant])"),
    ),
    least=1,
    most=2,
)
SAVE = Command(
    save,
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        Flag("output", "o", "string", "", "Write to this file in place of stdout"),
        Flag("platform", "", "string", "", "Save only this platform (os/arch[/variant])"),
    ),
    least=1,
)
