"""A file system that answers nobody from a moment on: FUSE whose server takes requests and keeps them (linux/fuse.h).

What it has taken cannot be taken back: whoever asked sleeps in the kernel, and no signal ends that (state D), until the
server is gone.
"""

import contextlib
import errno
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import needs
from wardian.kernel.syscalls import call_libc

_IN = struct.Struct("=IIQQIIII")  # fuse_in_header: len opcode unique nodeid uid gid pid padding
_OUT = struct.Struct("=IiQ")  # fuse_out_header: len error unique
_GETATTR, _INIT = 3, 26
_MNT_FORCE, _MNT_DETACH = 1, 2
_MS_NOSUID_NODEV = 6
_INIT_ANSWER = struct.pack("=IIIIHHII", 7, 31, 0, 0, 0, 0, 4096, 1) + bytes(36)  # fuse_init_out
_ROOT = struct.pack("=QII6Q3I7I", 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)  # fuse_attr_out

_ANSWERS = {_INIT: _INIT_ANSWER, _GETATTR: _ROOT}


class Hanging:
    """`path` is its mount point. It is an empty directory until `dead` is set."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.dead = False
        self.asked = 0  # requests that will never be answered
        os.makedirs(self.path)
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._fd},rootmode=40755,user_id=0,group_id=0,allow_other"
        mount = ["mount", "-i", "-t", "fuse", "-o", options, "hanging", self.path]
        subprocess.run(mount, check=True, pass_fds=[self._fd])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # ENODEV: it was unmounted
            while True:
                request = os.read(self._fd, 1 << 20)
                _, opcode, unique, *_ = _IN.unpack_from(request)
                if self.dead:
                    self.asked += 1
                elif opcode in _ANSWERS:
                    answer = _ANSWERS[opcode]
                    os.write(self._fd, _OUT.pack(_OUT.size + len(answer), 0, unique) + answer)
                else:
                    os.write(self._fd, _OUT.pack(_OUT.size, -errno.ENOENT, unique))

    def end(self) -> None:
        """Whoever waits gets an error (umount(2): MNT_FORCE ends the requests, MNT_DETACH asks nobody)."""
        call_libc("umount2", self.path.encode(), _MNT_FORCE | _MNT_DETACH)
        self._thread.join(10)
        os.close(self._fd)


@contextlib.contextmanager
def unread(path: Path) -> Iterator[contextlib.ExitStack]:
    """Another, whose server never reads a request: a signal that kills ends the wait. With what is yielded it is let
    go early: all get errors from then on."""
    if not os.path.exists("/dev/fuse"):
        needs.missing("needs FUSE: /dev/fuse")
    os.makedirs(path)
    with contextlib.ExitStack() as answers:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        answers.callback(os.close, fd)
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
        try:
            call_libc("mount", b"unread", os.fsencode(path), b"fuse", _MS_NOSUID_NODEV, options)
        except OSError as error:
            needs.missing(f"no FUSE mounts here: {error.strerror}")
        try:
            yield answers
        finally:
            answers.close()
            call_libc("umount2", os.fsencode(path), _MNT_DETACH)


@contextlib.contextmanager
def hanging(path: Path) -> Iterator[Hanging]:
    if not os.path.exists("/dev/fuse"):
        needs.missing("needs FUSE: /dev/fuse")
    made = Hanging(path)
    try:
        yield made
    finally:
        made.end()
