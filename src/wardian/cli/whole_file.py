"""Files that have their name once they are whole: whoever reads meets the one before or this one."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def write_whole(pieces: Iterable[bytes], path: str, mode: int = 0o600, durable: bool = False) -> None:
    """A new file of `pieces` under `path`. `durable`: it is on disk before it takes the place of the one before."""
    part = f"{path}.{os.getpid()}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_pieces(fd, pieces)
            if durable:
                os.fsync(fd)
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
