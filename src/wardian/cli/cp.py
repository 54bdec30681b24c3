"""`cp`: files between a container and this machine, by Docker's rules of what a path and its slashes mean.

A path that ends in a slash is a directory; one that ends in "/." is what is in it. What does not exist is made, its
parent is not. Where a file takes a new name, the entries of the archive are renamed on the way.
"""

from __future__ import annotations

import os
import stat
import sys

from wardian.cli.command import Command, Failure, path_name
from wardian.cli.human import size_text
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.client import Client

_PIECE = 1 << 18
_HEADER = "x-docker-container-path-stat"
_GO_DIRECTORY, _GO_LINK, _GO_DEVICE, _GO_IRREGULAR = 1 << 31, 1 << 27, 1 << 26, 1 << 19
_LINKS = 10


class Place:
    """What a path is: `rename` is the name asked for where a link led to another."""

    __slots__ = ("exists", "is_directory", "path", "rename")

    def __init__(self, path: str, exists: bool = False, is_directory: bool = False, rename: str = "") -> None:
        self.path = path
        self.exists = exists
        self.is_directory = is_directory
        self.rename = rename


def cp(invocation: Invocation) -> int:
    source, destination = invocation.args
    if not source:
        raise Failure("source can not be empty")
    if not destination:
        raise Failure("destination can not be empty")
    from_container, source_path = split_argument(source)
    to_container, destination_path = split_argument(destination)
    if from_container and to_container:
        raise Failure("copying between containers is not supported")
    if from_container:
        _copy_out(invocation, path_name(from_container), source_path, destination_path)
    elif to_container:
        _copy_in(invocation, path_name(to_container), source_path, destination_path)
    else:
        raise Failure("must specify at least one container source")
    return 0


