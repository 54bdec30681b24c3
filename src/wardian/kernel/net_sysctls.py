"""The files below /proc/sys/net, which show the network namespace of the thread that opens them, whoever mounted /proc.

The kernel keeps the names of all namespaces that were opened by one mount of /proc in one chain and compares them one
by one (proc_sys_compare): with 500 containers an open takes 1 ms, and the host's own `sysctl` too. What is done inside
goes therefore by a /proc of our own, attached nowhere, and after some namespaces by another.
"""

import os
import threading

from wardian.kernel import mounts

NAMESPACES = 32  # by one mount: so many names to compare, at most


class _Proc:
    """Closed when nobody uses it any more."""

    def __init__(self) -> None:
        try:
            self.fd = mounts.attach_detached(mounts.Mount("proc"))
        except OSError:  # in a container of somebody's, whose /proc is partly covered, none can be made
            self.fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


_lock = threading.Lock()
_shared: _Proc | None = None
_left = 0
_thread = threading.local()


def come_inside() -> None:
    """Of a thread that enters another namespace and ends there."""
    _thread.inside, _thread.proc = True, None


def write_sysctl(name: str, value: str) -> bool:
    """Write a file below /proc/sys/net of the calling thread's namespace; False when this kernel has no such file."""
    try:
        descriptor = _open(name, os.O_WRONLY)
    except FileNotFoundError:
        return False
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
    return True


def read_sysctl(name: str) -> str | None:
    """The text of a file below /proc/sys/net as the calling thread's namespace has it; None when there is none."""
    try:
        with open(_open(name, os.O_RDONLY)) as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def _open(name: str, flags: int) -> int:
    if not getattr(_thread, "inside", False):
        return os.open(f"/proc/sys/net/{name}", flags | os.O_CLOEXEC)
    if _thread.proc is None:
        _thread.proc = _proc_for_one_more()
    return os.open(f"sys/net/{name}", flags | os.O_CLOEXEC, dir_fd=_thread.proc.fd)


def let_go() -> None:
    """Of the mount that is there for the next namespaces: nobody is to make any."""
    global _shared
    with _lock:
        _shared = None


def _proc_for_one_more() -> _Proc:
    global _shared, _left
    with _lock:
        if _shared is None or not _left:
            _shared, _left = _Proc(), NAMESPACES
        _left -= 1
        return _shared
