"""start: from a container's spec to its running process.

    layers → sandbox (joined namespaces, network) → the three files of names → facts of the root → plan → launch

Nothing here mounts or makes namespaces: the plan says it all, the launcher does it, and undoes it when a step fails.
The plan joins what the sandbox has: a prepared network namespace, and a user namespace of the container's own
(userns.py of the runtime), which must be there before the mounts that are mapped by it.
What was opened on the way is closed in any case; what was acquired is given back when the launch fails.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, cast

import msgspec

from wardian.engine import links
from wardian.engine.attach import drop_departed
from wardian.engine.deadline import At, look
from wardian.engine.files import roots
from wardian.engine.files.names import write_all_names, write_timezone
from wardian.engine.life import create, sandbox
from wardian.engine.life.record import LaunchRecord, Phases
from wardian.engine.life.remains import tells_first
from wardian.engine.life.rootfacts import facts_of_image, facts_of_root
from wardian.engine.life.sandbox import Sandbox
from wardian.engine.logging import check_reachable, has_file, line_attributes, log_path, log_rotation
from wardian.engine.options import table as options
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import POINTS
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.spec import Spec
from wardian.engine.userns.choice import ids_of, mapped, own_files, own_upper
from wardian.engine.volumes.points import binds_of
from wardian.engine.volumes.use import as_planned, make_ready
from wardian.engine.workers import work
from wardian.errors import CONFLICT, INVALID, SYSTEM, WardianError
from wardian.network import Done
from wardian.runtime import Launched, LaunchError, Placement, RootFacts, Supervision, launch, plan
from wardian.storage import IdMap, RootLock, lock_root

_COPY_SECONDS = 3.0


class Started(NamedTuple):
    """`attached`: how many of the container's waiting attachers travelled with the plan."""

    launched: Launched
    sandbox: Sandbox
    record: LaunchRecord
    attached: int


async def start_container(parts: Parts, container: Container) -> Started:
    """Raises WardianError; then nothing is left of the attempt but the record of it."""
    phases = Phases()
    async with AsyncExitStack() as always, AsyncExitStack() as undo:
        # held until the container's overlay is made: a view of a writable layer and its container exclude each other
        always.enter_context(await _own_root(parts, container))
        root = roots.prepared(parts, container)
        ids = ids_of(container.config)
        own_upper(root.upper, ids)
        phases.mark("storage")
        links.check_links(parts, container)
        check_reachable(parts.home, container.config["HostConfig.LogConfig"])
        place = await sandbox.acquire(container, parts.registry, parts.networks)
        always.callback(place.close_descriptors)
        undo.push_async_callback(sandbox.release, container, parts.networks)
        phases.mark("network")
        await roots.check_rootfs_again(parts, container.config)
        spec = _spec_of_start(parts, container, place)
        await make_ready(parts, container, spec)
        _write_names(parts, container, place)
        write_timezone(container.config)
        own_files(container.config, ids)
        run_dir = _fresh_run_directory(parts, container.id)
        undo.callback(create.remove_run_directory, parts, container.id)
        phases.mark("files")
        facts = await _with_bind_sources(container.config, "start", lambda: facts_of_root(parts, container, spec, root))
        phases.mark("root facts")
        supervision = supervision_of(parts, container.config, run_dir, _log_attributes(container))
        placement = placement_of(parts, container.config)
        plan_ = plan(cast(Any, spec), parts.host, facts, mapped(parts, root.mount, ids), supervision, placement)
        phases.mark("plan")
        descriptors = {f"@{kind}": fd for kind, fd in place.descriptors.items()}
        drop_departed(container)
        attachers = tuple(container.attachers)
        try:
            publishing = place.attachment.publishing if place.attachment is not None else ()
            launched = await launch(plan_, descriptors, attachers, run_dir, publishing=publishing)
        except LaunchError as error:
            phases.mark("launch")
            record = LaunchRecord(plan_, error.records, phases, error.step, str(error), _set_up(place))
            record.write_or_log(container.config.directory)
            raise say_launch_error(error, spec["process"]["args"][0]) from error
        undo.pop_all()  # it runs: nothing of it is undone
    phases.mark("launch")
    return Started(
        launched, place, LaunchRecord(plan_, launched.records, phases, network=_set_up(place)), len(attachers)
    )


