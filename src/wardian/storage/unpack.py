"""Writing a layer archive into a directory, in the form that overlayfs reads as a lower (OCI image-spec, layer.md).

The archive is hostile. Every name is checked (no `..`, no NUL), every directory on the way is opened by openat2 with
the staging directory as root, and what is made is made in that descriptor by a single component, exclusively. So a link
in the archive can lead only to where it would lead in a container.

    .wh.NAME        a 0/0 character device NAME (or, where this layer itself has NAME as directory, an opaque mark)
    .wh..wh..opq    an opaque mark on its directory (said of the root in `Unpacked.opaque_root` too)
    .wh..wh.*       aufs' own, skipped
"""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from wardian.descriptors import write_all
from wardian.errors import INVALID, SYSTEM, WardianError
from wardian.kernel import xattrs
from wardian.kernel.paths import open_in_root, set_mode
from wardian.storage import tar
from wardian.storage.naming import Naming
from wardian.storage.outline import OutlineWriter
from wardian.storage.tar import TarEntry, TarReader
from wardian.storage.trash import remove_at

_WHITEOUT = b".wh."
_WHITEOUT_META = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_OPEN = 64
_LATER_LIMIT = 128 << 20  # bytes of memory for what is kept to the end: archives are small, what is in them need not be
_DIRECTORY_COST, _ATTRIBUTE_COST = 320, 160  # bytes that Python takes for each, apart from names and values
_NODE_TYPES = {tar.CHAR: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MACHINE = (errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM, errno.EACCES)


class Unpacked(NamedTuple):
    """What came out of an archive: bytes in files, number of entries, whether `/` hides all lower layers."""

    size: int
    entries: int
    opaque_root: bool


def unpack(chunks: Iterable[bytes], target: str, outline: OutlineWriter | None = None) -> Unpacked:
    """Make the directory `target` and write the archive's entries into it; `outline` hears what else is in it.

    Raises INVALID naming the entry that cannot be written as it says, SYSTEM when the disk is full or fails. What was
    written until then is left to the caller's cleaning.
    """
    os.mkdir(target, 0o755)
    os.chmod(target, 0o755)
    root = os.open(target, _DIRECTORY)
    unpacker = Unpacker(root, outline)
    name = b""
    try:
        reader = TarReader(chunks, outline.raw if outline is not None else None)
        for entry in reader:
            name = entry.name
            unpacker.add(entry, reader)
        name = b""
        unpacker.finish()
        if outline is not None:
            outline.finish(root)
    except OSError as error:
        raise explained(error, name) from error
    except (OverflowError, ValueError) as error:  # a number or a name that no kernel call takes
        raise refused(name, str(error)) from error
    finally:
        unpacker.close()
        os.close(root)
    return Unpacked(unpacker.size, unpacker.entries, unpacker.opaque_root)


class _Later(NamedTuple):
    """What a directory gets at the end. Not its TarEntry: names and links there are as long as the archive likes."""

    mtime: int
    xattrs: tuple[tuple[bytes, bytes], ...]


class Unpacker:
    """Writes entries below `root`. What `extract` does otherwise for a container's files are the methods it overrides.

    So nothing here relies on a name still being what was made under it: a container's processes may have swapped it.
    """

    def __init__(
        self,
        root: int,
        outline: OutlineWriter | None = None,
        naming: Naming | None = None,
    ) -> None:
        """`naming`: of all who write there at the same time; None: nobody else does."""
        self.size = 0
        self._naming = naming
        self.entries = 0
        self.opaque_root = False
        self._root = root
        self._outline = outline
        self._open: dict[bytes, int] = {}  # directories by path, least recently opened first
        self._later: dict[bytes, _Later] = {}  # directories whose times and attributes come last
        self._later_size = 0

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def open(self, path: bytes) -> int:
        """A directory of the tree by its path, whatever links are on the way."""
        return open_in_root(self._root, path or b".", _DIRECTORY)

    def open_itself(self, path: bytes) -> int:
        """The same, of a directory that was made here: not what took its place since."""
        return open_in_root(self._root, path, _DIRECTORY | os.O_NOFOLLOW)

    def owner(self, entry: TarEntry) -> tuple[int, int]:
        """Whose an entry is to be, on the disk."""
        return entry.uid, entry.gid

    def add(self, entry: TarEntry, reader: TarReader) -> None:
        path = _clean(entry.name)
        self.entries += 1
        if not path:
            return self._add_root(entry)
        parent_path, _, name = path.rpartition(b"/")
        parent = self.directory(parent_path)
        if name.startswith(_WHITEOUT):
            self._add_whiteout(parent_path, parent, name)
        else:
            self.place(path, parent, name, entry, reader)
        return None

    def place(self, path: bytes, parent: int, name: bytes, entry: TarEntry, reader: TarReader) -> None:
        """Make `name` in the directory `parent`, whose path ends `path`."""
        if entry.kind == tar.REGULAR:
            return self._add_file(path, parent, name, entry, reader)
        with self._turn(parent):
            if entry.kind == tar.DIRECTORY:
                self._add_directory(path, parent, name, entry)
            else:
                self._add_special(path, parent, name, entry)
        return None

    def finish(self) -> None:
        """Set what writing into a directory would have changed (times), or have handed on (default ACLs)."""
        for path, later in reversed(self._later.items()):
            try:
                fd = self.open_itself(path)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    continue  # a later entry put something else in its place
                raise
            try:
                _set_xattrs(fd, later.xattrs)
                os.utime(fd, ns=(later.mtime, later.mtime))
            finally:
                os.close(fd)

    def _add_root(self, entry: TarEntry) -> None:
        if entry.kind != tar.DIRECTORY:
            raise refused(entry.name, "the root of a layer is not a directory")
        os.fchown(self._root, entry.uid, entry.gid)
        os.fchmod(self._root, entry.mode)
        self._set_later(b".", entry)

    def _add_directory(self, path: bytes, parent: int, name: bytes, entry: TarEntry) -> None:
        self._make_directory(parent, name)
        # Not through the cache: a link of this name was replaced just now, a directory is this one.
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.fchown(fd, *self.owner(entry))
            os.fchmod(fd, entry.mode)
        finally:
            os.close(fd)
        self._set_later(path, entry)

    def _set_later(self, path: bytes, entry: TarEntry) -> None:
        before = self._later.pop(path, None)
        if before is not None:
            self._later_size -= _memory(path, before)
        self._later[path] = later = _Later(entry.mtime, entry.xattrs)
        self._later_size += _memory(path, later)
        if self._later_size > _LATER_LIMIT:
            raise refused(entry.name, f"names and attributes of directories take more than {_LATER_LIMIT >> 20} MiB")

    def _add_file(self, path: bytes, parent: int, name: bytes, entry: TarEntry, reader: TarReader) -> None:
        with self._turn(parent):
            try:
                fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
            except FileExistsError:
                self._clear(parent, name)
                fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            if self._outline is not None and entry.size:
                self._outline.file(path, fd, entry.size)
            for piece in reader.data():
                write_all(fd, piece)
            os.fchown(fd, *self.owner(entry))  # before chmod and attributes: it clears setuid and capabilities
            os.fchmod(fd, entry.mode)
            if entry.xattrs:
                _set_xattrs(fd, entry.xattrs)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)
        self.size += entry.size

    def _add_special(self, path: bytes, parent: int, name: bytes, entry: TarEntry) -> None:
        """A link, a device or a fifo."""
        if entry.kind == tar.HARD_LINK:
            return self._add_hard_link(path, parent, name, entry)
        self._clear(parent, name)
        if entry.kind == tar.SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent)
        else:
            os.mknod(name, _NODE_TYPES[entry.kind] | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent)
        os.chown(name, *self.owner(entry), dir_fd=parent, follow_symlinks=False)
        if entry.kind != tar.SYMLINK:
            set_mode(parent, name, entry.mode)
        _set_xattrs((parent, name), entry.xattrs)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)
        return None

    def _add_hard_link(self, path: bytes, parent: int, name: bytes, entry: TarEntry) -> None:
        target = _clean(entry.link)
        if target == path:
            return
        target_parent, _, target_name = target.rpartition(b"/")
        if not target_name:
            raise refused(entry.name, "a hard link to the root")
        try:
            source = self.open(target_parent)
        except FileNotFoundError:
            raise refused(entry.name, f"hard link to {entry.link!r}, which is not there") from None
        try:
            self._clear(parent, name)
            os.link(target_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            raise refused(entry.name, f"hard link to {entry.link!r}, which is not there") from None
        except PermissionError:
            raise refused(entry.name, f"hard link to {entry.link!r}, a directory") from None
        finally:
            os.close(source)

    def _add_whiteout(self, parent_path: bytes, parent: int, name: bytes) -> None:
        if name == _OPAQUE:
            xattrs.set_opaque(parent)
            self.opaque_root |= not parent_path
            return
        if name.startswith(_WHITEOUT_META):
            return
        hidden = name[len(_WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise refused(name, "a whiteout that names no entry")
        status = status_of(parent, hidden)
        if status is None:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        elif stat.S_ISDIR(status.st_mode):  # hides what is below, not what this layer brings itself
            fd = os.open(hidden, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                xattrs.set_opaque(fd)
            finally:
                os.close(fd)

    def _turn(self, directory: int) -> AbstractContextManager[object]:
        """For clearing a name in it, and making it anew."""
        return self._naming.turn(directory) if self._naming is not None else nullcontext()

    def top(self) -> int:
        """The directory that the archive's own root is."""
        return self._root

    def directory(self, path: bytes) -> int:
        """A descriptor of a directory of the tree, made with its parents when missing; owned by the cache."""
        if not path:
            return self.top()
        fd = self._open.get(path)
        if fd is not None:
            return fd
        try:
            fd = self.open(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            self._make_parents(path)
            fd = self.open(path)
        if len(self._open) >= _KEPT_OPEN:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd
        return fd

    def _make_parents(self, path: bytes) -> None:
        """Make every missing directory of `path` (an archive need not list them)."""
        at = -1
        while at < len(path):
            before, at = at, path.find(b"/", at + 1)
            at = len(path) if at < 0 else at
            parent = self.open(path[: max(before, 0)])
            try:
                name = path[before + 1 : at]
                with self._turn(parent):
                    status = status_of(parent, name)
                    if status is None or _is_whiteout(status):
                        self._make_directory(parent, name)
            finally:
                os.close(parent)

    def _make_directory(self, parent: int, name: bytes) -> None:
        """mkdir(2) where nothing or something else is; a directory that is there stays."""
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
            return
        except FileExistsError:
            status = status_of(parent, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            return
        self._clear(parent, name)
        os.mkdir(name, 0o755, dir_fd=parent)
        if status is not None and _is_whiteout(status):
            # "removed below, then made anew here": nothing of the lower directory may show through
            fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                xattrs.set_opaque(fd)
            finally:
                os.close(fd)

    def _clear(self, parent: int, name: bytes) -> None:
        """Remove what an earlier entry of this archive made here."""
        status = status_of(parent, name)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            # Paths that led through it lead elsewhere now: forget every cached descriptor but the one in use.
            for path in [path for path, fd in self._open.items() if fd != parent]:
                os.close(self._open.pop(path))
        if self._outline is not None and stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            self._outline.replacing(parent, name)
        else:
            remove_at(parent, name)


def _memory(path: bytes, later: _Later) -> int:
    """About how many bytes of memory `later` takes under its path."""
    attributes = sum(_ATTRIBUTE_COST + len(name) + len(value) for name, value in later.xattrs)
    return _DIRECTORY_COST + len(path) + attributes


def _clean(name: bytes) -> bytes:
    """A path relative to the root, of plain components; empty for the root itself."""
    if b"\0" in name or not name:
        raise refused(name, "an empty name or one with a NUL byte")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise refused(name, "its name holds '..'")
    return b"/".join(parts)


def status_of(dir_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _set_xattrs(file: int | tuple[int, bytes], attributes: tuple[tuple[bytes, bytes], ...]) -> None:
    """Set attributes on an open file, or on (directory, name). Overlayfs' own are dropped; so is what the file system
    or the kind of file does not take, as in Docker."""
    for attribute, value in attributes:
        if xattrs.is_overlay_private(attribute):
            continue
        try:
            if isinstance(file, int):
                os.setxattr(file, attribute, value)
            else:
                xattrs.set_at(*file, attribute, value)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def refused(name: bytes, reason: str) -> WardianError:
    shown = name[:300].decode(errors="replace")
    return WardianError(INVALID, f"archive entry {shown!r} is refused: {reason}", operation="unpack", subject=shown)


def explained(error: OSError, name: bytes) -> WardianError:
    shown = name[:300].decode(errors="replace")
    number = error.errno or 0
    if number in _FULL:
        return WardianError(
            SYSTEM,
            f"no space left on device: unpacking archive entry {shown!r}",
            operation="unpack",
            subject=shown,
            errno=number,
            hint="nothing of the image was kept; free some space below the data root",
        )
    kind = SYSTEM if number in _MACHINE else INVALID
    return WardianError(
        kind,
        f"archive entry {shown!r} cannot be written: {os.strerror(number)}",
        operation="unpack",
        subject=shown,
        errno=number,
    )
