"""Who is at the other end of a connection, and which classes of operations they may ask for.

A unix socket's peer is known by SO_PEERCRED (unix(7)): what the kernel saw at connect(2). A TLS peer is known by the
name in its certificate. Without a policy, whoever may open the socket may do everything; `--allow` narrows that.
"""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wardian.errors import FORBIDDEN, INVALID, WardianError
from wardian.kernel import procfs
from wardian.server.routes import ADMIN, BUILD, PUSH, READ, RUN, Route

_UCRED = struct.Struct("iII")
_CLASSES = frozenset((READ, RUN, BUILD, PUSH, ADMIN))
_EVERYBODY = "*"
_KINDS = frozenset(("tls", "user"))


class Caller(NamedTuple):
    """`name` is the TLS certificate's; "" for a peer of a unix socket, of which the numbers are true."""

    pid: int
    uid: int
    gid: int
    name: str = ""
    address: str = ""

    def __str__(self) -> str:
        """uid 1000 pid 77 (docker), or tls alice from 10.0.0.7"""
        if self.name or self.address:
            return f"tls {self.name or '?'} from {self.address}"
        program = _program(self.pid)
        return f"uid {self.uid} pid {self.pid}" + (f" ({program})" if program else "")


class Told:
    """A caller in words, which are found when somebody asks for them first: its program's name is a file's content."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @functools.cached_property
    def _text(self) -> str:
        return str(self._caller)

    def __str__(self) -> str:
        return self._text


def peer(sock: socket.socket) -> Caller:
    """The process at the other end of a connected unix socket."""
    return Caller(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))


def _program(pid: int) -> str:
    """Its command name, for people only: the process chose it. "" where it is gone, or in no namespace of ours."""
    if pid <= 0:
        return ""
    name = procfs.read(f"/proc/{pid}/comm").strip()
    return name if name.isprintable() else "".join(letter for letter in name if letter.isprintable())


class Policy:
    """Which access classes each caller has: names of certificates and of users, `*` for whoever is not named.

    Empty: everybody has all. Otherwise who is not named has nothing, and root on the unix socket has all in any case.
    """

    def __init__(self, allowed: Mapping[str, frozenset[str]]) -> None:
        self._allowed = allowed

    def asks_for_user(self, caller: Caller) -> bool:
        """Whether it depends on what the caller's user is called."""
        return bool(self._allowed.keys() - {_EVERYBODY}) and not caller.address and caller.uid != 0

    def check(self, caller: Caller, route: Route, user: str = "") -> None:
        """Raises WardianError(FORBIDDEN) when `caller` may not ask for this. `user`: their name on this host."""
        if not self._allowed or (caller.uid == 0 and not caller.address):
            return
        if route.access not in self._classes(caller, user):
            raise WardianError(
                FORBIDDEN,
                f"{caller} may not {route.method} {route.template}",
                operation="authorize",
                subject=str(caller),
                hint=f"operations of class {route.access} are not among what the engine's --allow gives",
            )

    def _classes(self, caller: Caller, user: str) -> frozenset[str]:
        name = caller.name if caller.address else user
        kind = "tls" if caller.address else "user"
        bare = name if name.partition(":")[0] not in _KINDS else ""  # a certificate may be called "user:root"
        for key in (f"{kind}:{name}", bare, _EVERYBODY):
            if key in self._allowed:
                return self._allowed[key]
        return frozenset()


def read_policy(texts: Iterable[str]) -> Policy:
    """`NAME=read,run` words, NAME also as `tls:NAME` or `user:NAME`. Raises WardianError(INVALID)."""
    allowed: dict[str, frozenset[str]] = {}
    for text in texts:
        name, found, words = text.rpartition("=")
        classes = frozenset(words.split(","))
        if not found or not name or not classes <= _CLASSES:
            raise WardianError(
                INVALID,
                f"invalid --allow {text!r}",
                operation="serve",
                subject=text,
                hint=f"NAME={','.join(sorted(_CLASSES))}, or some of them",
            )
        allowed[name] = allowed.get(name, frozenset()) | classes
    return Policy(allowed)
