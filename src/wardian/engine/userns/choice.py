"""Which user namespace a container gets: `--userns` for one, `--userns-remap` for all of an engine's.

    ""               as the engine: the host's, or with userns-remap what that maps
    host             the host's, whatever the engine does
    private          what userns-remap maps, or else all ids of the host's "containers" (or dockremap) in subuid(5)
    auto[:size=N]    N ids (65536) of those that no other container has
    keep-id          whoever asks has his own ids inside, and the others are his subordinate ones

The mapping is settled once, when the container is created, and is its own from then on: its files have those ids.
Names and numbers of users may be a directory server's (nsswitch.conf(5)), so they are asked for in a thread: of
--userns-remap when the engine starts, of keep-id at each create.
"""

import contextlib
import os
import pwd
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from wardian.caller import caller
from wardian.engine.deadline import At, look
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST, IDS
from wardian.engine.parts import Parts
from wardian.engine.userns import subordinate
from wardian.engine.userns.subordinate import MOST, Span
from wardian.errors import INVALID, WardianError
from wardian.home import Home
from wardian.kernel.mounts import Mount
from wardian.storage import IdMap

Answer = TypeVar("Answer")

_USERS = "the database of users (nsswitch.conf(5))"
_AUTO_SIZE = 65536
_MODE = HOST + "UsernsMode"
_CALLER = re.compile(r"uid (\d+) pid ")


async def settle_user_namespace(parts: Parts, values: dict[str, Any]) -> None:
    """Writes the container's own mapping into `values`, and refuses what does not go with one, in Docker's words."""
    config = ContainerConfig(values)
    mode, _, words = config[_MODE].partition(":")
    if mode == "host" or (not mode and not parts.home.userns_remap):
        return
    _refuse_conflicts(config)
    if mode in ("", "private"):
        found = parts.remap or _of_the_host(parts)
    elif mode == "auto":
        found = _unshared(parts, _size(words))
    else:
        found = await _kept(parts, values)
    values[IDS] = {"uids": [list(row) for row in found.uids], "gids": [list(row) for row in found.gids]}


@contextlib.contextmanager
def promised_ids(parts: Parts, config: ContainerConfig) -> Iterator[None]:
    """From the choice of a container's ids until it is known: another create may come between."""
    ids = ids_of(config)
    parts.promised_ids.append(ids)
    try:
        yield
    finally:
        parts.promised_ids.remove(ids)


async def find_remap(home: Home) -> IdMap | None:
    """What `--userns-remap` says; None without it. Raises WardianError."""
    asked = home.userns_remap
    return await _of_users(lambda: subordinate.remapped(asked, home.subids), "userns-remap") if asked else None


async def _of_users(question: Callable[[], Answer], operation: str) -> Answer:
    """What the host's database of users says: getpwnam(3) and its like know no deadline."""

    def job(at: At) -> Answer:
        at(_USERS)
        return question()

    return await look(job, operation, _USERS)


def ids_of(config: ContainerConfig) -> IdMap:
    """A container's own mapping; without ranges when it has the host's ids."""
    found = config[IDS]
    if not found:
        return IdMap()
    return IdMap(*(tuple((row[0], row[1], row[2]) for row in found[kind]) for kind in ("uids", "gids")))


def own_upper(upper: str, ids: IdMap) -> None:
    """The container's / and what the engine put there belong to its root. One that it gave to another stays his."""
    if not ids.uids:
        return
    for path in (upper, os.path.join(upper, ".dockerenv")):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if (status.st_uid, status.st_gid) == (0, 0):
            os.chown(path, *ids.outside(0, 0), follow_symlinks=False)


def own_files(config: ContainerConfig, ids: IdMap) -> None:
    """hosts, hostname, resolv.conf: the container's root writes them."""
    if not ids.uids:
        return
    for name in ("hostname", "hosts", "resolv.conf", "localtime"):
        with contextlib.suppress(FileNotFoundError):
            os.chown(os.path.join(config.directory, name), *ids.outside(0, 0), follow_symlinks=False)


