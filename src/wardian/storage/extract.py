"""Writing an archive into a container's files, as `docker cp` and PUT /containers/{id}/archive do.

As `unpack` in that every place is opened by openat2 with the container's root as root, and made by a single component
in a descriptor: the archive is as hostile as that of a layer, and here the tree too, which its processes change
meanwhile. Otherwise in that files are there already, whiteouts mean nothing, and the archive lands below a directory.

Several at once may write the same names: a name is cleared and made anew in one turn, so that each finds it there or
makes it, and the last one's stays. What goes into a file is nobody's turn: clients may be slow. Nor is emptying a tree
that gives way to something else: it may be large.
"""

import errno
import os
import stat
from collections.abc import Iterable

from wardian.errors import INVALID, SYSTEM, WardianError
from wardian.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, open_in_root, openat2
from wardian.storage.ids import IdMap
from wardian.storage.naming import Naming
from wardian.storage.tar import DIRECTORY, HARD_LINK, TarEntry, TarReader
from wardian.storage.trash import empty_at
from wardian.storage.unpack import Unpacker, status_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ON_ONE_MOUNT = RESOLVE_NO_XDEV | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


def extract(
    chunks: Iterable[bytes],
    root: int,
    destination: bytes,
    *,
    naming: Naming,
    ids: IdMap = IdMap(),  # noqa: B008  (a value)
    owner: tuple[int, int] | None = None,
    keep_kinds: bool = False,
) -> None:
    """Write the archive's entries below `destination`, a directory of the tree `root`.

    `naming` is that of all who write there at the same time. With `owner` all is theirs (ids of the inside). With
    `keep_kinds` a directory is never replaced by something else, nor the other way round. What was written before an
    error stays, as in Docker.
    """
    extractor = _Extractor(root, destination, naming, ids, owner, keep_kinds)
    name = b""
    try:
        reader = TarReader(chunks)
        for entry in reader:
            name = entry.name
            extractor.add(entry, reader)
        name = b""
        extractor.finish()
    except OSError as error:
        shown = name[:300].decode(errors="replace")
        text = os.strerror(error.errno or 0).lower()
        raise WardianError(SYSTEM, f"{shown}: {text}", operation="cp", subject=shown, errno=error.errno or 0) from error
    except (OverflowError, ValueError) as error:  # a number or a name that no kernel call takes
        shown = name[:300].decode(errors="replace")
        raise WardianError(INVALID, f"{shown}: {error}", operation="cp", subject=shown) from error
    finally:
        extractor.close()


class _Extractor(Unpacker):
    def __init__(
        self,
        root: int,
        destination: bytes,
        naming: Naming,
        ids: IdMap,
        owner: tuple[int, int] | None,
        keep_kinds: bool,
    ) -> None:
        super().__init__(root, naming=naming)
        self._destination = destination
        self._ids = ids
        self._owner = owner
        self._keep_kinds = keep_kinds
        self._top = open_in_root(root, destination, _DIRECTORY)

    def close(self) -> None:
        super().close()
        os.close(self._top)

    def top(self) -> int:
        return self._top

    def open(self, path: bytes) -> int:
        return open_in_root(self._root, self._destination + b"/" + path, _DIRECTORY)

    def open_itself(self, path: bytes) -> int:
        return open_in_root(self._root, self._destination + b"/" + path, _DIRECTORY | os.O_NOFOLLOW)

    def owner(self, entry: TarEntry) -> tuple[int, int]:
        return self._ids.outside(*(self._owner or (entry.uid, entry.gid)))

    def add(self, entry: TarEntry, reader: TarReader) -> None:
        path = _clean(entry.name)
        self.entries += 1
        if not path:
            return  # the destination is there, and stays what it is
        parent_path, _, name = path.rpartition(b"/")
        parent = self.directory(parent_path)
        if self._keep_kinds:
            self._check_kind(parent, name, entry)
        if entry.kind not in (DIRECTORY, HARD_LINK):  # a hard link to itself changes nothing
            self._empty(parent, name)
        self.place(path, parent, name, entry, reader)

    def _empty(self, parent: int, name: bytes) -> None:
        """A tree, before the turn in which it is replaced; what is left of it then is cleared there."""
        status = status_of(parent, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            _refuse_mount(parent, name)
            empty_at(parent, name)

    def _clear(self, parent: int, name: bytes) -> None:
        """A mount stays. unlink(2) in somebody else's mount namespace would take it away without a word."""
        _refuse_mount(parent, name)
        super()._clear(parent, name)

    def _check_kind(self, parent: int, name: bytes, entry: TarEntry) -> None:
        status = status_of(parent, name)
        if status is None:
            return
        is_directory, wanted = stat.S_ISDIR(status.st_mode), entry.kind == DIRECTORY
        if is_directory == wanted:
            return
        there, comes = ("directory", "non-directory") if is_directory else ("non-directory", "directory")
        shown, destination = _clean(entry.name).decode(errors="replace"), self._destination.decode(errors="replace")
        message = f'cannot overwrite {there} "{shown}" with {comes} "{destination}"'
        raise WardianError(SYSTEM, message, operation="cp", subject=shown)


def _refuse_mount(parent: int, name: bytes) -> None:
    if _holds_mount(parent, name):
        shown = name.decode(errors="replace")
        message = f"RemoveAll {shown}: {os.strerror(errno.EBUSY).lower()}"
        raise WardianError(SYSTEM, message, operation="cp", subject=shown, errno=errno.EBUSY)


def _holds_mount(parent: int, name: bytes) -> bool:
    """Whether `name` is a place where something is mounted, or a directory with such a place in it."""
    pending = [name]  # by path: however wide or deep it is, two descriptors are open at a time
    while pending:
        path = pending.pop()
        try:
            pending += [path + b"/" + child for child in _inside(parent, path)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.EXDEV:
                return True
            raise
    return False


def _inside(parent: int, path: bytes) -> list[bytes]:
    """The names in `path`, none when it is no directory. EXDEV where something is mounted."""
    fd = openat2(parent, path, os.O_PATH | os.O_NOFOLLOW, 0, _ON_ONE_MOUNT)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            return []
        here = os.open(".", _DIRECTORY, dir_fd=fd)
    finally:
        os.close(fd)
    try:
        return list(map(os.fsencode, os.listdir(here)))
    finally:
        os.close(here)


def _clean(name: bytes) -> bytes:
    """A path of plain components below the destination, as Go's filepath.Clean makes it; empty for the destination."""
    clean: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not clean:
                break
            clean.pop()
        elif part not in (b"", b"."):
            clean.append(part)
    else:
        if name and b"\0" not in name:
            return b"/".join(clean)
    shown = name[:300].decode(errors="replace")
    raise WardianError(SYSTEM, f'invalid entry name "{shown}"', operation="cp", subject=shown)
