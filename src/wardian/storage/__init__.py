"""How layers become a root: layers on disk, writable directories, views, locks, disk usage. Returns `Mount` values.

trash = Trash(home.trash); layers = LayerStore(home, trash); snapshots = Snapshots(home, layers, trash)
at start: trash.sweep(); layers.sweep()          at the end: trash.close()
root = snapshots.prepare(container_id, image.layers)         # root.mount goes into the plan
with lock_root(home, container_id, "start"): ...             # held while a container is being started
with open_view(snapshots.image_mount(image.layers)) as view: view.fd, view.read("/etc/passwd")
with open_view(root.mount, lock_root(home, container_id, "cp")) as view: ...
volumes = VolumeStore(home, database, trash); volumes.load()      volumes.mount(name)     # goes into the plan
"""

from wardian.storage.copying import copy_owner, copy_tree
from wardian.storage.differences import ADDED, CHANGED, DELETED, Difference, differences
from wardian.storage.extract import extract
from wardian.storage.ids import IdMap, id_map
from wardian.storage.layers import LayerFacts, LayerStore, StagedLayer, sync_directory
from wardian.storage.locks import RootLock, lock_root
from wardian.storage.naming import Naming
from wardian.storage.pack import Packing, batched, pack_directory, pack_entry
from wardian.storage.places import Places
from wardian.storage.snapshots import ContainerRoot, Snapshots
from wardian.storage.spares import Spares
from wardian.storage.tarwriter import END as TAR_END
from wardian.storage.tarwriter import header as tar_header
from wardian.storage.trash import Trash, remove_at, remove_tree
from wardian.storage.usage import tree_size
from wardian.storage.views import Bind, Tree, View, close_trees, open_layers, open_process_root, open_trees, open_view
from wardian.storage.volume_options import ANONYMOUS, DRIVER, check_driver, check_options, check_volume_name
from wardian.storage.volumes import VOLUME_SCHEMA, Volume, VolumeStore

__all__ = [
    "ADDED",
    "ANONYMOUS",
    "CHANGED",
    "DELETED",
    "DRIVER",
    "TAR_END",
    "VOLUME_SCHEMA",
    "Bind",
    "ContainerRoot",
    "Difference",
    "IdMap",
    "LayerFacts",
    "LayerStore",
    "Naming",
    "Packing",
    "Places",
    "RootLock",
    "Snapshots",
    "Spares",
    "StagedLayer",
    "Trash",
    "Tree",
    "View",
    "Volume",
    "VolumeStore",
    "batched",
    "check_driver",
    "check_options",
    "check_volume_name",
    "close_trees",
    "copy_owner",
    "copy_tree",
    "differences",
    "extract",
    "id_map",
    "lock_root",
    "open_layers",
    "open_process_root",
    "open_trees",
    "open_view",
    "pack_directory",
    "pack_entry",
    "remove_at",
    "remove_tree",
    "sync_directory",
    "tar_header",
    "tree_size",
]
