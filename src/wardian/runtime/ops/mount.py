"""Operations that make mounts, put them into the container's root and close what is in it (launcher/ops_mount.c)."""

from typing import NamedTuple

from wardian.kernel import mounts
from wardian.runtime import protocol


class FsOpen(NamedTuple):
    """fsopen(2): a filesystem to be configured."""

    fs: str
    type: str

    def describe(self) -> str:
        return f"new {self.type} filesystem for {self.fs}"


class FsFlag(NamedTuple):
    fs: str
    key: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key}"


class FsString(NamedTuple):
    fs: str
    key: str
    value: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key}={self.value}"


class FsPath(NamedTuple):
    """A directory of the host, opened and given by descriptor (overlayfs since Linux 6.13)."""

    fs: str
    held: str
    key: str
    path: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key}={self.path}"


class FsHandle(NamedTuple):
    fs: str
    key: str
    handle: str

    def describe(self) -> str:
        return f"{self.fs}: {self.key} is {self.handle}"


class FsMount(NamedTuple):
    """fsconfig(2) FSCONFIG_CMD_CREATE and fsmount(2): a detached mount."""

    fs: str
    mount: str
    attributes: int

    def describe(self) -> str:
        return f"make {self.mount}, attached nowhere{mounts.attribute_text(self.attributes)}"


class LegacyOverlay(NamedTuple):
    """mount(2) of an overlay with paths relative to `directory`, cloned detached: kernels below 6.5.

    `over`, a mount, covers the path `place` while that is done.
    """

    mount: str
    directory: str
    target: str
    options: str
    over: str = ""
    place: str = ""

    def describe(self) -> str:
        over = f", {self.over} over {self.place}" if self.over else ""
        return f"make {self.mount}: overlay {self.options} in {self.directory} by mount(2){over}"


class Tree(NamedTuple):
    """open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mounts at a path of the host."""

    mount: str
    path: str
    recursive: int

    def describe(self) -> str:
        return f"copy the mount at {self.path} as {self.mount}{', with those below' if self.recursive else ''}"


class TreeIn(NamedTuple):
    """open_tree(2) with OPEN_TREE_CLONE of a path as another mount namespace has it, without following links.

    The launcher enters that namespace for this call alone: before Linux 6.15 only a mount of the caller's own namespace
    can be cloned.
    """

    mount: str
    namespace: str
    path: str

    def describe(self) -> str:
        return f"copy the mount at {self.path} of {self.namespace} as {self.mount}"


class Subtree(NamedTuple):
    """openat2(2) with RESOLVE_IN_ROOT and open_tree(2) of what it found: a detached copy of a path inside a tree that
    others write, containers say. No link there leads out of it, and it cannot be exchanged in between."""

    mount: str
    root: str
    path: str
    recursive: int

    def describe(self) -> str:
        return f"copy what is at {self.path} in {self.root} as {self.mount}"


class OpenIn(NamedTuple):
    """openat2(2) with RESOLVE_IN_ROOT of a path below a mount that is attached nowhere."""

    handle: str
    root: str
    path: str
    flags: int

    def describe(self) -> str:
        return f"open {self.path} of {self.root} as {self.handle}"


class SetMount(NamedTuple):
    """mount_setattr(2)."""

    mount: str
    set: int
    clear: int
    propagation: int
    recursive: int
    userns: str = ""

    def describe(self) -> str:
        words = mounts.attribute_text(self.set) + mounts.propagation_text(self.propagation)
        if self.clear:
            words += f", not{mounts.attribute_text(self.clear).lstrip(',')}"
        words += f" by {self.userns}" if self.userns else ""
        return f"set {self.mount}{words}{', and all below' if self.recursive else ''}"


class Attach(NamedTuple):
    """move_mount(2) of a detached mount to a path within `root`."""

    mount: str
    root: str
    target: str
    create: int

    def describe(self) -> str:
        return f"attach {self.mount} on {self.target}"


class Mount(NamedTuple):
    """A new filesystem attached to a path within `root`: fsopen … move_mount."""

    root: str
    target: str
    type: str
    source: str
    options: tuple[str, ...]
    attributes: int
    create: int = protocol.CREATE["DIRECTORY"]

    def describe(self) -> str:
        words = f" ({','.join(self.options)})" if self.options else ""
        return f"mount {self.type} on {self.target}{words}{mounts.attribute_text(self.attributes)}"


class Propagation(NamedTuple):
    """mount(2) with only propagation flags on /."""

    flags: int

    def describe(self) -> str:
        return f"propagation of the host's mounts{mounts.propagation_text(self.flags & ~mounts.MS_REC)}"


class AttachRoot(NamedTuple):
    """The detached root goes on top of / of the new mount namespace; the working directory goes into it."""

    mount: str

    def describe(self) -> str:
        return f"attach {self.mount} in the new mount namespace"


class Pivot(NamedTuple):
    """pivot_root(2) onto the root, and the host's mounts detached."""

    root: str

    def describe(self) -> str:
        return f"pivot_root to {self.root}, and let the host's mounts go"


class Mask(NamedTuple):
    """/dev/null over a file, an empty read-only tmpfs over a directory; what is not there needs no mask."""

    root: str
    path: str

    def describe(self) -> str:
        return f"mask {self.path}"


class ReadOnly(NamedTuple):
    """A read-only bind of a path on itself, where it is there."""

    root: str
    path: str

    def describe(self) -> str:
        return f"read-only {self.path}"


Operation = (
    FsOpen
    | FsFlag
    | FsString
    | FsPath
    | FsHandle
    | FsMount
    | LegacyOverlay
    | Tree
    | TreeIn
    | Subtree
    | OpenIn
    | SetMount
    | Attach
    | Mount
    | Propagation
    | AttachRoot
    | Pivot
    | Mask
    | ReadOnly
)
