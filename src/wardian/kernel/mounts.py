"""Mounts as values, and the mount calls by descriptor: fsopen(2), fsconfig(2), fsmount(2), open_tree(2).

`Mount` is what storage, volumes, build and runtime hand to each other. A *view* uses `attach_detached`: a mount that is
in nobody's mount namespace and is gone when its descriptor closes. A container's root is made of the same value by the
launcher (the plan's FS_* operations say the same calls).
"""

import errno
import os
import struct
from typing import NamedTuple

from wardian.kernel import syscalls

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

CLONE_NEWNS = 0x20000
MS_REC = 1 << 14
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20


ATTRIBUTE_NAMES = {
    MOUNT_ATTR_RDONLY: "read-only",
    MOUNT_ATTR_NOSUID: "nosuid",
    MOUNT_ATTR_NODEV: "nodev",
    MOUNT_ATTR_NOEXEC: "noexec",
    MOUNT_ATTR_NOATIME: "noatime",
    MOUNT_ATTR_STRICTATIME: "strictatime",
    MOUNT_ATTR_NODIRATIME: "nodiratime",
    MOUNT_ATTR_IDMAP: "idmapped",
    MOUNT_ATTR_NOSYMFOLLOW: "nosymfollow",
}
PROPAGATION_NAMES = {MS_UNBINDABLE: "unbindable", MS_PRIVATE: "private", MS_SLAVE: "slave", MS_SHARED: "shared"}


class Mount(NamedTuple):
    """A mount that can be made: an overlay over directories or other mounts, a bind of `source`, or a tmpfs.

    `lowers` is top first. A read-only overlay has `upper == ""`. `options` are the filesystem's own ("metacopy=on").
    `mapped`: the directory that all lowers are below, which are seen through an idmapped copy of its mount: the ids of
    the container's user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).
    """

    type: str
    source: str = ""
    lowers: "tuple[str | Mount, ...]" = ()
    upper: str = ""
    work: str = ""
    options: tuple[str, ...] = ()
    mapped: str = ""


def attach_detached(mount: Mount, userns: int = -1) -> int:
    """Make `mount` and return an O_PATH descriptor of it, attached nowhere. Raises OSError with the kernel's own words.

    With a user namespace, layers below `mount.mapped` are seen by its ids (an overlay takes such since Linux 6.15).
    overlayfs refuses a single lower directory without an upper one: that is a bind of it, made read-only.
    """
    if mount.type == "bind":
        return _copied(mount.source)
    if mount.mapped and userns >= 0:
        return _attach_mapped(mount, userns)
    if mount.type == "overlay" and not mount.upper and len(mount.lowers) == 1:
        return _read_only(mount.lowers[0])
    context = syscalls.call(syscalls.FSOPEN, mount.type.encode(), FSOPEN_CLOEXEC, subject=mount.type)
    held: list[int] = []
    try:
        return _configure(context, mount, held)
    except OSError as error:
        reason = context_log(context)
        raise OSError(error.errno, f"{error.strerror}{': ' + reason if reason else ''}", error.filename) from None
    finally:
        for descriptor in (context, *held):
            os.close(descriptor)


def _attach_mapped(mount: Mount, userns: int) -> int:
    layers = open_tree(mount.mapped, OPEN_TREE_CLONE)
    try:
        set_attributes(layers, MOUNT_ATTR_IDMAP, userns=userns)
        lowers = [
            f"/proc/self/fd/{layers}/{os.path.relpath(lower, mount.mapped)}" if isinstance(lower, str) else lower
            for lower in mount.lowers
        ]
        return attach_detached(mount._replace(lowers=tuple(lowers), mapped=""))
    finally:
        os.close(layers)


def open_tree(path: str, flags: int, directory: int = -100) -> int:
    """open_tree(2): a descriptor of the mount tree at `path`; with OPEN_TREE_CLONE a detached copy of it."""
    return syscalls.call(syscalls.OPEN_TREE, directory, os.fsencode(path), flags | OPEN_TREE_CLOEXEC, subject=path)


