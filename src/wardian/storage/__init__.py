"""How layers become a root: layers on disk, writable directories, views, locks, disk usage. Returns `Mount` values.

trash = Trash(home.trash); layers = LayerStore(home, trash); snapshots = Snapshots(home, layers, trash)
at start: trash.sweep(); layers.sweep()          at the end: trash.close()
root = snapshots.prepare(container_id, image.layers)         # root.mount goes into the plan
with lock_root(home, container_id, "start"): ...             # held while a container is being started
with open_view(snapshots.image_mount(image.layers)) as view: view.fd, view.read("/etc/passwd")
with open_view(root.mount, lock_root(home, container_id, "cp")) as view: ...
"""

from wardian.storage.differences import ADDED, CHANGED, DELETED, Difference, differences
from wardian.storage.extract import extract
from wardian.storage.ids import IdMap, id_map
from wardian.storage.layers import LayerFacts, LayerStore, StagedLayer, sync_directory
from wardian.storage.locks import RootLock, lock_root
from wardian.storage.pack import Packing, batched, pack_directory, pack_entry
from wardian.storage.snapshots import ContainerRoot, Snapshots
from wardian.storage.tarwriter import END as TAR_END
from wardian.storage.trash import Trash, remove_tree
from wardian.storage.usage import tree_size
from wardian.storage.views import Bind, View, open_process_root, open_view

__all__ = [
    "ADDED",
    "CHANGED",
    "DELETED",
    "TAR_END",
    "Bind",
    "ContainerRoot",
    "Difference",
    "IdMap",
    "LayerFacts",
    "LayerStore",
    "Packing",
    "RootLock",
    "Snapshots",
    "StagedLayer",
    "Trash",
    "View",
    "batched",
    "differences",
    "extract",
    "id_map",
    "lock_root",
    "open_process_root",
    "open_view",
    "pack_directory",
    "pack_entry",
    "remove_tree",
    "sync_directory",
    "tree_size",
]