async def _own_root(parts: Parts, container: Container) -> RootLock:
    """Whoever copies a small file to or from it just now is waited for."""
    try:
        return lock_root(parts.home, container.id, "start")
    except WardianError as error:
        if error.kind != CONFLICT:
            raise
    return await work(
        lambda _: lock_root(parts.home, container.id, "start", _COPY_SECONDS),
        lambda _: None,
        "wardian-lock",
        unwanted=RootLock.release,
    )


def _set_up(place: Sandbox) -> tuple[Done, ...]:
    """What was done for the container's networks."""
    return place.attachment.steps if place.attachment is not None else ()


def say_launch_error(error: LaunchError, command: str) -> WardianError:
    """In the words from which docker's clients make 126 and 127, when the step that failed is the exec itself."""
    import errno

    if not error.at_exec:
        return error
    words = {
        errno.ENOENT: "no such file or directory",
        errno.EACCES: "permission denied",
        errno.ENOEXEC: "exec format error",
        errno.EISDIR: "is a directory",
        errno.E2BIG: "argument list too long",
    }.get(error.errno)
    if words is None:
        return error
    message = f"exec {command}: {words}"
    return WardianError(INVALID, message, operation="start", subject=command, errno=error.errno)


def _spec_of_start(parts: Parts, container: Container, place: Sandbox) -> Spec:
    """The spec as create wrote it, and what only a start knows: who is joined, whose names are shown."""
    config = container.config
    other = parts.registry.get(place.files_of) if place.files_of else None
    if other is not None:
        config = config.replaced({"Hostname": other.config.hostname()})
    spec = options.write_spec(config, create.cgroup_of(parts, config))
    if other is not None:
        spec["hostname"] = other.config.hostname()
        for mount in spec["mounts"]:
            directory, name = os.path.split(str(mount["source"]))
            if directory == config.directory and name in ("hostname", "hosts", "resolv.conf"):
                mount["source"] = os.path.join(other.config.directory, name)
    spec["process"]["env"] = links.with_links(parts, container, spec["process"]["env"])
    for namespace in spec["linux"]["namespaces"]:
        if namespace["type"] in place.descriptors:
            namespace["path"] = f"@{namespace['type']}"
    return spec


async def _with_bind_sources(config: ContainerConfig, operation: str, read: Callable[[], RootFacts]) -> RootFacts:
    """The facts of the root, with the sources made if it is a start. Without sources nothing of this can hang, and
    no thread is asked; with them one is, once."""
    sources = create.bind_sources(config)
    if not sources:
        return read()

    def job(at: At) -> RootFacts:
        if operation == "start":
            _make_bind_sources(config, at)
        at(", ".join(sources))
        return read()

    return await look(job, operation, f"container {config.id}")


def _make_bind_sources(config: ContainerConfig, at: At) -> None:
    """docker run -v makes a missing source, a directory of root's; --mount does not, unless it is asked to."""
    made = {bind.source for bind in binds_of(config) if bind.of_host}
    made |= {
        item["Source"]
        for item in config["HostConfig.Mounts"]
        if item["Type"] == "bind" and (item.get("BindOptions") or {}).get("CreateMountpoint")
    }
    for source in made:
        at(source)
        try:
            _make_directories(source, ids_of(config))
        except FileExistsError:
            continue  # a file is a fine source
        except OSError as error:
            message = f"error while creating mount source path '{source}': {error.strerror}"
            raise WardianError(SYSTEM, message, operation="start", subject=source, errno=error.errno or 0) from error
    create.refuse_missing(
        [item["Source"] for item in config["HostConfig.Mounts"] if item["Type"] == "bind"], "start", at
    )


def _make_directories(path: str, ids: IdMap) -> None:
    """Each one that is made belongs to the container's root."""
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        _make_directories(above, ids)
    if not os.path.isdir(path):
        os.mkdir(path)
        os.chown(path, *ids.outside(0, 0))


def _write_names(parts: Parts, container: Container, place: Sandbox) -> None:
    """hostname, hosts and resolv.conf of this start; a joined network shows the other container's."""
    if place.files_of:
        return
    attachment = place.attachment
    endpoints = attachment.endpoints if attachment is not None else ()
    resolver = attachment is not None and attachment.resolver
    lines = links.host_lines(links.linked(parts, container))
    write_all_names(container.config, endpoints, parts.networks.host_gateway, resolver, lines)
    links.tell_linking(parts, container)


