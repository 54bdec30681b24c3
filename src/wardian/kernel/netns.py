"""Network namespaces by descriptor: network_namespaces(7), unshare(2), setns(2).

A namespace belongs to a thread, not to a process. Everything here that enters another one does it in a short-lived
thread of its own that never comes back to the host's: whatever fails inside, no thread that others use is left in the
wrong network. What was opened there (a socket, a file below /proc/sys/net) stays bound to where it was opened.
"""

import errno
import os
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from wardian.kernel import net_sysctls, pidfd
from wardian.kernel.net_sysctls import read_sysctl, write_sysctl
from wardian.kernel.syscalls import call_libc

__all__ = ["create", "current", "enter", "of_process", "read_sysctl", "run_inside", "unshare", "write_sysctl"]

CLONE_NEWNET = 0x40000000

_T = TypeVar("_T")


def unshare() -> None:
    """Move the calling thread into a new network namespace, in which only lo exists and is down."""
    call_libc("unshare", CLONE_NEWNET, subject="a new network namespace")


def enter(netns: int) -> None:
    """Move the calling thread into the namespace of descriptor `netns`."""
    call_libc("setns", netns, CLONE_NEWNET, subject="a network namespace")


def current() -> int:
    """A descriptor of the calling thread's network namespace. The caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def of_process(pid: int, start_time: int) -> int:
    """A descriptor of the namespace of exactly this process. Raises ProcessLookupError. The caller closes it.

    A pid may be given to another process at any moment: that ours still had it after the descriptor was opened, its
    pidfd says (pidfd_open(2)).
    """
    process = os.pidfd_open(pid)
    try:
        if not pidfd.same_process(pid, start_time):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), f"/proc/{pid}")
        try:
            netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:  # it ended and waits for its parent: it has no namespaces any more
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), f"/proc/{pid}") from error
        try:
            signal.pidfd_send_signal(process, 0)
        except BaseException:
            os.close(netns)
            raise
        return netns
    finally:
        os.close(process)


def run_inside(netns: int, work: Callable[[], _T]) -> _T:
    """What `work` returns or raises, called in the namespace `netns`. Returns when it is done."""

    def inside() -> _T:
        enter(netns)
        return work()

    return _in_own_thread(inside)


def create(prepare: Callable[[], _T]) -> tuple[int, _T]:
    """Make a namespace; returns its descriptor and what `prepare`, called inside it, returned."""

    def inside() -> tuple[int, _T]:
        unshare()
        result = prepare()
        return current(), result

    return _in_own_thread(inside)


def _in_own_thread(work: Callable[[], _T]) -> _T:
    results: list[_T] = []
    errors: list[BaseException] = []

    def body() -> None:
        net_sysctls.come_inside()
        try:
            results.append(work())
        except BaseException as error:  # carried to the caller's thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
