"""`--link NAME[:ALIAS]`: how a container calls another. Pure."""

import re

from wardian.errors import INVALID, WardianError

# An alias stands in /etc/hosts and in the names of environment variables.
_ALIAS = re.compile(r"[^\s\x00-\x1f\x7f/=:]+")


def read_link(text: str) -> tuple[str, str]:
    """The other's name, and what it is called. `/db:/web/alias`, which inspect shows, is `db:alias`. Raises INVALID in
    Docker's words."""
    if not text:
        raise _invalid("empty string specified for links", text)
    name, *rest = text.split(":")
    alias = rest[0] if rest else name
    if name.startswith("/"):
        name, alias = name[1:], alias.rpartition("/")[2]
    if len(rest) > 1 or not _ALIAS.fullmatch(alias):
        raise _invalid(f"bad format for links: {text}", text)
    return name, alias


def _invalid(message: str, subject: str) -> WardianError:
    return WardianError(INVALID, message, operation="link", subject=subject)