def _fresh_run_directory(parts: Parts, identity: str) -> str:
    """The record of an earlier run must not be taken for this one's."""
    path = parts.home.run_container(identity)
    try:
        parts.run_places.make(path, 0o700)
    except FileExistsError:
        create.remove_run_directory(parts, identity)
        parts.run_places.make(path, 0o700)
    return path


def supervision_of(parts: Parts, config: ContainerConfig, run_dir: str, attributes: str = "") -> Supervision:
    log = config["HostConfig.LogConfig"]
    size, files = log_rotation(log)
    height, width = config["HostConfig.ConsoleSize"]
    return Supervision(
        container_id=config.id,
        run_dir=run_dir,
        log_dir=config.directory if has_file(log) else "",
        log_name=os.path.basename(log_path(config.directory, config.id)) if has_file(log) else "",
        log_max_size=size,
        log_max_files=files,
        log_attributes=attributes,
        terminal=config["Tty"],
        open_stdin=config["OpenStdin"],
        stdin_once=config["StdinOnce"],
        console_size=(height, width),
        init=_has_init(parts, config),
        timeout=config["Wardian.Timeout"],
        tells_first=tells_first(config),
    )


def _log_attributes(container: Container) -> str:
    """As the supervisor is told: JSON, "" for none."""
    options = container.config["HostConfig.LogConfig"]["Config"]
    found = line_attributes(container.record, container.config, options)
    return msgspec.json.encode(found).decode() if found else ""


def _has_init(parts: Parts, config: ContainerConfig) -> bool:
    """Docker's rule: a process namespace that is not its own has an init already."""
    asked = config["HostConfig.Init"]
    return not config["HostConfig.PidMode"] and bool(parts.home.init if asked is None else asked)


def placement_of(parts: Parts, config: ContainerConfig) -> Placement:
    base = parts.home.cgroup_base
    return Placement(cgroup=create.cgroup_of(parts, config), supervisor_cgroup=f"{base}/supervisors")


async def plan_of_body(parts: Parts, body: Mapping[str, Any]) -> dict[str, Any]:
    """What `run` of this body would do. Nothing is made; the facts of the root are read through a view."""
    started = time.perf_counter_ns()
    values, image, warnings = await create.resolve_body(parts, body, "")
    await create.check_bind_sources(values)
    await roots.check_rootfs(parts, values)
    if POINTS in values:
        values[POINTS] = as_planned(parts, values[POINTS])
    identity = "0" * 64
    config = ContainerConfig(values, identity, parts.home.container(identity))
    spec = options.write_spec(config, create.cgroup_of(parts, config))
    own = {"network"} if sandbox.has_links(config) else set()
    for namespace in spec["linux"]["namespaces"]:
        if namespace["type"] in own or (
            namespace["type"] in ("network", "pid", "ipc") and config.joins(namespace["type"])
        ):
            namespace["path"] = f"@{namespace['type']}"
    facts = await _with_bind_sources(config, "plan", lambda: facts_of_image(parts, config, tuple(image.layers), spec))
    rootfs = roots.planned(parts, config, tuple(image.layers)).mount
    run_dir = parts.home.run_container(identity)
    supervision = supervision_of(parts, config, run_dir)
    rootfs = mapped(parts, rootfs, ids_of(config))
    made = plan(cast(Any, spec), parts.host, facts, rootfs, supervision, placement_of(parts, config))
    return {
        "Image": image.id,
        "Network": [{"Kind": one.kind, "Description": one.description} for one in _planned_network(parts, config)],
        "Warnings": [*warnings, *made.warnings],
        "Spec": spec,
        "Steps": [
            {"Step": number, "Phase": step.phase, "Description": step.describe(), "MayFail": step.may_fail}
            for number, step in enumerate(made.ops)
        ],
        "Nanoseconds": time.perf_counter_ns() - started,
    }


def _planned_network(parts: Parts, config: ContainerConfig) -> Sequence[Done]:
    """The container has no name yet, and no id."""
    if not sandbox.has_links(config):
        return ()
    return parts.networks.planned(config.id, sandbox.sandbox_want(config, "NAME", parts.networks))
