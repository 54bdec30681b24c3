"""A container's files for those outside: `cp` (archive), `diff` (changes), `export`.

All of it reads and writes through descriptors of a view, in worker threads; nothing is mounted where others see it, and
nothing of the container is run or loaded. A removal waits for none of it (removed_meanwhile.py).
"""

import errno
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from wardian.engine.files import roots
from wardian.engine.files.removed_meanwhile import while_there, whole
from wardian.engine.files.views import ContainerViews, spec_of, unseen_volumes
from wardian.engine.inspect import rfc3339
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.streaming import consumed, produced
from wardian.engine.workers import work
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, SYSTEM, WardianError
from wardian.images import decompressed
from wardian.kernel.paths import followed_in_root, open_in_root
from wardian.runtime import resolve_user
from wardian.storage import (
    TAR_END,
    Difference,
    IdMap,
    Naming,
    Packing,
    View,
    batched,
    differences,
    extract,
    id_map,
    open_view,
    pack_directory,
    pack_entry,
)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NODE = os.O_PATH | os.O_NOFOLLOW
# What Docker's init layer has and ours is made at the start: where the engine's own mounts go.
_OWN_FILES = (b".dockerenv", b"dev/console", b"etc/hostname", b"etc/hosts", b"etc/resolv.conf")
_OWN_DIRECTORIES = (b"dev/pts", b"dev/shm", b"dev/mqueue", b"dev", b"proc", b"sys", b"etc")
# Go's os.FileMode, in which the API tells a mode
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}

PathStat = dict[str, Any]


class Download(NamedTuple):
    """What a path is, and its archive. `pieces` must be iterated or closed: it holds the view."""

    stat: PathStat
    pieces: AsyncIterator[bytes]


