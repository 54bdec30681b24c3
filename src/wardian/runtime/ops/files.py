"""Operations on files and directories, of the host and of the container's root (launcher/ops_files.c)."""

import os
from typing import NamedTuple

O_WRONLY = 0o1
O_PATH = 0o10000000
O_DIRECTORY = os.O_DIRECTORY


class Open(NamedTuple):
    """open(2) of a path of the host."""

    handle: str
    path: str
    flags: int

    def describe(self) -> str:
        return f"open {self.path} as {self.handle}"


class Mkdir(NamedTuple):
    """A directory within `root`, with those above it; one that exists stays as it is."""

    root: str
    path: str
    mode: int
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        return f"directory {self.path} (mode {self.mode:o})"


class Mknod(NamedTuple):
    root: str
    path: str
    mode: int
    device: int
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        kind = {0o020000: "character", 0o060000: "block"}.get(self.mode & 0o170000, "special")
        major, minor = self.device >> 8 & 0xFFF, self.device & 0xFF | self.device >> 12 & 0xFFF00
        return f"{kind} device {major}:{minor} at {self.path} (mode {self.mode & 0o7777:o})"


class Symlink(NamedTuple):
    root: str
    path: str
    target: str

    def describe(self) -> str:
        return f"symbolic link {self.path} to {self.target}"


class Write(NamedTuple):
    """One write(2) to a file of the host that exists: a sysctl, an attribute in /proc."""

    path: str
    data: bytes

    def describe(self) -> str:
        return f"write {self.data.decode(errors='replace').strip()!r} to {self.path}"


class WriteIn(NamedTuple):
    """One write(2) to a file that exists, below a directory or a mount that the plan made: a sysctl."""

    directory: str
    path: str
    data: bytes

    def describe(self) -> str:
        return f"write {self.data.decode(errors='replace').strip()!r} to {self.path} of {self.directory}"


Operation = Open | Mkdir | Mknod | Symlink | Write | WriteIn
