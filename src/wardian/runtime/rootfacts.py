"""The facts of a root that a plan depends on: ids for names, the command's file, the working directory.

Everything is read by descriptor within the root (`kernel.paths`), nothing is executed, and a file there is only data
(passwd(5), group(5), elf(5), execve(2) on scripts). What cannot be found is said in the words from which docker's
command line makes its exit codes: 127 for what is not there, 126 for what cannot be run.
"""

import errno
import os
import posixpath
import stat
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wardian.errors import INVALID, WardianError
from wardian.kernel.paths import open_in_root, open_seen, read_in_root

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_DATABASE = 4 << 20  # bytes of /etc/passwd and /etc/group that are read
_QUICK_DATABASE = 1 << 16  # bytes that are read at once: a container may fill the others with rows
MAX_SCRIPT_DEPTH = 4  # as the kernel follows `#!` (BINPRM limit, execve(2))
MAX_ID = 0x7FFFFFFF

# elf(5) e_machine → uname's word
MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64", 21: "ppc64le", 22: "s390x", 8: "mips"}
RUNS_ON = {"x86_64": {"x86_64", "i386"}, "aarch64": {"aarch64", "arm"}}
PT_INTERP = 3
_PROGRAM_HEADERS = 1 << 16  # bytes of them, at most (fs/binfmt_elf.c)
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG})


class RootFacts(NamedTuple):
    """What `read_root_facts` found. `command` is the absolute path that will be executed."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    command: str
    cwd_exists: bool


class CommandError(WardianError):
    """The command cannot be run. `errno` says why: one of NOT_THERE (exit code 127) or CANNOT_RUN (126)."""


NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})
CANNOT_RUN = frozenset({errno.EACCES, errno.EISDIR, errno.ENOEXEC})
# On another mount than the root; under a lease, or renamed all the time; large.
NOT_AT_ONCE = frozenset({errno.EXDEV, errno.EAGAIN, errno.EFBIG})


class _Root(NamedTuple):
    """A root and the user's bind mounts on it: destination → the host's path, which the container will see there."""

    fd: int
    mounts: Mapping[str, str]
    at_once: bool = False

    def open(self, path: str, flags: int) -> int:
        for target in sorted(self.mounts, key=len, reverse=True):
            rest = path[len(target) :] if path == target or path.startswith(target.rstrip("/") + "/") else None
            if rest is None:
                continue
            if not rest:
                return os.open(self.mounts[target], flags | os.O_CLOEXEC)
            base = os.open(self.mounts[target], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return open_in_root(base, rest, flags)
            finally:
                os.close(base)
        return open_in_root(self.fd, path, flags, one_mount=self.at_once)


def read_root_facts(
    root_fd: int,
    user: str,
    args: Sequence[str],
    env: Sequence[str],
    cwd: str,
    groups: Sequence[str] = (),
    mounts: Mapping[str, str] | None = None,
    *,
    at_once: bool = False,
    check: bool = True,
) -> RootFacts:
    """The facts for this process in the root open as `root_fd`.

    `user` is Docker's "", NAME, UID, with ":GROUP"; `groups` are further names or numbers. Raises WardianError(INVALID)
    for a user, group, command or interpreter that is not there, one that cannot be executed, a foreign architecture,
    and with `at_once` OSError with one of NOT_AT_ONCE when something of it may have to be waited for. Without `check`
    it is left to execve(2) to refuse the command's file.
    """
    root = _Root(root_fd, mounts or {}, at_once)
    uid, gid, more, home = resolve_user(root_fd, user, groups, at_once=at_once)
    cwd = cwd or "/"
    cwd_exists = _is_directory(root, cwd)
    command = _find_command(root, args[0], env, cwd)
    if check:
        _check_runnable(root, args[0], command, os.uname().machine)
    return RootFacts(uid, gid, more, home, command, cwd_exists)


# ---- users


def resolve_user(
    root_fd: int, user: str, groups: Sequence[str] = (), *, at_once: bool = False
) -> tuple[int, int, tuple[int, ...], str]:
    """(uid, gid, additional gids, home) of Docker's user string. Raises WardianError(INVALID) on an unknown name."""
    who, _, group = user.partition(":")
    rows = _rows(root_fd, "/etc/passwd", 7, at_once)
    row = next((row for row in rows if row[0] == who or (who.isdecimal() and row[2] == who)), None)
    if not who:
        row = next((row for row in rows if row[2] == "0"), None)
    if row is None and who.startswith("-") and who[1:].isdecimal():
        raise _invalid(f"user {who}: uids and gids must be in range 0-{MAX_ID}", who)
    if row is None and who and not who.isdecimal():
        raise _invalid(f"unable to find user {who}: no matching entries in passwd file", who)
    uid = _identity(row[2] if row else who or "0", "user", who)
    gid = _identity(row[3] if row else "0", "group", who)
    more: list[int] = []
    known = _rows(root_fd, "/etc/group", 4, at_once) if row or group or groups else []
    if group:
        gid = _group(known, group)
    elif row:  # the groups that list the user, unless one was chosen, as login does
        more = [_identity(item[2], "group", item[0]) for item in known if row[0] in item[3].split(",")]
    more += [_group(known, name) for name in groups]
    home = row[5] if row and row[5] else "/"
    # the primary group too, or a file closed to the group would open for others (CVE-2022-36109)
    return uid, gid, tuple(dict.fromkeys((gid, *more))), home


