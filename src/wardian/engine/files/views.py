"""The files of a container as it sees them, used by descriptor (design.md, "A view"), for what writes and reads them.

A running container: the root of its first process, with its tmpfs, volumes and binds. A stopped one: its overlay, made
detached, with the binds and the mounted images attached to it. One view of a container at a time, shared by all who use
it then: so two copies do not refuse each other. It holds the lock of the container's root, so that no start makes a
second overlay meanwhile.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from wardian.engine.deadline import look_from_thread
from wardian.engine.files.roots import root_of
from wardian.engine.life import create
from wardian.engine.options import table as options
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.spec import Spec
from wardian.engine.userns.choice import ids_of, mapped
from wardian.engine.volumes.image_mounts import image_trees
from wardian.engine.volumes.points import volumes_of
from wardian.errors import CONFLICT, NOT_FOUND, NOT_IMPLEMENTED, WardianError
from wardian.runtime import make_user_spaces
from wardian.storage import Bind, RootLock, Tree, View, close_trees, lock_root, open_process_root, open_trees, open_view

_PATIENCE = 10.0  # seconds for a start to end, or for a view of how the container was before
_PAUSE = 0.01
_STOPPED = (0, 0)


class _Shared:
    """The view of one container while somebody uses it; `process` is whose root it is."""

    def __init__(self) -> None:
        self.wanted = 0  # by so many: kept in the table for as long
        self.lock = threading.Lock()
        self.users = 0
        self.process = _STOPPED
        self.view: View | None = None


class ContainerViews:
    """Thread-safe; what it does may wait, and belongs into worker threads. No lock is held while a path of the host is
    looked at: its file system may be gone."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._shared: dict[str, _Shared] = {}

    @contextlib.contextmanager
    def view(self, container: Container, purpose: str) -> Iterator[View]:
        """Raises WardianError: CONFLICT when the container is started or changes for too long, SYSTEM for a mount, and
        for a source of a bind that does not answer."""
        with self._of(container) as shared, contextlib.ExitStack() as sources:
            view = self._enter(shared, container, purpose, sources)
            sources.close()
            try:
                yield view
            finally:
                with shared.lock:
                    shared.users -= 1
                    if not shared.users:
                        self._close(shared)

    @contextlib.contextmanager
    def _of(self, container: Container) -> Iterator[_Shared]:
        """One for all who use this container's files at a time, whoever of them comes or goes first."""
        with self._lock:
            shared = self._shared.setdefault(container.id, _Shared())
            shared.wanted += 1
        try:
            yield shared
        finally:
            with self._lock:
                shared.wanted -= 1
                if not shared.wanted:
                    del self._shared[container.id]

    def _enter(self, shared: _Shared, container: Container, purpose: str, held: contextlib.ExitStack) -> View:
        """`held` gets what is to be closed when this returns."""
        trees: list[Tree] | None = None
        end = time.monotonic() + _PATIENCE
        while True:
            if trees is None and shared.view is None and _process(container) == _STOPPED:
                trees = self._sources(container, purpose)
                held.callback(close_trees, trees)
                end = time.monotonic() + _PATIENCE
            with shared.lock:
                if shared.view is None:
                    try:
                        shared.view, shared.process = self._open(container, purpose, end, trees)
                    except WardianError as error:
                        if error.errno != errno.ESRCH or time.monotonic() > end:
                            raise
                        time.sleep(_PAUSE)  # its process ended, or begins, just now: its state will say so
                        continue
                if shared.process == _process(container):
                    shared.users += 1
                    return shared.view
                if not shared.users:
                    self._close(shared)
            if time.monotonic() > end:
                message = f"cannot {purpose} container {container.id[:12]}: its files are in use as they were before"
                raise WardianError(CONFLICT, message, operation=purpose, subject=container.id)
            time.sleep(_PAUSE)

    def _close(self, shared: _Shared) -> None:
        view, shared.view = shared.view, None
        if view is not None:
            view.close()

    def _sources(self, container: Container, purpose: str) -> list[Tree]:
        """What the binds of a stopped container show."""
        binds = [_bind(one) for one in spec_of(self._parts, container)["mounts"] if one["type"] == "bind"]
        # Nothing gets below the place of a volume that is not mounted: its own directory is there, read-only.
        binds += [Bind(source, place, read_only=True) for place, source in unseen_volumes(container)]
        return look_from_thread(partial(open_trees, binds), purpose, f"container {container.id}", close_trees)

    def _open(
        self, container: Container, purpose: str, end: float, trees: list[Tree] | None
    ) -> tuple[View, tuple[int, int]]:
        parts = self._parts
        lock = lock_root(parts.home, container.id, purpose, max(0.0, end - time.monotonic()))
        try:
            if not container.state.live and container.lock.locked():
                # it is being started, say: a start wants this lock, and lets go of it before the state says "running"
                message = f"container {container.id[:12]} is being changed"
                raise WardianError(CONFLICT, message, operation=purpose, subject=container.id, errno=errno.ESRCH)
            if parts.registry.get(container.id) is not container:
                message = f"No such container: {container.id}"
                raise WardianError(NOT_FOUND, message, operation=purpose, subject=container.id)
            process = _process(container)
            if process != _STOPPED:
                return open_process_root(*process, lock), process
            if trees is None or container.remains is not None:
                message = f"container {container.id[:12]} has just ended"
                raise WardianError(CONFLICT, message, operation=purpose, subject=container.id, errno=errno.ESRCH)
            return self._stopped(container, lock, trees), process
        except BaseException:
            lock.release()
            raise

    def _stopped(self, container: Container, lock: RootLock, trees: list[Tree]) -> View:
        root = root_of(self._parts, container)
        ids = ids_of(container.config)
        if ids.uids and not self._parts.host.kernel_at_least(6, 15):
            message = f"the files of container {container.id[:12]}, which does not run: idmapped layers that are"
            message += " mounted nowhere need Linux 6.15"
            hint = "start it first, or use export"
            raise WardianError(NOT_IMPLEMENTED, message, operation="view", subject=container.id, hint=hint)
        with contextlib.ExitStack() as held:
            userns = -1
            if ids.uids:  # what is copied up from a layer must belong to whom it belongs in the container
                userns = make_user_spaces(ids.uids, ids.gids, False).user
                held.callback(os.close, userns)
            images = image_trees(self._parts, container, userns)
            held.callback(close_trees, images)
            view = open_view(mapped(self._parts, root.mount, ids), lock, userns)
            try:
                view.attach(sorted([*trees, *images], key=lambda tree: tree.destination.count("/")))
            except BaseException:
                view.close()
                raise
        return view


def _bind(mount: Mapping[str, Any]) -> Bind:
    words = mount["options"]
    read_only = not {"ro", "rro"}.isdisjoint(words)
    return Bind(mount["source"], mount["destination"], "bind" not in words, read_only, mount.get("subpath", ""))


def unseen_volumes(container: Container) -> list[tuple[str, str]]:
    """Places and directories of volumes that are a file system of their own (NFS, a device): only a running container
    has them mounted. A tmpfs has no content then."""
    if container.state.live:
        return []
    found = volumes_of(container.config)
    return [(one["Destination"], one["Source"]) for one in found if one["mount"]["type"] not in ("bind", "tmpfs")]


def spec_of(parts: Parts, container: Container) -> Spec:
    return options.write_spec(container.config, create.cgroup_of(parts, container.config))


def _process(container: Container) -> tuple[int, int]:
    state = container.state
    return (state.pid, state.start_time) if state.live else _STOPPED
