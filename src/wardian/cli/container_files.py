"""`diff`, `export`, `commit`: what a container changed, its files as an archive, an image of them."""

from __future__ import annotations

import os

from wardian.cli.command import Command, Failure, path_name
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wardian.cli.command import Invocation

_KINDS = "CAD"


def diff(invocation: Invocation) -> int:
    changes = invocation.client.call("GET", f"/containers/{path_name(invocation.args[0])}/changes")
    for change in changes if isinstance(changes, list) else ():
        print(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


def export(invocation: Invocation) -> int:
    path = invocation.text("output")
    if not path and os.isatty(1):
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if path:
        _check_output(path)
    with invocation.client.stream("GET", f"/containers/{path_name(invocation.args[0])}/export") as stream:
        if path:
            _write_whole(stream.chunks(), path)
        else:
            for piece in stream.chunks():
                _write(1, piece)
    return 0


def _write_whole(pieces: Iterable[bytes], path: str) -> None:
    """A file under its name once it is whole."""
    part = f"{path}.{os.getpid()}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            for piece in pieces:
                _write(fd, piece)
        finally:
            os.close(fd)
        os.rename(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _check_output(path: str) -> None:
    parent = os.path.dirname(os.path.normpath(path))
    if parent and not os.path.isdir(parent):
        raise Failure(f'failed to export container: invalid output path: directory "{parent}" does not exist')
    if os.path.exists(path) and not os.path.isfile(path):
        raise Failure(f'failed to export container: invalid output path: "{path}" must be a regular file')


def _write(fd: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(fd, view) :]


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
        Flag("pause", "p", "bool", "true", "Freeze the container meanwhile"),
    ),
    least=1,
    most=2,
)
