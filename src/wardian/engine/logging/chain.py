"""The files of one log, and a place in them.

    containers/ID/ID-json.log          the newest file; at its limit it becomes ID-json.log.1, that one .2, …
                                       with max-file 1 another takes its name

A place is a descriptor and how far it was read. Rotation renames files, so the place stays what it is; when its file is
read to the end and has a newer one, it goes on there.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import NamedTuple

BLOCK = 1 << 18
_BACK = 1 << 16
_LOOKS = 20  # at most, for all files by the names of one moment
_NO_END = -1
_HEAD = 128  # of a file's first line: with its time, which no other file begins with


class Place(NamedTuple):
    """Where a reader stands, in words that outlive it: the file by its inode and its first bytes."""

    inode: int = 0
    head: str = ""
    offset: int = 0


class Chain:
    """Oldest to newest; it goes on in the next file after a rotation."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._rest = b""
        self.gaps = 0  # times that our file had been removed by rotation before we were through: some may be missing
        self._end = _NO_END  # of our file: nothing that lies behind it is read
        # the newer files with their ends, oldest first, once nobody may look for them by name
        self._held: list[tuple[int, int]] | None = None

    def close(self) -> None:
        for fd in (self._fd, *(fd for fd, _ in self._held or ())):
            if fd >= 0:
                os.close(fd)
        self._fd = -1
        self._end = _NO_END
        self._held = None

    def _files(self) -> list[str]:
        """Newest first."""
        found = [self._path] if os.path.exists(self._path) else []
        number = 1
        while os.path.exists(f"{self._path}.{number}"):
            found.append(f"{self._path}.{number}")
            number += 1
        return found

    # --- taking a place ---

    def seek_first(self) -> None:
        opened = self._open_all()
        if opened:
            self._fd = opened.pop()
        _close_all(opened)

    async def seek_tail(self, lines: int, until_now: bool) -> None:
        """Stand before the last `lines` lines of the whole chain; before the first for -1. What is written after this
        call is not read when it is `until_now`: a container may write faster than anybody reads."""
        if lines < 0 and not until_now:
            return self.seek_first()
        for left in reversed(range(_LOOKS)):
            if await self._sought_tail(lines, until_now) or not left:
                return None
            self.close()
        return None

    async def _sought_tail(self, lines: int, until_now: bool) -> bool:
        """False when the file was emptied under us (max-file 1): what was found of it is not so."""
        with ExitStack() as others:
            # all of them now: others have their turn while we look, and a rotation gives every file another's name
            opened = self._open_all()
            for fd in opened:
                others.callback(os.close, fd)
            if not opened:
                if until_now:
                    self._held = []
                return True
            sizes = [os.fstat(fd).st_size for fd in opened]
            newest = sizes[0]
            sizes[0] = _whole_lines(opened[0], newest)
            chosen, offset = len(opened) - 1, 0
            left = lines
            for number, fd in enumerate(opened if lines >= 0 else ()):
                offset, found = await _from_end(fd, sizes[number], left, number == 0)
                left -= found
                if left <= 0:
                    chosen = number
                    break
            self._fd = os.dup(opened[chosen])  # not inherited either (PEP 446)
            os.lseek(self._fd, offset, os.SEEK_SET)
            if until_now:
                self._end = sizes[chosen]
                self._held = [(os.dup(opened[number]), sizes[number]) for number in reversed(range(chosen))]
            return os.fstat(opened[0]).st_size >= newest

    def _open_all(self) -> list[int]:
        """Newest first, each once: by names that a rotation changed meanwhile they are looked for anew."""
        opened: dict[int, int] = {}
        for left in reversed(range(_LOOKS)):
            opened = {}
            for path in self._files():
                with suppress(FileNotFoundError):
                    fd = _open(path)
                    if opened.setdefault(os.fstat(fd).st_ino, fd) != fd:
                        os.close(fd)
            if not left or next(iter(opened), 0) == _inode(self._path):
                break
            _close_all(opened.values())
        return list(opened.values())

    def seek(self, place: Place) -> bool:
        """Back to `place`; False when its file is gone or was emptied: then before the first line that is left."""
        opened = self._open_all()
        for fd in opened:
            if _identity(fd) == place[:2] and os.fstat(fd).st_size >= place.offset:
                os.lseek(fd, place.offset, os.SEEK_SET)
                self._fd = fd
                opened.remove(fd)
                _close_all(opened)
                return True
        _close_all(opened)
        self.seek_first()
        return False

    def place(self) -> Place:
        if self._fd < 0:
            return Place()
        return Place(*_identity(self._fd), os.lseek(self._fd, 0, os.SEEK_CUR) - len(self._rest))

    def hold(self) -> None:
        """Take hold of all files by descriptor: their directory is about to go."""
        if self._held is not None:
            return
        if self._fd < 0 and not self._open_first():
            self._held = []
            return
        inode = os.fstat(self._fd).st_ino
        newer: list[tuple[int, int]] = []
        for path in self._files():
            fd = _open(path)
            if os.fstat(fd).st_ino == inode:
                os.close(fd)
                break
            newer.insert(0, (fd, _NO_END))
        self._held = newer

    # --- reading on ---

    def read(self) -> Iterator[bytes]:
        """All whole lines that are there now, a block of them at a time, over rotations."""
        if self._fd < 0 and not self._open_first():
            return
        while True:
            data = os.read(self._fd, self._room())
            if data:
                end = data.rfind(b"\n") + 1
                if end:
                    lines, self._rest = self._rest + data[:end], data[end:]
                    yield lines
                else:
                    self._rest += data
            elif not self._cut_back() and not self._next_file():
                return

    def _room(self) -> int:
        """How much may be read in one go: nothing past our file's end."""
        if self._end == _NO_END:
            return BLOCK
        return max(0, min(BLOCK, self._end - os.lseek(self._fd, 0, os.SEEK_CUR)))

    def _cut_back(self) -> bool:
        """Somebody emptied it (so did supervisors of earlier versions with max-file 1): begin anew, unless what came
        later is not wanted."""
        if self._end != _NO_END or os.fstat(self._fd).st_size >= os.lseek(self._fd, 0, os.SEEK_CUR):
            return False
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._rest = b""
        return True

    def _open_first(self) -> bool:
        if self._held is not None:
            return False
        try:
            self._fd = _open(self._path)
        except FileNotFoundError:
            return False
        return True

    def _next_file(self) -> bool:
        """When ours was rotated away, go on in the one that is next newer. False when there is none."""
        if self._held is not None:
            return self._next_held()
        inode = os.fstat(self._fd).st_ino
        newer = ""
        for path in self._files():
            try:
                if os.stat(path).st_ino == inode:
                    break
            except FileNotFoundError:
                continue
            newer = path
        if not newer:
            return False
        if os.fstat(self._fd).st_size > os.lseek(self._fd, 0, os.SEEK_CUR):
            return True  # its last lines came, and then the rotation, since we found its end
        self.gaps += os.fstat(self._fd).st_nlink == 0
        self.close()
        self._rest = b""
        try:
            self._fd = _open(newer)
        except FileNotFoundError:
            return self._open_first()
        return True

    def _next_held(self) -> bool:
        if not self._held:
            return False
        os.close(self._fd)
        self._fd, self._end = self._held.pop(0)
        self._rest = b""
        return True


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _close_all(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _inode(path: str) -> int:
    """0 when there is none of that name."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def _whole_lines(fd: int, size: int) -> int:
    """`size`, or less by the last entry, which is being written: the kernel lets others see a page at a time."""
    while size > 0:
        start = max(0, size - _BACK)
        end = os.pread(fd, size - start, start).rfind(b"\n") + 1
        if end:
            return start + end
        size = start
    return 0


def _identity(fd: int) -> tuple[int, str]:
    """Inodes are used again: the first line's text and time tell such a file from the one before."""
    head = os.pread(fd, _HEAD, 0)
    return os.fstat(fd).st_ino, head.partition(b"\n")[0].hex()


async def _from_end(fd: int, size: int, lines: int, newest: bool) -> tuple[int, int]:
    """(offset of the first of the last `lines` lines, how many of them this file has); it is `size` bytes long.

    A line ends with the entry that has its "\\n"; of the very last one it may be missing. A long way back is
    gone a block at a time, and the engine does other things in between.
    """
    position = size
    if not position or not lines:
        return position, 0
    found, tail, last = 0, b"", newest
    while position > 0:
        start = max(0, position - _BACK)
        block = os.pread(fd, position - start, start) + tail
        end = len(block)  # of the entry that is looked at, its newline included
        while (begin := block.rfind(b"\n", 0, max(0, end - 1)) + 1) or not start:
            if last or _ends_line(block, begin, end):
                if found == lines:
                    return start + end, lines
                found += 1
            last = False
            end = begin
            if not begin:
                break
        tail = block[:end]
        position = start
        await asyncio.sleep(0)
    return 0, found


def _ends_line(block: bytes, begin: int, end: int) -> bool:
    """Whether the entry carries its line's end: "\\n" before its text's closing quote, and no escaped backslash."""
    quote = block.find(b'","stream":"', begin, end)
    if not block.endswith(b"\\n", begin, quote):
        return False
    first = quote - 1
    while block[first - 1] == 0x5C:
        first -= 1
    return (quote - 1 - first) % 2 == 1
