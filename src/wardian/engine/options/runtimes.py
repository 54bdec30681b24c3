"""The names by which clients ask for a runtime. There is one, ours; runc's names stand for it, as scripts, compose
files and clients written for Docker have them."""

from typing import Any

from wardian.errors import INVALID, WardianError

DEFAULT = "wardian"
NAMES = (DEFAULT, "runc", "io.containerd.runc.v2")
_PROGRAM = "wardian-runtime"


def check_runtime(value: Any, path: str) -> str:
    """Raises WardianError in Docker's words."""
    if value not in NAMES:
        message = f"unknown or invalid runtime name: {value}"
        hint = f"known are {', '.join(NAMES)}: all are the runtime of Wardian itself"
        raise WardianError(INVALID, message, operation="create", subject=path, hint=hint)
    return str(value)


def described() -> dict[str, Any]:
    """As `info` has them."""
    return {"Runtimes": {name: {"path": _PROGRAM} for name in NAMES}, "DefaultRuntime": DEFAULT}
