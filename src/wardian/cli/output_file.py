"""Where `export` and `save` write: a file that has its name once it is whole, or stdout."""

from __future__ import annotations

import os

from wardian.cli.command import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def check_output(path: str, action: str) -> None:
    """Before anything is asked for. Raises Failure in docker's words."""
    parent = os.path.dirname(os.path.normpath(path))
    if parent and not os.path.isdir(parent):
        raise Failure(f'failed to {action}: invalid output path: directory "{parent}" does not exist')
    if os.path.exists(path) and not os.path.isfile(path):
        raise Failure(f'failed to {action}: invalid output path: "{path}" must be a regular file')


def write_whole(pieces: Iterable[bytes], path: str) -> None:
    """A file under its name once it is whole."""
    part = f"{path}.{os.getpid()}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_pieces(fd, pieces)
        finally:
            os.close(fd)
        os.rename(part, path)
    except BaseException:
        os.unlink(part)
        raise


def write_pieces(fd: int, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]
