"""Which engine a command talks to, and how: `-H`, then WARDIAN_HOST, then DOCKER_HOST, then the default Home's socket.

    unix:///path                a socket of this host; the default one's engine is started when none runs
    tcp://host:port             with TLS (--tlsverify, --tls, DOCKER_TLS_VERIFY), or bare to an engine that allows it
    ssh://[user@]host[:port]    the command there carries our bytes (`wardian system dial-stdio`)

Whatever it is, what a connection gives is one ordinary socket: TLS and ssh are behind the other end of a pair.
"""

import _socket
import os

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.home import Home, make_home

_PLAIN_PORT, _TLS_PORT = 2375, 2376


class TlsFiles:
    """The files of a TLS client; "" for what is not given. Without `verify` any server is believed."""

    __slots__ = ("authority", "certificate", "key", "verify")

    def __init__(self, authority: str = "", certificate: str = "", key: str = "", verify: bool = True) -> None:
        self.authority = authority
        self.certificate = certificate
        self.key = key
        self.verify = verify


class Target:
    """An engine that connections are made to. `home` is the Home whose engine may be started when none listens at its
    socket (None: not ours to start); `trouble` is what a transport learned of why a connection ended."""

    __slots__ = ("home", "socket", "trouble")

    def __init__(self, socket: str, home: "Home | None" = None) -> None:
        self.socket = socket
        self.home = home
        self.trouble = ""

    def __str__(self) -> str:
        return f"unix://{self.socket}"

    def connect(self) -> _socket.socket:
        """A connected socket. Raises OSError, or WardianError that says more."""
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            sock.connect(self.socket)
        except BaseException:
            sock.close()
            raise
        return sock


class TcpTarget(Target):
    """An engine behind TCP; `tls` None: bare."""

    __slots__ = ("host", "port", "tls")

    def __init__(self, host: str, port: int, tls: TlsFiles | None) -> None:
        super().__init__("")
        self.host = host
        self.port = port
        self.tls = tls

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    def connect(self) -> _socket.socket:
        from wardian.client.tcp import dial

        return dial(self)


class SshTarget(Target):
    """An engine of a host that ssh(1) reaches; `words` are ssh's arguments up to and with the host."""

    __slots__ = ("path", "url", "words")

    def __init__(self, url: str, words: list[str], path: str) -> None:
        super().__init__("")
        self.url = url
        self.words = words
        self.path = path

    def __str__(self) -> str:
        return self.url

    def connect(self) -> _socket.socket:
        from wardian.client.ssh import dial

        return dial(self)


def choose_target(host: str = "", tls: TlsFiles | None = None) -> Target:
    """The target that `-H HOST` and the environment name. Raises WardianError for what is none."""
    home = make_home()
    for text in (host, os.environ.get("WARDIAN_HOST", ""), os.environ.get("DOCKER_HOST", "")):
        if text:
            return _parse(text, tls, home)
    return Target(home.socket, home)


def _parse(host: str, tls: TlsFiles | None, home: Home) -> Target:
    scheme, separator, rest = host.partition("://")
    if not separator:
        if host.startswith("/"):
            return _unix(host, home)
        raise _invalid(host, f"unable to parse docker host `{host}`", "an engine is named as unix:///path/to/socket")
    if scheme == "unix":
        if not rest.startswith("/"):
            raise _invalid(host, f"a socket's path must be absolute: {host}")
        return _unix(rest, home)
    if scheme == "tcp":
        return _tcp(host, rest, tls)
    if scheme == "ssh":
        return _ssh(host, rest)
    raise WardianError(
        NOT_IMPLEMENTED,
        f"{scheme}:// engines are not known to Wardian: {host}",
        operation="choose engine",
        subject=host,
        hint="unix://, tcp:// and ssh:// are",
    )


def _invalid(host: str, message: str, hint: str = "") -> WardianError:
    return WardianError(INVALID, message, operation="choose engine", subject=host, hint=hint)


def _unix(path: str, home: Home) -> Target:
    return Target(path, home if path == home.socket else None)


def _split_port(host: str, authority: str) -> tuple[str, int]:
    """(host, port or 0); an IPv6 address is in brackets (RFC 3986 section 3.2.2)."""
    if authority.startswith("["):
        name, bracket, rest = authority[1:].partition("]")
        port = rest.removeprefix(":")
        if not bracket or (rest and not rest.startswith(":")):
            raise _invalid(host, f"unable to parse docker host `{host}`")
    else:
        name, _, port = authority.partition(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise _invalid(host, f"invalid port in docker host `{host}`")
    return name, int(port or 0)


def _tcp(host: str, rest: str, tls: TlsFiles | None) -> TcpTarget:
    name, port = _split_port(host, rest.partition("/")[0])
    return TcpTarget(name or "localhost", port or (_TLS_PORT if tls else _PLAIN_PORT), tls)


def _ssh(host: str, rest: str) -> SshTarget:
    """docker's spelling; a path names the socket there. A host or a user that begins with a dash would be an option."""
    authority, slash, path = rest.partition("/")
    user, at, machine = authority.rpartition("@")
    name, port = _split_port(host, machine)
    if not name or name.startswith("-") or user.startswith("-") or (at and not user):
        raise _invalid(host, f"invalid ssh address `{host}`", "ssh://[user@]host[:port]")
    if ":" in user:
        raise _invalid(host, f"plain-text password is not supported: ssh://{user.partition(':')[0]}:…@{name}")
    words = [*(["-l", user] if user else []), *(["-p", str(port)] if port else []), "-o", "ConnectTimeout=30"]
    return SshTarget(host, [*words, "-T", "--", name], slash + path if path else "")