def _group(rows: Sequence[Sequence[str]], name: str) -> int:
    for row in rows:
        if row[0] == name:
            return _identity(row[2], "group", name)
    if name.isdecimal():
        return _identity(name, "group", name)
    raise _invalid(f"unable to find group {name}: no matching entries in group file", name)


def _identity(text: str, what: str, name: str) -> int:
    if not text.isdecimal() or int(text) > MAX_ID:
        raise _invalid(f"{what} {name}: uids and gids must be in range 0-{MAX_ID}", name)
    return int(text)


def _rows(root_fd: int, path: str, fields: int, at_once: bool) -> list[list[str]]:
    """Rows of passwd(5) or group(5), those that are whole; none when there is no such file."""
    limit = _QUICK_DATABASE if at_once else MAX_DATABASE
    try:
        text = read_in_root(root_fd, path, limit, at_once=at_once).decode(errors="surrogateescape")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return []
        if at_once and error.errno in NOT_AT_ONCE:
            raise
        raise _invalid(f"{path} of the root cannot be read: {os.strerror(error.errno or 0)}", path) from error
    rows = [line.split(":") for line in text.split("\n") if not line.startswith("#")]
    return [row for row in rows if len(row) >= fields and row[2].isdecimal()]


# ---- the command


def _find_command(root: _Root, command: str, env: Sequence[str], cwd: str) -> str:
    """Absolute path of the command: as execvp(3) searches, against the container's PATH and working directory."""
    if "/" in command:
        return posixpath.join(cwd, command)
    if not command:
        raise _cannot('exec: "": executable file not found in $PATH', command, errno.ENOENT)
    paths = next((item[5:] for item in reversed(env) if item.startswith("PATH=")), DEFAULT_PATH)
    denied = ""
    for directory in paths.split(":"):
        candidate = posixpath.join(cwd, directory, command)
        mode = _mode(root, candidate)
        if mode is not None and stat.S_ISREG(mode):
            if mode & 0o111:
                return candidate
            denied = denied or candidate
    if denied:
        raise _cannot(f'exec: "{command}": {denied}: permission denied', command, errno.EACCES)
    raise _cannot(
        f'exec: "{command}": executable file not found in $PATH',
        command,
        errno.ENOENT,
        hint=f"PATH is {paths}",
    )


def _check_runnable(root: _Root, command: str, path: str, machine: str) -> None:
    """Raises for a file that execve(2) would refuse, naming what is missing: the file, its interpreter, its machine."""
    subject = f'exec: "{command}"'
    for _ in range(MAX_SCRIPT_DEPTH + 1):
        fd = _look(root, path)
        if fd is None:
            raise _cannot(f"{subject}: no such file or directory", command, errno.ENOENT)
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise _cannot(f"{subject}: is a directory: permission denied", command, errno.EISDIR)
            if not stat.S_ISREG(mode) or not mode & 0o111:
                raise _cannot(f"{subject}: permission denied", command, errno.EACCES, hint=f"{path} is not executable")
            found = _interpreter(fd, subject, command, machine, root.at_once)
        finally:
            os.close(fd)
        if not found:
            return
        if _mode(root, found) is None:
            message = f'{subject}: interpreter "{found}" of {path}: no such file or directory'
            raise _cannot(message, command, errno.ENOENT, hint="the file itself is there")
        path = found
        subject = f'exec: "{command}": its interpreter {path}'


