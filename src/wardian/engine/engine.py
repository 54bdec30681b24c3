"""The engine of one `Home`: opens the parts of the house in order, finds what still runs, lets go of it at the end."""

import asyncio
import errno
import logging
import os
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial

import wardian
from wardian.database import Database
from wardian.engine.containers import Containers
from wardian.engine.events.gaps import tell_missing
from wardian.engine.events.hub import Events, daemon_attributes
from wardian.engine.execs.table import Execs
from wardian.engine.files.calls import Files
from wardian.engine.files.commit import Commits
from wardian.engine.health.probes import HealthChecks
from wardian.engine.images import Images
from wardian.engine.life.joined import open_left_behind
from wardian.engine.life.lifecycle import Lifecycle
from wardian.engine.life.recovery import recover
from wardian.engine.life.sandbox import open_network
from wardian.engine.logging.followers import Followers
from wardian.engine.logging.targets import targets_of
from wardian.engine.networks import Networks
from wardian.engine.observe.stats import Stats
from wardian.engine.observe.system import System
from wardian.engine.options.defaults import ContainerDefaults, Defaults
from wardian.engine.parts import Parts
from wardian.engine.registries import Registries
from wardian.engine.registry import Registry
from wardian.engine.store import ENGINE_SCHEMA, EngineStore
from wardian.engine.userns.choice import find_remap
from wardian.engine.userns.subid_lines import ensure_default
from wardian.engine.volumes.calls import Volumes
from wardian.engine.volumes.use import Pins
from wardian.errors import UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.images import SCHEMA as IMAGE_SCHEMA
from wardian.images import ImageStore
from wardian.kernel import cgroups, procfs
from wardian.network import SCHEMA as NETWORK_SCHEMA
from wardian.network import Networks as HostNetworks
from wardian.runtime import keep_none, keep_ready, launcher_path, probe_host
from wardian.storage import VOLUME_SCHEMA, LayerStore, Places, Snapshots, Trash, VolumeStore, remove_tree

HELLO = "wardian/hello"

_CLOSE_SECONDS = 30.0  # for the engine's end, with a moment more for each step that others left no time
_CLOSE_LEAST = 1.0

log = logging.getLogger(__name__)


