"""How a network that cannot be is refused: as INVALID (400), or, where Docker says so, as FORBIDDEN (403)."""

from wardian.errors import FORBIDDEN, INVALID, WardianError


def invalid(message: str, subject: str = "") -> WardianError:
    return WardianError(INVALID, message, operation="create network", subject=subject)


def refused(message: str, subject: str = "") -> WardianError:
    return WardianError(FORBIDDEN, message, operation="create network", subject=subject)