def _interpreter(looked_at: int, subject: str, command: str, machine: str, at_once: bool) -> str:
    """The program that the kernel would load for this one: of a `#!` line, of an ELF's PT_INTERP, or ""."""
    try:
        fd = open_seen(looked_at, at_once)
    except PermissionError as error:  # a file system that is closed to root, as FUSE without allow_other
        raise _cannot(f"{subject}: permission denied", command, errno.EACCES) from error
    try:
        head = os.pread(fd, 256, 0)
        if head.startswith(b"#!"):
            words = head[2:].split(b"\n")[0].split()
            return os.fsdecode(words[0]) if words else ""
        if head[:4] != b"\x7fELF" or len(head) < 64:
            return ""  # execve(2) says ENOEXEC or knows a binfmt for it
        order = "<" if head[5] == 1 else ">"
        (number,) = struct.unpack_from(f"{order}H", head, 18)
        program = MACHINES.get(number, f"machine {number}")
        if program not in RUNS_ON.get(machine, {machine}) and not _emulated(program):
            message = f"{subject}: exec format error: the program is for {program}, this host is {machine}"
            raise _cannot(message, command, errno.ENOEXEC, hint="pull the image for this platform")
        return _elf_interpreter(fd, head, order)
    finally:
        os.close(fd)


def _elf_interpreter(fd: int, head: bytes, order: str) -> str:
    """PT_INTERP of an ELF file (elf(5)), "" for a static one or a damaged table."""
    wide = head[4] == 2
    if wide:
        (table,) = struct.unpack_from(f"{order}Q", head, 32)
        size, count = struct.unpack_from(f"{order}HH", head, 54)
    else:
        (table,) = struct.unpack_from(f"{order}I", head, 28)
        size, count = struct.unpack_from(f"{order}HH", head, 42)
    if size != (56 if wide else 32) or count * size > _PROGRAM_HEADERS or table > 1 << 40:
        return ""  # no program to the kernel either
    rows = os.pread(fd, size * count, table)
    for at in range(0, len(rows) - size + 1, size):
        if struct.unpack_from(f"{order}I", rows, at)[0] != PT_INTERP:
            continue
        fmt, offset_at, size_at = ("Q", 8, 32) if wide else ("I", 4, 16)
        (offset,) = struct.unpack_from(order + fmt, rows, at + offset_at)
        (length,) = struct.unpack_from(order + fmt, rows, at + size_at)
        if length > 4096 or offset > 1 << 40:
            return ""
        return os.fsdecode(os.pread(fd, length, offset).rstrip(b"\0"))
    return ""


def _emulated(program: str) -> bool:
    """Whether the host has a handler for this machine's programs (binfmt_misc)."""
    return os.path.exists(f"/proc/sys/fs/binfmt_misc/qemu-{program}")


def _look(root: _Root, path: str) -> int | None:
    """An O_PATH descriptor of what is at `path`, or None."""
    try:
        return root.open(path, os.O_PATH)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise  # of this host, as too many open files: no word about the path


def _mode(root: _Root, path: str) -> int | None:
    fd = _look(root, path)
    if fd is None:
        return None
    try:
        return os.fstat(fd).st_mode
    finally:
        os.close(fd)


def _is_directory(root: _Root, path: str) -> bool:
    """Raises where something else than a directory is at `path`."""
    mode = _mode(root, path)
    if mode is not None and not stat.S_ISDIR(mode):
        raise _invalid(f"working directory {path}: not a directory", path, errno.ENOTDIR)
    return mode is not None


def _cannot(message: str, subject: str, number: int = 0, hint: str = "") -> CommandError:
    return CommandError(INVALID, message, operation="start", subject=subject, errno=number, hint=hint)


def _invalid(message: str, subject: str, number: int = 0, hint: str = "") -> WardianError:
    return WardianError(INVALID, message, operation="start", subject=subject, errno=number, hint=hint)
