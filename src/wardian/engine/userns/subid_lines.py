"""The lines of dockremap in subuid(5) and subgid(5), made where they are not there, as by Docker's `--userns-remap
default`. Docker makes a user of that name, too; the files need none, and none is made."""

import errno
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from wardian.engine.userns.subordinate import REMAP_DEFAULT, Span, all_spans, free_span, spans
from wardian.errors import SYSTEM, UNAVAILABLE, WardianError
from wardian.storage import sync_directory

log = logging.getLogger(__name__)

_FILES = ("subuid", "subgid")
_SIZE = 65536
_RANGE: Span = (100_000, 600_000_000)  # login.defs(5): SUB_UID_MIN, SUB_UID_MAX
_SECONDS = 15.0  # as lckpwdf(3) waits


def ensure_default(directory: str) -> None:
    """Nothing is done when both files have lines of dockremap. Raises WardianError."""
    if all(spans(directory, file, REMAP_DEFAULT) for file in _FILES):
        return
    try:
        with _locked(directory):
            missing = [file for file in _FILES if not spans(directory, file, REMAP_DEFAULT)]
            first = free_span([_RANGE], [one for file in _FILES for one in all_spans(directory, file)], _SIZE)
            if first < 0:
                raise OSError(errno.ENOSPC, f"no {_SIZE} ids are left", directory)
            for file in missing:
                _append(os.path.join(directory, file), f"{REMAP_DEFAULT}:{first}:{_SIZE}\n")
    except OSError as error:
        message = f"no subordinate ids for {REMAP_DEFAULT}, and none can be given: {error}"
        hint = f"a line {REMAP_DEFAULT}:100000:65536 in {directory}/subuid and in {directory}/subgid"
        raise WardianError(SYSTEM, message, operation="userns-remap", subject=directory, hint=hint) from error
    log.info("ids %d to %d were given to %s in %s", first, first + _SIZE - 1, REMAP_DEFAULT, " and ".join(missing))


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """useradd(8) and its like exclude each other so (lckpwdf(3)): a record lock, which ends with its holder."""
    fd = os.open(os.path.join(directory, ".pwd.lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + _SECONDS
        while not _lock(fd):
            if time.monotonic() > end:
                message = f"another program has been changing the users of {directory} for {_SECONDS:g} s"
                raise WardianError(UNAVAILABLE, message, operation="userns-remap", subject=directory)
            time.sleep(0.05)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def _append(path: str, line: str) -> None:
    """Whole under its name, or as it was: whoever reads it sees the one or the other."""
    try:
        with open(path, "rb") as file:
            before, mode = file.read(), os.fstat(file.fileno()).st_mode & 0o7777
    except FileNotFoundError:
        before, mode = b"", 0o644
    if before and not before.endswith(b"\n"):
        before += b"\n"
    temporary = f"{path}.{secrets.token_hex(4)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as new:
            new.write(before + line.encode())
            new.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))
