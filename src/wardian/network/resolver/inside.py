"""Sockets in the namespace of a sandbox (setns(2)), for servers that are to be asked from in there.

This process has one thread. It enters, opens, and goes back before anything else happens; when it cannot go back, it
ends at once, as it would ask for everybody from the wrong network, and the engine starts another.
"""

import ctypes
import fcntl
import functools
import os
import socket
import sys
from collections.abc import Callable

_SIOCGSKNS = 0x894C  # linux/sockios.h: a descriptor of the namespace that a socket belongs to
_CLONE_NEWNET = 0x40000000


def socket_beside(neighbour: socket.socket, family: int, kind: int) -> socket.socket:
    """A new socket in the namespace of `neighbour`. Raises OSError."""
    there = fcntl.ioctl(neighbour.fileno(), _SIOCGSKNS)
    try:
        _setns()(there)
    finally:
        os.close(there)
    try:
        return socket.socket(family, kind)
    finally:
        _go_home()


def _go_home() -> None:
    try:
        _setns()(_home())
    except BaseException as error:
        print(f"cannot leave a sandbox's network namespace: {error}", file=sys.stderr, flush=True)
        os._exit(1)


@functools.cache
def _home() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@functools.cache
def _setns() -> Callable[[int], None]:
    """Also opens this process's own namespace, while it is in it."""
    _home()
    function = ctypes.CDLL(None, use_errno=True).setns  # Python's own os.setns came with 3.12

    def enter(namespace: int) -> None:
        if function(namespace, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, f"setns: {os.strerror(code)}")

    return enter