def mapped(parts: Parts, root: Mount, ids: IdMap) -> Mount:
    """A root whose layers, which all containers share, are seen with the container's ids."""
    return root._replace(mapped=parts.home.layers) if ids.uids else root


def _refuse_conflicts(config: ContainerConfig) -> None:
    if config[HOST + "Privileged"]:
        message = "privileged mode is incompatible with user namespaces.  You must run the container in the host "
        raise _invalid("Privileged", message + "namespace when running privileged mode")
    if config[HOST + "NetworkMode"] == "host":
        message = "cannot share the host's network namespace when user namespaces are enabled"
        raise _invalid("NetworkMode", message)
    if config[HOST + "PidMode"] == "host":
        raise _invalid("PidMode", "cannot share the host PID namespace when user namespaces are enabled")


def _invalid(field: str, message: str, hint: str = "") -> WardianError:
    return WardianError(INVALID, message, operation="create", subject=HOST + field, hint=hint)


def _of_the_host(parts: Parts) -> IdMap:
    return subordinate.mapped_from_zero(*_given(parts, *subordinate.AUTO))


def _given(parts: Parts, *names: str) -> tuple[list[Span], list[Span]]:
    """The ranges of the first of these that has some in both files."""
    for name in names:
        uids = subordinate.spans(parts.home.subids, "subuid", name)
        gids = subordinate.spans(parts.home.subids, "subgid", name)
        if uids and gids:
            return uids, gids
    known = " or ".join(names)
    message = f"no subordinate ids for a user namespace: {parts.home.subids}/subuid and subgid have none for {known}"
    raise _invalid("UsernsMode", message, f"a line {names[0]}:100000:1000000 in both")


def _size(words: str) -> int:
    key, _, value = words.partition("=")
    if not words:
        return _AUTO_SIZE
    if key != "size" or not value.isdigit() or not 0 < int(value) < MOST:
        raise _invalid("UsernsMode", f"invalid option of --userns auto: {words!r} (size=N is built)")
    return int(value)


def _unshared(parts: Parts, size: int) -> IdMap:
    """Ids that no other container has, running or not: its files have them."""
    maps = [*(ids_of(one.config) for one in parts.registry), *parts.promised_ids]
    maps += [parts.remap] if parts.remap is not None else []
    found = []
    for given, kind in zip(_given(parts, *subordinate.AUTO), ("uids", "gids"), strict=True):
        taken = [(row[1], row[2]) for one in maps for row in getattr(one, kind)]
        first = subordinate.free_span(given, taken, size)
        if first < 0:
            hint = f"more of them in {parts.home.subids}/subuid and subgid, or --userns auto:size=N"
            raise _invalid("UsernsMode", f"no {size} subordinate ids are left for a user namespace of its own", hint)
        found.append(((0, first, size),))
    return IdMap(*found)


async def _kept(parts: Parts, values: dict[str, Any]) -> IdMap:
    """Podman's: for root all ids are what they are; else one hole in the subordinate range. He is the user, too."""
    asked = caller()
    found = _CALLER.match(asked)
    if asked and not found:
        raise _invalid("UsernsMode", f"--userns keep-id: {asked} has no user id on this host")
    uid = int(found[1]) if found else 0
    if uid == 0:
        return IdMap(((0, 0, MOST - 1),), ((0, 0, MOST - 1),))
    names, gid = await _of_users(partial(_names, uid), "create")
    uids, gids = _given(parts, *names, *subordinate.AUTO)
    values.setdefault("User", f"{uid}:{gid}")
    return IdMap(_with_own(uids[0], uid), _with_own(gids[0], gid))


def _names(uid: int) -> tuple[list[str], int]:
    """By which the user is in subuid(5), and his group."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return [str(uid)], uid
    return [entry.pw_name, str(uid)], entry.pw_gid


def _with_own(given: Span, own: int) -> tuple[tuple[int, int, int], ...]:
    first, size = given
    if first <= own < first + size:
        raise _invalid("UsernsMode", f"--userns keep-id: id {own} is among the subordinate ids {first}+{size}")
    below = min(own, size)
    rows = ((0, first, below), (own, own, 1), (own + 1, first + below, size - below))
    return tuple(row for row in rows if row[2])
