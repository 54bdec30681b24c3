"""`wardian-resolver DIRECTORY [GROUP…]`: answers names for one engine's networks, and outlives the engine.

DIRECTORY is the resolver's in the engine's run root. The engine hands over the control socket, already bound to
DIRECTORY/control.sock, as descriptor 3: it may connect before this process has begun. Without one (by hand) the socket
is made here. GROUPs are files of control groups to enter ("tasks", "cgroup.procs"). The process ends when it is told
to, and when its socket's name is gone or another's: then the engine's home was removed, or a later resolver serves it.
"""

import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

from .loop import Loop
from .privileges import give_up
from .service import Service

CONTROL = "control.sock"
HANDED_OVER = 3
_LOOK_SECONDS = 2.0
_MOST_DESCRIPTORS = 65536
_USAGE = "usage: wardian-resolver DIRECTORY [GROUP…]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status, when the process is to end."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0].startswith("-"):
        print(_USAGE, file=sys.stderr)
        return 2
    directory = os.path.abspath(arguments[0])
    _settle(arguments[1:])
    os.makedirs(directory, mode=0o700, exist_ok=True)
    control = _handed_over() or _listen(os.path.join(directory, CONTROL))
    loop = Loop()
    Service(loop, directory, control)
    _watch_over(loop, os.path.join(directory, CONTROL))
    give_up()  # the directory is root's alone: what is needed of it is open now
    gc.freeze()  # what is here stays: no collection needs to look at it
    loop.run()
    return 0


def _settle(groups: Sequence[str]) -> None:
    """Own session and groups, no signals of a terminal's, the root as directory: nothing of whoever started this."""
    if os.getpid() != os.getsid(0):
        try:
            os.setsid()
        except PermissionError:  # leads a process group already: a shell started it
            pass
    os.chdir("/")
    os.umask(0o077)
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once and in silence: there is nothing to put in order
    for path in groups:
        with open(path, "w") as file:
            file.write("0")
    with open("/proc/self/comm", "w") as file:
        file.write("wardian-resolve")  # 15 bytes (proc_pid_comm(5))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _handed_over() -> socket.socket | None:
    try:
        control = socket.socket(fileno=HANDED_OVER)
    except OSError:  # nothing there, or no socket
        return None
    if control.family != socket.AF_UNIX or not control.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        control.detach()
        return None
    control.set_inheritable(False)
    return control


def _listen(path: str) -> socket.socket:
    """Raises OSError, EADDRINUSE when something has the name."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.bind(path)
    control.listen()
    return control


def _watch_over(loop: Loop, path: str) -> None:
    """A look every so often, whether the name that the socket was bound to is still its own."""
    ours = _held(path)

    def look() -> None:
        if ours < 0 or not os.fstat(ours).st_nlink:
            loop.running = False
        else:
            loop.after(_LOOK_SECONDS, look)

    look()


def _held(path: str) -> int:
    """A descriptor by which an inode's names can be counted; -1 when it has none any more."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return -1
