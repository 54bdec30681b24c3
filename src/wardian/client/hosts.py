"""Which socket a command talks to: `-H`, then WARDIAN_HOST, then DOCKER_HOST, then the default Home's."""

import os

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.home import Home, make_home


class Target:
    """A unix socket, and the Home whose engine may be started when none listens there (None: not ours to start)."""

    __slots__ = ("home", "socket")

    def __init__(self, socket: str, home: "Home | None" = None) -> None:
        self.socket = socket
        self.home = home

    def __str__(self) -> str:
        return f"unix://{self.socket}"


def choose_target(host: str = "") -> Target:
    """The target that `-H HOST` and the environment name. Raises WardianError for a scheme that is not built."""
    home = make_home()
    for text in (host, os.environ.get("WARDIAN_HOST", ""), os.environ.get("DOCKER_HOST", "")):
        if text:
            socket = _unix_path(text)
            return Target(socket, home if socket == home.socket else None)
    return Target(home.socket, home)


def _unix_path(host: str) -> str:
    scheme, separator, rest = host.partition("://")
    if not separator:
        if host.startswith("/"):
            return host
        raise WardianError(
            INVALID,
            f"unable to parse docker host `{host}`",
            operation="choose engine",
            subject=host,
            hint="an engine is named as unix:///path/to/socket",
        )
    if scheme != "unix":
        raise WardianError(
            NOT_IMPLEMENTED,
            f"{scheme}:// engines are not built yet in Wardian: {host}",
            operation="choose engine",
            subject=host,
            hint="use a unix:// socket",
        )
    if not rest.startswith("/"):
        raise WardianError(
            INVALID, f"a socket's path must be absolute: {host}", operation="choose engine", subject=host
        )
    return rest
