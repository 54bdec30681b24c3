"""Descriptors that are kept back: what ends and removes containers needs some, and without them nothing would ever get
better. So what would take more for long is refused while few are left."""

from wardian.errors import UNAVAILABLE, WardianError
from wardian.kernel import open_files

KEPT = 64


def refuse_without_descriptors(operation: str) -> None:
    """Raises WardianError(UNAVAILABLE) while fewer than KEPT are left."""
    left = open_files.left()
    if left < KEPT:
        message = f"the engine may open {max(left, 0)} more files, and keeps the last {KEPT} for stop and rm"
        hint = "remove containers, or start the engine with a higher limit of open files (ulimit -Hn, LimitNOFILE=)"
        raise WardianError(UNAVAILABLE, message, operation=operation, hint=hint)
