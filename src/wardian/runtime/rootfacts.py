"""The facts of a root that a plan depends on: ids for names, the command's file, the working directory.

Everything is read through a descriptor of the root by `openat2`; nothing there is believed more than a text is. Errors
of a bad command are found here, before anything is made, in words from which docker's clients make 126 and 127.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Sequence
from typing import NamedTuple

from wardian.errors import INVALID, WardianError
from wardian.kernel import paths

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_FILE = 4 << 20  # of /etc/passwd and /etc/group
_HEAD = 4096

# e_machine of ELF (elf.h) → uname's machine; what else such a machine runs
_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64", 22: "s390x", 21: "ppc64le", 8: "mips"}
_ALSO_RUNS = {"x86_64": ("i386",), "aarch64": ("arm",)}


class RootFacts(NamedTuple):
    """What `read_root_facts` found. `command` is the absolute path that will be executed."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    command: str
    cwd_exists: bool


def read_root_facts(
    root_fd: int,
    user: str,
    arguments: Sequence[str],
    environment: Sequence[str],
    cwd: str,
    additional: Sequence[str] = (),
) -> RootFacts:
    """Look into the root at `root_fd` (O_PATH will do). Raises WardianError naming the user, group or command."""
    uid, gid, name, home = _user(root_fd, user)
    groups = _groups(root_fd, name if ":" not in user else "", gid, additional)
    where = cwd or "/"
    command = _command(root_fd, arguments, environment, where)
    return RootFacts(uid, gid, groups, home or "/", command, _is_directory(root_fd, where))


# --- who -------------------------------------------------------------------------------------------------------------


def _user(root_fd: int, user: str) -> tuple[int, int, str, str]:
    """uid, gid, login name and home of "", "name", "uid", "name:group", "uid:gid" … (docker run --user)."""
    who, _, group = user.partition(":")
    rows = _rows(root_fd, "/etc/passwd", 7)
    row = next((row for row in rows if row[0] == (who or "root")), None)
    if row is None and (number := _number(who or "0")) is not None:
        row = next((row for row in rows if _number(row[2]) == number), ["", "", str(number), "0", "", "/", ""])
    if row is None:
        raise _no_such("user", who, "passwd")
    uid, gid = _number(row[2]), _number(row[3])
    if uid is None or gid is None:
        raise _no_such("user", who, "passwd")
    return uid, _group(root_fd, group) if group else gid, row[0], row[5]


def _group(root_fd: int, group: str) -> int:
    for row in _rows(root_fd, "/etc/group", 4):
        if row[0] == group and (gid := _number(row[2])) is not None:
            return gid
    number = _number(group)
    if number is None:
        raise _no_such("group", group, "group")
    return number


def _groups(root_fd: int, name: str, gid: int, additional: Sequence[str]) -> tuple[int, ...]:
    """The groups that /etc/group puts the user into, unless a group was said; and those asked for."""
    found = [gid]
    if name:
        for row in _rows(root_fd, "/etc/group", 4):
            number = _number(row[2])
            if number is not None and name in row[3].split(","):
                found.append(number)
    found += [_group(root_fd, group) for group in additional]
    return tuple(dict.fromkeys(found))


def _rows(root_fd: int, path: str, fields: int) -> list[list[str]]:
    """The lines of a colon-separated file with at least so many fields; none when there is no such file."""
    try:
        text = paths.read_in_root(root_fd, path, _MAX_FILE).decode(errors="replace")
    except OSError:
        return []
    rows = (line.rstrip("\r").split(":") for line in text.split("\n") if line and not line.startswith("#"))
    return [row + [""] * (fields - len(row)) for row in rows if len(row) >= 3]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**32 - 1 else None


def _no_such(kind: str, name: str, file: str) -> WardianError:
    message = f"unable to find {kind} {name}: no matching entries in {file} file"
    return WardianError(INVALID, message, operation="start", subject=name)


# --- what ------------------------------------------------------------------------------------------------------------


def _command(root_fd: int, arguments: Sequence[str], environment: Sequence[str], cwd: str) -> str:
    if not arguments or not arguments[0]:
        raise _bad_command("", "no command is given", errno.ENOENT)
    name = arguments[0]
    if "/" in name:
        path = posixpath.normpath(posixpath.join(cwd, name))
        _check_command(root_fd, name, path)
        return path
    search = next((item[5:] for item in reversed(environment) if item.startswith("PATH=")), DEFAULT_PATH)
    denied = ""
    for directory in search.split(":"):
        path = posixpath.join(cwd, directory or ".", name)
        status = _status(root_fd, path)
        if status is not None and stat.S_ISREG(status.st_mode):
            if status.st_mode & 0o111:
                _check_command(root_fd, name, path)
                return path
            denied = denied or path
    if denied:
        raise _bad_command(name, f"{denied}: permission denied", errno.EACCES)
    raise _bad_command(name, "executable file not found in $PATH", errno.ENOENT)


def _check_command(root_fd: int, name: str, path: str) -> None:
    status = _status(root_fd, path)
    if status is None:
        raise _bad_command(name, f"stat {path}: no such file or directory", errno.ENOENT)
    if stat.S_ISDIR(status.st_mode):
        raise _bad_command(name, "is a directory: permission denied", errno.EISDIR)
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
        raise _bad_command(name, "permission denied", errno.EACCES)
    _check_head(root_fd, name, _head(root_fd, path))


def _check_head(root_fd: int, name: str, head: bytes) -> None:
    """The interpreter of a script or a dynamic ELF file must be there, and the machine must be this one."""
    interpreter = ""
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n")[0].split()
        interpreter = os.fsdecode(words[0]) if words else ""
    elif head.startswith(b"\x7fELF") and len(head) >= 64:
        machine = _MACHINES.get(int.from_bytes(head[18:20], "little" if head[5] == 1 else "big"), "an unknown machine")
        here = os.uname().machine
        if machine != here and machine not in _ALSO_RUNS.get(here, ()):
            raise _bad_command(
                name, f"exec format error: it is built for {machine}, this machine is {here}", errno.ENOEXEC
            )
        interpreter = _elf_interpreter(head)
    if interpreter and _status(root_fd, interpreter) is None:
        raise _bad_command(name, f"its interpreter {interpreter}: no such file or directory", errno.ENOENT)


def _elf_interpreter(head: bytes) -> str:
    """PT_INTERP of a 64-bit little-endian file, when it lies within the first page, as linkers put it; else ""."""
    if head[4] != 2 or head[5] != 1:
        return ""
    at, size, count = (int.from_bytes(head[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    for start in range(at, min(at + size * count, len(head) - 55), max(size, 56)):
        if int.from_bytes(head[start : start + 4], "little") == 3:
            offset = int.from_bytes(head[start + 8 : start + 16], "little")
            length = int.from_bytes(head[start + 32 : start + 40], "little")
            return os.fsdecode(head[offset : offset + length].rstrip(b"\0"))
    return ""


def _head(root_fd: int, path: str) -> bytes:
    try:
        fd = paths.open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return os.read(fd, _HEAD)
    finally:
        os.close(fd)


def _status(root_fd: int, path: str) -> os.stat_result | None:
    """What is at a path of the root, links followed within it; None when nothing is."""
    try:
        fd = paths.open_in_root(root_fd, path, os.O_PATH)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _is_directory(root_fd: int, path: str) -> bool:
    status = _status(root_fd, path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _bad_command(name: str, why: str, number: int) -> WardianError:
    message = f'exec: "{name}": {why}'
    return WardianError(INVALID, message, operation="start", subject=name, errno=number)