class Engine:
    """See the package's docstring for what each attribute offers. `start` before anything else."""

    containers: Containers
    execs: Execs
    files: Files
    commits: Commits
    images: Images
    registries: Registries
    networks: Networks
    volumes: Volumes
    events: Events
    system: System
    stats: Stats

    def __init__(self, home: Home, defaults: Defaults | None = None) -> None:
        self.home = home
        self._defaults = ContainerDefaults(defaults or Defaults())
        self._database: Database | None = None
        self._parts: Parts | None = None

    async def start(self) -> None:
        home = self.home
        if home.userns_remap == "default":
            ensure_default(home.subids)
        remap = await find_remap(home)  # refused before anything is made
        for path in (home.data_root, home.run_root):
            os.makedirs(os.path.join(path, "containers"), mode=0o711, exist_ok=True)
        schemas = (ENGINE_SCHEMA, NETWORK_SCHEMA, VOLUME_SCHEMA, IMAGE_SCHEMA)  # images: here too, one sync makes all
        self._database = database = Database(home.database, schemas)
        store = EngineStore(database)
        trash = Trash(home.trash)
        layers = LayerStore(home, trash)
        registry = Registry()
        _empty(home.run_staging)
        self._parts = parts = Parts(
            home=home,
            host=probe_host(files=True),
            boot_id=procfs.boot_id(),
            store=store,
            registry=registry,
            events=Events(store, home.events),
            images=ImageStore(home, layers),
            layers=layers,
            snapshots=Snapshots(home, layers, trash),
            trash=trash,
            run_places=Places(home.run_staging),
            networks=HostNetworks(home, database, partial(open_network, registry), partial(open_left_behind, registry)),
            volumes=VolumeStore(home, database, trash),
            volume_pins=Pins(),
            images_settled=asyncio.Lock(),
            log_followers=Followers(targets_of(home)),
            defaults=self._defaults,
            remap=remap,
            promised_ids=[],
        )
        self._lifecycle = lifecycle = Lifecycle(parts)
        self.events = parts.events
        self.events.load()
        self._tell("start")
        self.containers = Containers(parts, lifecycle)
        self.execs = Execs(parts)
        self.files = Files(parts)
        self.commits = Commits(parts, self.files, self.containers.still)
        self._health_checks = HealthChecks(parts, self.execs, self.containers.act)
        lifecycle.followers += (self.execs.follow, self._health_checks.follow)
        self.images = Images(parts)
        self.registries = Registries()
        self.networks = Networks(parts)
        self.volumes = Volumes(parts)
        self.stats = Stats(parts)
        self.system = System(parts, _identity(home))
        parts.volumes.load()
        trash.sweep()
        layers.sweep()
        # The one waits for the kernel, the other, once for a data root, for the disk.
        await asyncio.gather(parts.networks.start(), self._make_hello(parts))
        await recover(parts, lifecycle)
        for container in parts.registry:
            if container.state.started_at:  # of one that has ended, too: what was not sent is sent now
                parts.log_followers.follow(container)
        if parts.events.cut_off:
            tell_missing(parts.events, parts.registry)
        await self.execs.recover()
        self._health_checks.recover()
        keep_ready()

    def redefine(self, defaults: Defaults) -> None:
        """What containers have from now on that do not say, and the engine's labels."""
        self._defaults.now = defaults
        self._tell("reload")

    async def _make_hello(self, parts: Parts) -> None:
        """The built-in image, once: its one file is the launcher's own binary. A full disk gets it another time."""
        if parts.images.list_images({"reference": [HELLO]}):
            return
        try:
            await asyncio.to_thread(parts.images.make_hello, launcher_path())
        except WardianError as error:
            if error.errno != errno.ENOSPC:
                raise
            log.warning("%s", error)

    def _tell(self, action: str) -> None:
        """That this engine started, or stops."""
        self.events.publish("daemon", action, _identity(self.home), daemon_attributes(wardian.__version__))

    async def close(self) -> None:
        """Let go of everything. Containers and their supervisors run on. A step that fails holds no later one up; its
        error is raised at the end. One that does not end is left to itself."""
        end = asyncio.get_running_loop().time() + _CLOSE_SECONDS
        async with AsyncExitStack() as steps:  # carried out from the last to the first
            if self._database is not None:
                steps.callback(self._database.close)
            parts = self._parts
            if parts is not None:
                steps.callback(parts.trash.close)
                steps.callback(parts.images.close)
                mounts = [mount for _, mount in parts.host.cgroup_mounts]
                groups = [*mounts, *filter(None, [parts.host.cgroup2])]
                steps.callback(cgroups.remove_empty, groups, parts.home.cgroup_base)
                steps.push_async_callback(_until, end, "the networks", parts.networks.stop)
                steps.callback(parts.events.close)
                steps.push_async_callback(_until, end, "the followers of logs", parts.log_followers.close)
                if self.events.last:  # else its start failed before they were loaded
                    steps.callback(self._tell, "stop")
                steps.callback(self._lifecycle.close)
                steps.callback(keep_none)
                steps.callback(_empty, parts.home.run_staging)
                steps.callback(self.execs.close)
                steps.push_async_callback(_until, end, "the health checks", self._health_checks.close)
                steps.push_async_callback(_until, end, "what ended containers leave", self._lifecycle.remains.close)
                steps.push_async_callback(_until, end, "the watch over exits", partial(_end_watches, parts.registry))
                steps.push_async_callback(_until, end, "starts by restart policies", self._lifecycle.end_restarts)


async def _until(end: float, what: str, step: Callable[[], Coroutine[None, None, None]]) -> None:
    """Raises WardianError(UNAVAILABLE) when the step is not done by the `end`, in the loop's time."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(step())
    seconds = max(_CLOSE_LEAST, end - loop.time())
    if not (await asyncio.wait({task}, timeout=seconds))[0]:
        task.cancel()
        message = f"the engine's end: {what} did not end within {seconds:.0f} s"
        raise WardianError(UNAVAILABLE, message, operation="close", subject=what)
    task.result()


def _empty(directory: str) -> None:
    """There it is, with nothing in it."""
    if os.path.isdir(directory):
        remove_tree(*os.path.split(directory))
    os.mkdir(directory, 0o711)


async def _end_watches(registry: Registry) -> None:
    for container in registry:
        watch = container.exit_watch
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def _identity(home: Home) -> str:
    """This engine's own id, made once for its data root."""
    path = os.path.join(home.data_root, "engine-id")
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        identity = str(uuid.uuid4())
        with open(path, "w", encoding="ascii") as file:
            file.write(identity + "\n")
        return identity
