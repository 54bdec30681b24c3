"""`diff`, `export`, `commit`: what a container changed, its files as an archive, an image of them."""

from __future__ import annotations

import os

from wardian.cli.command import Command, Failure, path_name
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation

_KINDS = "CAD"


def diff(invocation: Invocation) -> int:
    changes = invocation.client.call("GET", f"/containers/{path_name(invocation.args[0])}/changes")
    for change in changes if isinstance(changes, list) else ():
        print(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


def export(invocation: Invocation) -> int:
    from wardian.cli.output_file import check_output
    from wardian.cli.whole_file import write_pieces, write_whole

    path = invocation.text("output")
    if not path and os.isatty(1):
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if path:
        check_output(path, "export container")
    with invocation.client.stream("GET", f"/containers/{path_name(invocation.args[0])}/export") as stream:
        if path:
            write_whole(stream.chunks(), path)
        else:
            write_pieces(1, stream.chunks())
    return 0


def commit(invocation: Invocation) -> int:
    name = path_name(invocation.args[0])
    reference = invocation.args[1] if len(invocation.args) > 1 else ""
    repository = tag = None
    if reference:
        from wardian.cli.references import parse_name

        parse_name(reference)
        head, colon, last = reference.rpartition(":")
        repository, tag = (head, last) if colon and "/" not in last else (reference, None)
    query = {
        "author": invocation.text("author") or None,
        "changes": invocation.words("change"),
        "comment": invocation.text("message") or None,
        "container": name,
        "pause": "1" if invocation.flag("pause") else "0",
        "repo": repository,
        "tag": tag,
    }
    answer = invocation.client.call("POST", "/commit", query=query)
    assert isinstance(answer, dict)
    print(answer["Id"])
    return 0


DIFF = Command(diff, "CONTAINER", least=1, most=1)
EXPORT = Command(
    export, "[OPTIONS] CONTAINER", (Flag("output", "o", "string", "", "Write to this file"),), least=1, most=1
)
COMMIT = Command(
    commit,
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    (
        Flag("author", "a", "string", "", "Who made it"),
        Flag("change", "c", "list", "", "Apply an instruction of Dockerfiles to the image"),
        Flag("message", "m", "string", "", "Note in the image's history"),
        Flag("pause", "p", "bool", "", "Freeze the container meanwhile", True),
    ),
    least=1,
    most=2,
)
