"""What a failed operation looks like to a client: the error it is told as, and the one log line."""

import logging

import msgspec

from wardian.errors import INVALID, SYSTEM, WardianError

log = logging.getLogger("wardian.server")


def explain_error(error: BaseException) -> WardianError:
    """Any exception of a handler as the error that a client is told."""
    if isinstance(error, WardianError):
        return error
    if isinstance(error, msgspec.DecodeError | msgspec.ValidationError):
        return WardianError(INVALID, f"invalid JSON: {error}", operation="decode")
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        text = f"{error.strerror.lower()}{where}" if error.strerror else str(error)
        return WardianError(SYSTEM, text, errno=error.errno or 0)
    return WardianError(SYSTEM, f"internal error: {type(error).__name__}: {error}")


def log_error(what: str, error: BaseException) -> None:
    """Once, at the boundary. What a client did wrong is no trouble of ours; a surprise comes with its traceback."""
    if isinstance(error, msgspec.DecodeError | msgspec.ValidationError):
        error = explain_error(error)
    if isinstance(error, WardianError):
        level = logging.ERROR if error.kind == SYSTEM else logging.DEBUG
        log.log(level, "%s: %s: %s", what, error.kind, error)
    elif isinstance(error, OSError):
        log.error("%s: %s", what, error)
    else:
        log.error("%s: %s", what, error, exc_info=error)
