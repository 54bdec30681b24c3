"""What the engine's modules share: the parts of the house below it, opened once for one `Home`."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from wardian.engine.events.hub import Events
from wardian.engine.logging.followers import Followers
from wardian.engine.registry import Registry
from wardian.engine.store import EngineStore
from wardian.home import Home
from wardian.images import ImageStore
from wardian.network import Networks
from wardian.runtime import HostFacts
from wardian.storage import IdMap, LayerStore, Places, Snapshots, Trash, VolumeStore

if TYPE_CHECKING:
    from wardian.engine.options.defaults import ContainerDefaults
    from wardian.engine.volumes.use import Pins


class Parts(NamedTuple):
    home: Home
    host: HostFacts
    boot_id: str
    store: EngineStore
    registry: Registry
    events: Events
    images: ImageStore
    layers: LayerStore
    snapshots: Snapshots
    trash: Trash
    run_places: Places  # of the volatile directories, of containers and of execs
    networks: Networks
    volumes: VolumeStore
    volume_pins: "Pins"
    images_settled: asyncio.Lock  # held by what takes images away or names them, and by what begins to need one
    log_followers: Followers
    defaults: "ContainerDefaults"
    remap: IdMap | None  # what --userns-remap says; None without it
    promised_ids: list[IdMap]  # of containers that are being created: no other gets them