def split_argument(text: str) -> tuple[str, str]:
    """(container, path): a path of this machine is absolute, begins with a dot, or has no colon."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


# --- out of a container ---


def _copy_out(invocation: Invocation, container: str, source: str, destination: str) -> None:
    if destination != "-":
        destination = local_path(destination)
        _check_output(destination)
    rename = ""
    if invocation.flag("follow-link"):
        found = _stat(invocation.client, container, source)
        if found is not None and int(found["mode"]) & _GO_LINK:
            source, rename = renamed(source, _joined(source, str(found["linkTarget"])))
    with invocation.client.stream("GET", f"/containers/{container}/archive", query={"path": source}) as stream:
        if destination == "-":
            for piece in stream.chunks():
                _write(piece)
            return
        counted = _Counted(stream.chunks())
        mode = int(_decode(stream.headers[_HEADER])["mode"])
        place = Place(source, True, bool(mode & _GO_DIRECTORY), rename)
        _write_here(counted, place, destination, invocation.flag("archive"))
    _tell(invocation, counted.size, destination)


def _write_here(chunks: Iterable[bytes], source: Place, destination: str, owners: bool) -> None:
    from wardian.cli.local_tree import unpack

    target, new_name = where(source, _local_destination(destination))
    renames = []
    base = split_entry(source.path)[1]
    if source.rename:
        renames.append(("" if base == "/" else base, source.rename))
        base = source.rename
    if new_name:
        renames.append(("" if base == "/" else base, new_name))
    unpack(chunks, target, renames, owners)


def _check_output(path: str) -> None:
    parent = os.path.dirname(os.path.normpath(path))
    if parent and not os.path.exists(parent):
        raise Failure(f'invalid output path: directory "{parent}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Failure(f"stat {path}: {str(error.strerror).lower()}") from None
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise Failure(f'invalid output path: "{path}" must be a directory or a regular file: got a device')


def _local_destination(path: str) -> Place:
    """Where a path of this machine leads, links followed; its parent must be there."""
    original = path
    for _ in range(_LINKS + 1):
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            parent = split_entry(path)[0]
            try:
                if not stat.S_ISDIR(os.stat(parent).st_mode):
                    raise Failure("not a directory")
            except OSError as error:
                raise Failure(f"stat {parent}: {str(error.strerror).lower()}") from None
            return Place(path)
        except OSError as error:
            raise Failure(f"lstat {path}: {str(error.strerror).lower()}") from None
        if not stat.S_ISLNK(mode):
            return Place(path, True, stat.S_ISDIR(mode))
        path = _joined(path, os.readlink(path))
    raise Failure(f"too many symlinks in {original}")


# --- into a container ---


def _copy_in(invocation: Invocation, container: str, source: str, destination: str) -> None:
    client = invocation.client
    place = Place(destination)
    found = _stat(client, container, destination)
    if found is not None and int(found["mode"]) & _GO_LINK:
        place.path = _joined(destination, str(found["linkTarget"]))
        found = _stat(client, container, place.path)
    if found is not None:
        mode = int(found["mode"])
        wrong = "got a device" if mode & _GO_DEVICE else "got an irregular file" if mode & _GO_IRREGULAR else ""
        if wrong:
            raise Failure(f'destination "{container}:{destination}" must be a directory or a regular file: {wrong}')
        place.exists, place.is_directory = True, bool(mode & _GO_DIRECTORY)
    if source == "-":
        if not place.is_directory:
            raise Failure(f'destination "{container}:{destination}" must be a directory')
        content, target = _Counted(_stdin()), place.path
    else:
        content, target = _pack_from_here(local_path(source), invocation.flag("follow-link"), place)
    query = {
        "path": target,
        "noOverwriteDirNonDir": "true",
        "copyUIDGID": "true" if invocation.flag("archive") else None,
    }
    headers = {"Content-Type": "application/x-tar"}
    with client.stream("PUT", f"/containers/{container}/archive", iter(content), query, headers) as stream:
        stream.read()
    _tell(invocation, content.size, f"{container}:{place.path}")


def _pack_from_here(path: str, follow: bool, destination: Place) -> tuple[_Counted, str]:
    from wardian.cli.local_tree import packed

    source = _local_source(path, follow)
    target, new_name = where(source, destination)
    return _Counted(packed(source.path, new_name or source.rename or split_entry(source.path)[1])), target


def _local_source(path: str, follow: bool) -> Place:
    """A path of this machine with the links before its last component followed; the last too where that is wanted."""
    try:
        if follow:
            resolved, rename = renamed(path, os.path.realpath(path, strict=True))
        else:
            parent, _, base = path.rpartition("/")
            resolved = os.path.realpath(parent or "/", strict=True).rstrip("/") + "/" + base
            rename = _base(path) if path.endswith("/") and _base(path) != _base(resolved) else ""
        mode = os.lstat(resolved).st_mode
    except NotADirectoryError:
        raise Failure("not a directory") from None
    except OSError as error:
        raise Failure(f"lstat {error.filename or path}: {str(error.strerror).lower()}") from None
    return Place(resolved, True, stat.S_ISDIR(mode), rename)


# --- what paths mean ---


def where(source: Place, destination: Place) -> tuple[str, str]:
    """(directory to write into, new name of the archive's first component or ""). Raises Failure in Docker's words."""
    if destination.exists and destination.is_directory:
        return destination.path, ""
    if destination.exists and source.is_directory:
        raise Failure("cannot copy directory")
    if not destination.exists and not source.is_directory and _asserts_directory(destination.path):
        raise Failure("no such directory")
    return split_entry(destination.path)


def split_entry(path: str) -> tuple[str, str]:
    """Go's archive.SplitPathDirEntry: (parent, last component), where "/." is a component."""
    clean = os.path.normpath(path) if path else "."
    if _says_current(path):
        clean += "/."
    parent, _, base = clean.rpartition("/")
    return parent or ("/" if clean.startswith("/") else "."), base or "/"


def local_path(path: str) -> str:
    """Absolute, with the slash or "/." at its end kept."""
    clean = os.path.normpath(os.path.join(os.getcwd(), path))
    if _says_current(path):
        return f"{clean.rstrip('/')}/."
    return f"{clean}/" if path.endswith("/") and not clean.endswith("/") else clean


def renamed(path: str, resolved: str) -> tuple[str, str]:
    """Go's archive.GetRebaseName: the resolved path with the ending of `path`, and its name where the other is not."""
    if _says_current(path) and not _says_current(resolved):
        resolved += "/."
    if path.endswith("/") and not resolved.endswith("/"):
        resolved += "/"
    return resolved, _base(path) if _base(path) != _base(resolved) else ""


def _says_current(path: str) -> bool:
    return _base(path) == "."


def _asserts_directory(path: str) -> bool:
    return path.endswith("/") or _says_current(path)


def _base(path: str) -> str:
    """Go's filepath.Base."""
    return path.rstrip("/").rpartition("/")[2] or ("/" if path else ".")


def _joined(link: str, target: str) -> str:
    """Where a link's text leads."""
    if target.startswith("/"):
        return target
    return os.path.normpath(os.path.join(split_entry(link)[0], target))


# --- requests and streams ---


def _stat(client: Client, container: str, path: str) -> dict[str, Any] | None:
    """None when there is no such file; what is wrong otherwise, the copy itself will say."""
    answer = client.request("HEAD", f"/containers/{container}/archive", query={"path": path})
    return _decode(answer.headers[_HEADER]) if answer.status == 200 else None


def _decode(header: str) -> dict[str, Any]:
    import binascii

    from wardian.client import jsontext

    found = jsontext.decode(binascii.a2b_base64(header))
    assert isinstance(found, dict)
    return found


class _Counted:
    """Pieces, and how many bytes went by."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def _stdin() -> Iterator[bytes]:
    while piece := os.read(0, _PIECE):
        yield piece


def _write(piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(1, view) :]


def _tell(invocation: Invocation, size: int, target: str) -> None:
    if not invocation.flag("quiet") and (invocation.given("quiet") or os.isatty(2)):
        sys.stderr.write(f"Successfully copied {size_text(size)} to {target}\n")


CP = Command(
    cp,
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\twardian cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    (
        Flag("archive", "a", "bool", "", "Keep the owners of what is copied"),
        Flag("follow-link", "L", "bool", "", "Copy what a link in SRC_PATH leads to"),
        Flag("quiet", "q", "bool", "", "Do not say what was copied"),
    ),
    least=2,
    most=2,
)
