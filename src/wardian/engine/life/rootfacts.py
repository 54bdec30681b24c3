"""The facts of a container's root, kept for as long as they cannot change.

A container that has never run has its image's root, whole: the facts of one image, user, command and directory are read
once. One that ran may have changed its root, and mounts of the user hide parts of it: those are read anew each time.
"""

import os
from collections import OrderedDict
from contextlib import ExitStack
from typing import NamedTuple

from wardian.engine.files.roots import below, frozen, rootfs_of
from wardian.engine.options.config import ContainerConfig
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.spec import Spec
from wardian.kernel.mounts import Mount
from wardian.kernel.paths import open_in_root
from wardian.runtime import RootFacts, read_root_facts
from wardian.storage import ContainerRoot, View, open_view

_KEPT = 256


class _Shown(NamedTuple):
    """A mount of the user's: a path of the host, or an image's layers, and the part of it that is at `destination`."""

    source: str
    destination: str
    subpath: str
    lowers: tuple[str, ...]


_cache: OrderedDict[tuple[object, ...], RootFacts] = OrderedDict()


def facts_of_root(parts: Parts, container: Container, spec: Spec, root: ContainerRoot) -> RootFacts:
    """Raises WardianError for a command, a user or a directory that the root does not have."""
    config = container.config
    if not container.state.started_at:
        return facts_of_image(parts, config, container.record.layers, spec)
    # read-only over upper and lowers: the writable layer is not touched, and its lock is held by the start
    view = open_view(frozen(root))
    with view:
        return _read(view, config, spec)


def facts_of_image(parts: Parts, config: ContainerConfig, layers: tuple[str, ...], spec: Spec) -> RootFacts:
    process = spec["process"]
    path = next((item for item in process["env"] if item.startswith("PATH=")), "")
    groups = tuple(config["HostConfig.GroupAdd"])
    kept = not _user_mounts(spec) and rootfs_of(config) is None
    key = (layers, config["User"], groups, process["args"][0], path, process["cwd"], _user_mounts(spec))
    found = _cache.get(key) if kept else None
    if found is not None:
        _cache.move_to_end(key)
        return found
    with open_view(below(parts, config, layers)) as view:
        found = _read(view, config, spec)
    if kept:
        _cache[key] = found
        if len(_cache) > _KEPT:
            _cache.popitem(last=False)
    return found


def _read(view: View, config: ContainerConfig, spec: Spec) -> RootFacts:
    process = spec["process"]
    with ExitStack() as held:
        places = {
            one.destination: _place(held, one) if one.subpath or one.lowers else one.source
            for one in _user_mounts(spec)
        }
        return read_root_facts(
            view.fd,
            config["User"],
            process["args"],
            process["env"],
            process["cwd"],
            config["HostConfig.GroupAdd"],
            places,
        )


def _place(held: ExitStack, shown: _Shown) -> str:
    """What lies at `subpath` in a volume or an image now: resolved within it, for others write there."""
    if shown.lowers:
        root = held.enter_context(open_view(Mount("overlay", lowers=shown.lowers))).fd
    else:
        root = os.open(shown.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        held.callback(os.close, root)
    if not shown.subpath:
        return f"/proc/self/fd/{root}"
    part = open_in_root(root, shown.subpath, os.O_PATH)
    held.callback(os.close, part)
    return f"/proc/self/fd/{part}"


def _user_mounts(spec: Spec) -> tuple[_Shown, ...]:
    return tuple(
        _Shown(mount["source"], mount["destination"], mount.get("subpath", ""), tuple(mount.get("lowers", ())))
        for mount in spec["mounts"]
        if (mount["type"] == "bind" or "lowers" in mount) and os.path.dirname(mount["destination"]) != "/etc"
    )
