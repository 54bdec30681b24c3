"""What a container's root is made of: its image's layers or, with --rootfs, a directory of the host's.

    image          overlay of the layers under the container's writable directory
    DIR:O          the same over DIR, in which nothing changes
    DIR            DIR itself: what the container writes stays there, and so do the places of its mounts

A directory that is the root itself is the user's: nothing of the engine's goes into it, and no removal comes near it.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from wardian.engine.deadline import At, look
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import IDS, OURS
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel.mounts import Mount
from wardian.kernel.procfs import place
from wardian.storage import ContainerRoot

ROOTFS = OURS + "Rootfs"


class Rootfs(NamedTuple):
    """`overlaid`: what is written stays out of the directory."""

    directory: str
    overlaid: bool


def rootfs_of(values: Mapping[str, Any] | ContainerConfig) -> Rootfs | None:
    """None for a container of an image."""
    asked = values[ROOTFS] if isinstance(values, ContainerConfig) else values.get(ROOTFS)
    if not asked:
        return None
    directory, _, options = str(asked).partition(":")
    return Rootfs(directory, options == "O")


def is_directory(config: ContainerConfig) -> bool:
    """Whether the container's root is a directory of the user's itself."""
    rootfs = rootfs_of(config)
    return rootfs is not None and not rootfs.overlaid


async def check_rootfs(parts: Parts, values: Mapping[str, Any]) -> None:
    """Raises WardianError. The directory may be on a server that does not answer (see deadline)."""
    rootfs = rootfs_of(values)
    if rootfs is None:
        return
    if values.get("Image"):
        raise _invalid("--rootfs takes the place of an image: not both")
    if values.get(IDS):
        message = "--rootfs with a user namespace of the container's own is not built yet"
        raise WardianError(NOT_IMPLEMENTED, message, operation="create", subject=ROOTFS)
    directory = rootfs.directory

    def refuse(at: At) -> None:
        at(directory)
        if not os.path.isdir(directory):
            raise _invalid(f"--rootfs {directory}: no such directory")
        _refuse_data_root(parts, directory, "create")

    await look(refuse, "create", directory)


async def check_rootfs_again(parts: Parts, config: ContainerConfig) -> None:
    """At a start: somebody may have mounted something else there since. Raises WardianError."""
    rootfs = rootfs_of(config)
    if rootfs is None:
        return
    directory = rootfs.directory

    def refuse(at: At) -> None:
        at(directory)
        _refuse_data_root(parts, directory, "start")

    await look(refuse, "start", directory)


def _refuse_data_root(parts: Parts, directory: str, operation: str) -> None:
    if not _holds(directory, parts.home.data_root):
        return
    message = f"--rootfs {directory}: it holds the engine's data root {parts.home.data_root}, and with it what the"
    message += " container itself is made of (an overlay may not lie below its own layers)"
    raise WardianError(INVALID, message, operation=operation, subject=ROOTFS)


def _holds(directory: str, other: str) -> bool:
    """Whether `other` is in this tree, and of its file system: an overlay does not see what is mounted in a layer. By
    their places in the file system: a bind mount shows one of them elsewhere."""
    try:
        (device, above), (other_device, below) = place(directory), place(other)
    except FileNotFoundError:
        return False  # who uses the directory says so
    return device == other_device and os.path.commonpath([above, below]) == above


def _invalid(message: str) -> WardianError:
    return WardianError(INVALID, message, operation="create", subject=ROOTFS)


def prepared(parts: Parts, container: Container) -> ContainerRoot:
    """The root, with its writable directories on disk. For who starts it: whoever only looks must not make them anew
    after a removal."""
    return _with_rootfs(container.config, parts.snapshots.prepare(container.id, container.record.layers))


def root_of(parts: Parts, container: Container) -> ContainerRoot:
    """The same, without touching the disk."""
    return _with_rootfs(container.config, parts.snapshots.root(container.id, container.record.layers))


def planned(parts: Parts, config: ContainerConfig, layers: tuple[str, ...]) -> ContainerRoot:
    """That of a container which is not made."""
    return _with_rootfs(config, parts.snapshots.root(config.id, layers))


def _with_rootfs(config: ContainerConfig, root: ContainerRoot) -> ContainerRoot:
    rootfs = rootfs_of(config)
    if rootfs is None:
        return root
    if rootfs.overlaid:
        return root._replace(mount=root.mount._replace(lowers=(rootfs.directory,)))
    return root._replace(mount=Mount("bind", rootfs.directory))


def below(parts: Parts, config: ContainerConfig, layers: tuple[str, ...]) -> Mount:
    """Read-only: what the container found there when it was made, its image."""
    rootfs = rootfs_of(config)
    if rootfs is None:
        return parts.snapshots.image_mount(layers)
    return Mount("overlay", lowers=(rootfs.directory, parts.layers.empty))


def frozen(root: ContainerRoot) -> Mount:
    """The root, read-only: nothing is written through it, and so it excludes no start."""
    lowers = root.mount.lowers if root.mount.type == "overlay" else (root.mount.source,)
    return Mount("overlay", lowers=(root.upper, *lowers))


def refuse_without_changes(container: Container, operation: str) -> None:
    """Where the root is the directory itself nobody knows what the container changed in it. Raises CONFLICT."""
    if not is_directory(container.config):
        return
    directory = container.config[ROOTFS]
    message = f"cannot {operation} container {container.id[:12]}: its root is the directory {directory} itself"
    hint = f"--rootfs {directory}:O keeps what it changes apart"
    raise WardianError(CONFLICT, message, operation=operation, subject=container.id, hint=hint)
