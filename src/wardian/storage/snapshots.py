"""How layers become a root: overlay lowers by path, and one writable directory for each container.

    containers/ID/upper   what the container changed        layers/ID/diff   one image layer, shared
    containers/ID/work    overlayfs' own                    layers/empty     a lower for roots that have too few

Nothing here mounts: `Mount` values go into a plan (a container) or into a view.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

from wardian.home import Home
from wardian.kernel.mounts import Mount
from wardian.storage.layers import LayerStore
from wardian.storage.places import Places
from wardian.storage.spares import Spares, make_container_directory
from wardian.storage.trash import Trash
from wardian.storage.usage import tree_size


class ContainerRoot(NamedTuple):
    """A container's root: the mount to make, and the host paths of its writable part."""

    mount: Mount
    upper: str
    work: str


class Snapshots:
    """The roots of one engine's containers. All its state is on disk, but for directories made ahead."""

    def __init__(self, home: Home, layers: LayerStore, trash: Trash) -> None:
        self._home = home
        self._layers = layers
        self._trash = trash
        self._spares = Spares(Places(home.staging), make_container_directory)
        os.makedirs(os.path.dirname(home.container("ID")), mode=0o710, exist_ok=True)

    def prepare(self, container_id: str, layer_ids: Sequence[str]) -> ContainerRoot:
        """Make the writable directories of a container over `layer_ids` (top first). Idempotent.

        Not synced: the engine's row about the container is, and directories that a power loss took are made again
        when it starts.
        """
        root = self.root(container_id, layer_ids)
        if not os.path.isdir(root.work):
            self._spares.take(self._home.container(container_id))
        return root

    def root(self, container_id: str, layer_ids: Sequence[str]) -> ContainerRoot:
        """The same value as `prepare` returns, without touching the disk (but for what layers say of themselves)."""
        directory = self._home.container(container_id)
        upper, work = os.path.join(directory, "upper"), os.path.join(directory, "work")
        lowers = self._layers.lowers(layer_ids) or (self._layers.empty,)
        return ContainerRoot(Mount("overlay", lowers=lowers, upper=upper, work=work), upper, work)

    def image_mount(self, layer_ids: Sequence[str]) -> Mount:
        """A read-only root of an image (top first): for views."""
        lowers = self._layers.lowers(layer_ids)
        if not lowers:
            return Mount("bind", self._layers.empty)
        # overlayfs without an upper wants two lowers; a bare bind of one layer would show its whiteouts as devices.
        return Mount("overlay", lowers=lowers if len(lowers) > 1 else (*lowers, self._layers.empty))

    def remove(self, container_id: str) -> None:
        """Take away the container's whole directory: out of sight when this returns, deleted later. Idempotent."""
        self._trash.discard(self._home.container(container_id))

    def size(self, container_id: str) -> int:
        """Bytes that the container wrote (Docker's SizeRw): file sizes in its upper, a hard-linked file once."""
        return tree_size(os.path.join(self._home.container(container_id), "upper"))
