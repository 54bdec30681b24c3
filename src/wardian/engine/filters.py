"""Filters of the list calls: dict[str, list[str]], as the server made them of the API's two spellings."""

from collections.abc import Iterable, Mapping

from wardian.errors import INVALID, WardianError
from wardian.moments import unix_moment

Filters = dict[str, list[str]]


def check_filters(filters: Filters, known: Iterable[str]) -> None:
    """Raises WardianError(INVALID) in docker's words for a key that this call does not know."""
    for key in filters:
        if key not in known:
            raise WardianError(INVALID, f"invalid filter '{key}'", operation="list", subject=key)


def matches_label(labels: Mapping[str, str], text: str) -> bool:
    """`key` or `key=value`."""
    key, sign, value = text.partition("=")
    return key in labels and (not sign or labels[key] == value)


def boolean(filters: Filters, key: str) -> bool | None:
    """The value of a yes-or-no filter, None when it is not there."""
    values = filters.get(key)
    if not values:
        return None
    if values[0].lower() in ("1", "true", "t"):
        return True
    if values[0].lower() in ("0", "false", "f"):
        return False
    raise WardianError(INVALID, f"invalid filter '{key}={values[0]}'", operation="list", subject=key)


def until(filters: Filters, operation: str) -> float | None:
    """The moment of `until`, in unix seconds; None when it is not there. Raises INVALID in Docker's words."""
    values = filters.get("until", [])
    if not values:
        return None
    if len(values) > 1:
        message = "more than one until filter specified"
    else:
        moment = unix_moment(values[0])
        if moment is not None:
            return moment
        message = f'failed to parse value as time or duration: "{values[0]}"'
    raise WardianError(INVALID, message, operation=operation, subject="until")