def move_mount(mount: int, target: int) -> None:
    """move_mount(2): attach a detached mount at the place that `target` (O_PATH) is; on another detached mount since
    Linux 6.15, EINVAL before."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    syscalls.call(syscalls.MOVE_MOUNT, mount, b"", target, b"", flags)


def unshare_mounts() -> None:
    """unshare(2): the calling thread gets a mount namespace of its own, which hears of the host's mounts and tells
    none."""
    syscalls.call_libc("unshare", CLONE_NEWNS)
    syscalls.call_libc("mount", b"none", b"/", b"", MS_REC | MS_SLAVE, b"")


def set_attributes(
    descriptor: int, attributes: int, *, recursive: bool = False, userns: int = 0, propagation: int = 0
) -> None:
    """mount_setattr(2) on a mount descriptor: set MOUNT_ATTR_* bits; `userns` is that of MOUNT_ATTR_IDMAP; with
    `propagation` one of MS_*."""
    value = struct.pack("=4Q", attributes, 0, propagation, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscalls.call(syscalls.MOUNT_SETATTR, descriptor, b"", flags, value, len(value))


def context_log(context: int) -> str:
    """What the kernel says about the last failure on an fsopen context (fsopen(2), message retrieval), or ""."""
    lines: list[str] = []
    os.set_blocking(context, False)
    while True:
        try:
            line = os.read(context, 4096)
        except OSError:
            return "; ".join(lines)
        lines.append(line.decode(errors="replace").strip().partition(" ")[2])


def _configure(context: int, mount: Mount, held: list[int]) -> int:
    """`held` gets what must stay open until the filesystem is made: a detached mount ends with its last descriptor."""
    if mount.type == "overlay":
        if not mount.lowers:
            raise OSError(22, "an overlay needs at least one lower directory", mount.upper or None)
        _set(context, "source", "overlay")
        _set_lowers(context, mount.lowers, held)
        if mount.upper:
            held.append(_set_directory(context, "upperdir", mount.upper))
            held.append(_set_directory(context, "workdir", mount.work))
    for option in mount.options:
        key, equals, value = option.partition("=")
        _set(context, key, value if equals else None)
    syscalls.call(syscalls.FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0, subject=mount.upper or mount.type)
    return syscalls.call(syscalls.FSMOUNT, context, FSMOUNT_CLOEXEC, 0, subject=mount.type)


def _set(context: int, key: str, value: str | None) -> None:
    command = FSCONFIG_SET_FLAG if value is None else FSCONFIG_SET_STRING
    data = None if value is None else os.fsencode(value)
    syscalls.call(syscalls.FSCONFIG, context, command, key.encode(), data, 0, subject=key)


def _set_lowers(context: int, lowers: "tuple[str | Mount, ...]", held: list[int]) -> None:
    """One by one since Linux 6.5; before, all in one string, of which fsconfig(2) takes 255 bytes: about 14 layers."""
    first = len(held)
    try:
        for lower in lowers:
            held.append(_set_directory(context, "lowerdir+", lower))
    except OSError as error:
        if len(held) > first or error.errno != errno.EOPNOTSUPP:
            raise
        held += [_open_layer(lower) for lower in lowers]
        _set(context, "lowerdir", ":".join(f"/proc/self/fd/{descriptor}" for descriptor in held[first:]))


def _set_directory(context: int, key: str, directory: "str | Mount") -> int:
    """By descriptor (Linux 6.13: any length of path, and mounts); below, by path (lowerdir+ since 6.5)."""
    descriptor = _open_layer(directory)
    try:
        subject = directory if isinstance(directory, str) else directory.type
        syscalls.call(syscalls.FSCONFIG, context, FSCONFIG_SET_FD, key.encode(), None, descriptor, subject=subject)
    except OSError as error:
        # A filesystem of the older interface (overlay before 6.5) takes no descriptor, and any key until it is made.
        if error.errno != errno.EINVAL and (error.errno != errno.EOPNOTSUPP or key == "lowerdir+"):
            os.close(descriptor)
            raise
        _set(context, key, f"/proc/self/fd/{descriptor}")
    return descriptor


def _open_layer(directory: "str | Mount") -> int:
    if isinstance(directory, Mount):
        return attach_detached(directory)
    return os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _copied(source: str) -> int:
    """Private: what is mounted on a copy of a shared mount would else appear on the host's too."""
    descriptor = open_tree(source, OPEN_TREE_CLONE | AT_RECURSIVE)
    set_attributes(descriptor, 0, recursive=True, propagation=MS_PRIVATE)
    return descriptor


def _read_only(lower: "str | Mount") -> int:
    descriptor = open_tree(lower, OPEN_TREE_CLONE) if isinstance(lower, str) else attach_detached(lower)
    set_attributes(descriptor, MOUNT_ATTR_RDONLY)
    return descriptor


def attribute_text(attributes: int) -> str:
    """MOUNT_ATTR_* bits for a person: ", read-only, nosuid", or ""."""
    return "".join(f", {name}" for bit, name in ATTRIBUTE_NAMES.items() if attributes & bit)


def propagation_text(flags: int) -> str:
    """MS_* propagation flags for a person: ", slave", or ""."""
    return "".join(f", {name}" for bit, name in PROPAGATION_NAMES.items() if flags & bit)
