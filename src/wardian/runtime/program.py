"""The launcher's program as it is started: by a read-only mount of its own, which is attached nowhere.

A container can come by /proc/PID/exe of a launcher: an exec that is made to run /proc/self/exe is one for a moment, as
the container's root, to whom the file behind it belongs: the host's, to be changed in mode, owner and content
(CVE-2019-5736). Through this mount each attempt is EROFS. It costs 0.06 ms, once for an engine; a sealed memfd would
cost memory for a copy, and its mode could still be changed.
"""

import errno
import fcntl
import functools
import os

from wardian.kernel.mounts import MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE, open_tree, set_attributes

_ABOVE = 10  # posix_spawn's file actions put the launcher's own descriptors on the lowest numbers


@functools.cache
def protected(path: str) -> str:
    """A path, of this process's, by which the program at `path` is started. The mount lives as long as this process and
    what it started. Raises FileNotFoundError."""
    try:
        tree = open_tree(path, OPEN_TREE_CLONE)
    except OSError as error:
        if error.errno == errno.EPERM:  # who may not mount has no containers whose root owns the host's files
            return path
        raise
    try:
        set_attributes(tree, MOUNT_ATTR_RDONLY)
        return f"/proc/self/fd/{fcntl.fcntl(tree, fcntl.F_DUPFD_CLOEXEC, _ABOVE)}"
    finally:
        os.close(tree)
