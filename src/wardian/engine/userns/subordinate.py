"""The ids that this host gives to user namespaces: subuid(5), subgid(5), and who of `--userns-remap` has which.

default          those of dockremap, as Docker calls it
USER[:GROUP]     by name or number; without a group the user's name is looked for in both files
"""

import grp
import os
import pwd
from collections.abc import Iterable, Sequence

from wardian.errors import INVALID, SYSTEM, WardianError
from wardian.storage import IdMap

Span = tuple[int, int]  # first id, how many
REMAP_DEFAULT = "dockremap"
AUTO = ("containers", REMAP_DEFAULT)  # whose ids --userns auto and private give away: Podman's name, then Docker's
MOST = 1 << 32


def spans(directory: str, file: str, *names: str) -> list[Span]:
    """What a file gives to a user: its lines name him, or his number."""
    return [(first, size) for name, first, size in _lines(directory, file) if name in names]


def all_spans(directory: str, file: str) -> list[Span]:
    """What a file gives to anybody."""
    return [(first, size) for _, first, size in _lines(directory, file)]


def _lines(directory: str, file: str) -> list[tuple[str, int, int]]:
    try:
        with open(os.path.join(directory, file), encoding="utf-8", errors="replace") as text:
            rows = [line.strip().split(":") for line in text]
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"cannot read {os.path.join(directory, file)}: {error.strerror}"
        raise WardianError(SYSTEM, message, operation="map ids", subject=file, errno=error.errno or 0) from error
    return [
        (row[0], int(row[1]), int(row[2]))
        for row in rows
        if len(row) == 3 and row[1].isdigit() and row[2].isdigit() and int(row[2])
    ]


def mapped_from_zero(uids: Sequence[Span], gids: Sequence[Span]) -> IdMap:
    """Docker's: the container's ids from 0 on are the ranges' ids, one range after the other."""
    return IdMap(_stacked(uids), _stacked(gids))


def _stacked(given: Iterable[Span]) -> tuple[tuple[int, int, int], ...]:
    rows, at = [], 0
    for first, size in given:
        rows.append((at, first, size))
        at += size
    return tuple(rows)


def remapped(asked: str, directory: str = "/etc") -> IdMap:
    """What `--userns-remap` stands for. Raises WardianError in Docker's words."""
    user, colon, group = asked.partition(":")
    if not user or ":" in group or (colon and not group):
        raise _refused(asked, f'invalid user/group specification in --userns-remap: "{asked}"')
    names: tuple[str, ...]
    groups: tuple[str, ...]
    if user == "default":
        user = group = REMAP_DEFAULT
        names, groups = (user,), (group,)
    else:
        names = _user(asked, user)
        groups = _group(asked, group) if group else names
    uids = spans(directory, "subuid", *names)
    if not uids:
        raise _refused(asked, f'Can\'t create ID mappings: no subuid ranges found for user "{user}"', directory)
    gids = spans(directory, "subgid", *groups) or spans(directory, "subgid", *names)
    if not gids:
        raise _refused(asked, f'Can\'t create ID mappings: no subgid ranges found for user "{user}"', directory)
    return mapped_from_zero(uids, gids)


def _user(asked: str, text: str) -> tuple[str, ...]:
    try:
        entry = pwd.getpwuid(int(text)) if text.isdigit() else pwd.getpwnam(text)
    except KeyError:
        if text.isdigit():
            raise _refused(asked, f"Uid {text} has no entry in /etc/passwd") from None
        raise _refused(asked, f'Error during uid lookup for "{text}": no such user') from None
    return entry.pw_name, str(entry.pw_uid)


def _group(asked: str, text: str) -> tuple[str, ...]:
    try:
        entry = grp.getgrgid(int(text)) if text.isdigit() else grp.getgrnam(text)
    except KeyError:
        if text.isdigit():
            raise _refused(asked, f"Gid {text} has no entry in /etc/group") from None
        raise _refused(asked, f'Error during gid lookup for "{text}": no such group') from None
    return entry.gr_name, str(entry.gr_gid)


def _refused(asked: str, message: str, directory: str = "") -> WardianError:
    name = REMAP_DEFAULT if asked == "default" else asked.partition(":")[0]
    hint = f"a line {name}:100000:65536 in {directory}/subuid and {directory}/subgid" if directory else ""
    return WardianError(INVALID, message, operation="userns-remap", subject=asked, hint=hint)


def free_span(given: Iterable[Span], taken: Iterable[Span], size: int) -> int:
    """The first id of `size` that nobody has, in the ranges that are given; -1 when there are none."""
    for first, many in given:
        at = first
        for start, length in sorted(taken):
            if start >= at + size:
                break
            at = max(at, start + length)
        if at + size <= first + many:
            return at
    return -1