class Files:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._views = ContainerViews(parts)
        self._naming = Naming()  # of all containers: they may have volumes in common

    async def stat(self, ref: str, path: str) -> PathStat:
        container = self._parts.registry.find(ref)
        place = _absolute(path)

        def look(_: object) -> PathStat:
            with whole(container), _said(ref, path, place), self._views.view(container, "cp") as view:
                _refuse_unseen(view, container, place)
                return _path_stat(view, place)

        return await work(look, lambda _: None, "wardian-stat")

    async def download(self, ref: str, path: str) -> Download:
        """The path as an archive: a directory with all in it, a link as a link."""
        container = self._parts.registry.find(ref)
        place = _absolute(path)
        ids = self._ids(container)

        def pieces() -> Iterator[PathStat | bytes]:
            with whole(container), _said(ref, path, place), self._views.view(container, "cp") as view:
                _refuse_unseen(view, container, place)
                found = _path_stat(view, place)
                yield found
                yield from while_there(container, batched(_packed(view, place, found, ids)))
            yield TAR_END  # the view is closed when the client knows that this was all

        stream = produced(pieces, "wardian-cp")
        first = await anext(stream)
        assert isinstance(first, dict)
        self._publish(container, "archive-path")
        return Download(first, _bytes(stream))

    async def upload(
        self, ref: str, path: str, content: AsyncIterator[bytes], *, owned_by_user: bool, keep_kinds: bool
    ) -> None:
        """Write an archive (plain, gzip, bzip2, xz, zstd) below the directory `path`. `owned_by_user`: all is the
        container user's; `keep_kinds`: no directory becomes a file, nor the other way round."""
        container = self._parts.registry.find(ref)
        place = _absolute(path)
        ids = self._ids(container)

        def write(chunks: Iterator[bytes]) -> None:
            with whole(container), self._views.view(container, "cp") as view:
                with _said(ref, path, place):
                    _refuse_unseen(view, container, place)
                    destination = _destination(view, container, place)
                owner = None
                if owned_by_user and container.config["User"]:
                    owner = resolve_user(view.fd, container.config["User"])[:2]
                clean = posixpath.normpath(destination).encode("utf-8", "surrogateescape")
                entries = decompressed(while_there(container, chunks))
                naming = self._naming
                extract(entries, view.fd, clean, naming=naming, ids=ids, owner=owner, keep_kinds=keep_kinds)

        await consumed(content, write, "wardian-cp")
        self._publish(container, "extract-to-dir")

    async def changes(self, ref: str) -> list[dict[str, Any]] | None:
        container = self._parts.registry.find(ref)
        roots.refuse_without_changes(container, "diff")
        found = await work(lambda _: self.differences(container), lambda _: None, "wardian-diff")
        said = [{"Path": one.path.decode("utf-8", "replace"), "Kind": one.kind} for one in found]
        return said or None  # as Docker's

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """The container's whole root without what is mounted in it, as an archive."""
        container = self._parts.registry.find(ref)
        stream = produced(partial(self.all_of, container), "wardian-export")
        self._publish(container, "export")
        return stream

    # --- for worker threads ---

    def differences(self, container: Container) -> list[Difference]:
        """What the container changed in its image's root, without what the engine itself put there."""
        below = roots.below(self._parts, container.config, container.record.layers)
        with whole(container), self._upper(container) as upper, open_view(below) as view:
            image = view.open("/", _DIRECTORY)
            try:
                return differences(upper, image, _own_places(upper, image))
            finally:
                os.close(image)

    def layer(self, container: Container) -> Iterator[bytes]:
        """The container's changes as the archive of a layer."""
        packing = Packing(self._ids(container), layer=True, only={one.path[1:] for one in self.differences(container)})
        with whole(container), self._upper(container) as upper:
            yield from while_there(container, batched(pack_directory(upper, b"", packing)))
        yield TAR_END

    def all_of(self, container: Container) -> Iterator[bytes]:
        """Its root as an archive, by a view that is read-only over upper and lowers: it writes nothing anywhere, and so
        excludes no start."""
        packing = Packing(self._ids(container))
        with whole(container), open_view(roots.frozen(roots.root_of(self._parts, container))) as view:
            fd = view.open("/", _DIRECTORY)
            try:
                yield from while_there(container, batched(pack_directory(fd, b"", packing)))
            finally:
                os.close(fd)
        yield TAR_END

    @contextmanager
    def _upper(self, container: Container) -> Iterator[int]:
        fd = os.open(roots.root_of(self._parts, container).upper, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    def _ids(self, container: Container) -> IdMap:
        return id_map(spec_of(self._parts, container)["linux"])

    def _publish(self, container: Container, action: str) -> None:
        self._parts.events.publish("container", action, container.id, container.event_attributes())


async def _bytes(stream: AsyncIterator[PathStat | bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in stream:
            assert isinstance(piece, bytes)
            yield piece
    finally:
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator


def _absolute(path: str) -> str:
    """Go's archive.PreserveTrailingDotOrSeparator(filepath.Join("/", path), path)."""
    if not path:
        raise WardianError(INVALID, "bad parameter: path cannot be empty", operation="cp", subject="path")
    if "\0" in path:
        raise WardianError(INVALID, "bad parameter: path holds a NUL byte", operation="cp", subject="path")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if path.rstrip("/").rpartition("/")[2] == ".":
        return f"{clean.rstrip('/')}/."
    return f"{clean}/" if path.endswith("/") and clean != "/" else clean


def _base(place: str) -> str:
    return place.rstrip("/").rpartition("/")[2] or "/"


def _path_stat(view: View, place: str) -> PathStat:
    """X-Docker-Container-Path-Stat. lstat(2): a last link is itself, unless a slash follows it."""
    fd = open_in_root(view.fd, place, _NODE)
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    is_link = stat.S_ISLNK(status.st_mode)
    return {
        "name": _base(place),
        "size": status.st_size,
        "mode": _go_mode(status.st_mode),
        "mtime": rfc3339(status.st_mtime_ns),
        "linkTarget": followed_in_root(view.fd, place) if is_link else "",
    }


def _go_mode(mode: int) -> int:
    found = mode & 0o777 | _GO_KINDS.get(stat.S_IFMT(mode), 0)
    return found | sum(value for bit, value in _GO_BITS.items() if mode & bit)


def _packed(view: View, place: str, found: PathStat, ids: IdMap) -> Iterator[bytes]:
    called = _base(place).encode("utf-8", "surrogateescape")
    if found["mode"] & _GO_KINDS[stat.S_IFDIR]:
        fd = open_in_root(view.fd, place, _DIRECTORY)
        try:
            yield from pack_directory(fd, called, Packing(ids))
        finally:
            os.close(fd)
        return
    parent, _, name = place.rpartition("/")
    fd = open_in_root(view.fd, parent or "/", os.O_PATH | os.O_DIRECTORY)
    try:
        yield from pack_entry(fd, name.encode("utf-8", "surrogateescape"), called, ids)
    finally:
        os.close(fd)


def _destination(view: View, container: Container, place: str) -> str:
    """The directory to write into. Raises WardianError(INVALID) in Docker's words."""
    fd = open_in_root(view.fd, place, os.O_PATH)
    try:
        status, system = os.fstat(fd), os.fstatvfs(fd)
    finally:
        os.close(fd)
    if not stat.S_ISDIR(status.st_mode):
        raise WardianError(INVALID, "extraction point is not a directory", operation="cp", subject=place)
    in_root = status.st_dev == os.fstat(view.fd).st_dev
    if in_root and container.config["HostConfig.ReadonlyRootfs"]:
        raise WardianError(INVALID, "container rootfs is marked read-only", operation="cp", subject=place)
    if system.f_flag & os.ST_RDONLY:
        raise WardianError(INVALID, "mounted volume is marked read-only", operation="cp", subject=place)
    return place


def _refuse_unseen(view: View, container: Container, place: str) -> None:
    """Below the place of a volume that is not mounted now lies what is not the volume's."""
    for volume, _ in unseen_volumes(container):
        if f"{followed_in_root(view.fd, place)}/".startswith(f"{posixpath.normpath(volume)}/"):
            message = f"{volume} is a volume with a file system of its own: it is seen while the container runs"
            raise WardianError(CONFLICT, message, operation="cp", subject=place, hint="start the container first")


def _own_places(upper: int, image: int) -> set[bytes]:
    """Places for the engine's mounts that the image does not have, while they are as they were made."""
    own: set[bytes] = set()
    for path in _OWN_FILES:
        status = _look(upper, path)
        if status is not None and stat.S_ISREG(status.st_mode) and not status.st_size and _look(image, path) is None:
            own.add(path)
    for path in _OWN_DIRECTORIES:
        status = _look(upper, path)
        if status is None or not stat.S_ISDIR(status.st_mode) or _look(image, path) is not None:
            continue
        fd = open_in_root(upper, path, _DIRECTORY | os.O_NOFOLLOW)
        try:
            if all(path + b"/" + os.fsencode(name) in own for name in os.listdir(fd)):
                own.add(path)
        finally:
            os.close(fd)
    return own


def _look(root: int, path: bytes) -> os.stat_result | None:
    try:
        fd = open_in_root(root, path, _NODE)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


@contextmanager
def _said(ref: str, path: str, place: str) -> Iterator[None]:
    """The kernel's errors in Docker's words."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"Could not find the file {path} in container {ref}"
        raise WardianError(NOT_FOUND, message, operation="cp", subject=path, errno=errno.ENOENT) from error
    except OSError as error:
        message = f"lstat {place}: {os.strerror(error.errno or 0).lower()}"
        raise WardianError(SYSTEM, message, operation="cp", subject=path, errno=error.errno or 0) from error
