"""`--link NAME[:ALIAS]`: how a container calls another. Pure."""

import re
from collections.abc import Iterable

from wardian.errors import INVALID, WardianError

# An alias stands in /etc/hosts and in the names of environment variables.
_ALIAS = re.compile(r"[!-.0-9;<>-~]+")
# One message to the resolver holds them all (resolver/protocol.MOST_BYTES), each under two names.
_MOST_BYTES = 48 * 1024
_BESIDE = 80  # the network's id, quotes
LONGEST_DOMAIN = 63


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


def check_links(links: Iterable[str]) -> None:
    """Of one container on all its networks. Raises INVALID when they are more than the resolver can be told."""
    if sum(2 * (_BESIDE + len(text)) + LONGEST_DOMAIN for text in links) > _MOST_BYTES:
        raise _invalid(f"too many links: the resolver is told {_MOST_BYTES >> 10} KiB of a container's", "Links")


def _invalid(message: str, subject: str) -> WardianError:
    return WardianError(INVALID, message, operation="link", subject=subject)
