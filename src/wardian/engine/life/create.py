"""create: a body becomes one durable row, the OCI spec beside it, and the container's directories. Nothing runs."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from wardian.descriptors import write_all
from wardian.engine.deadline import At, look
from wardian.engine.files.roots import below, check_rootfs, is_directory, rootfs_of
from wardian.engine.life.restart_policy import check_with_removal
from wardian.engine.life.sandbox import has_links, sandbox_want
from wardian.engine.life.state import RunState
from wardian.engine.links import settle_links
from wardian.engine.logging import log_warnings, settle_log_config
from wardian.engine.names import check_name, make_name
from wardian.engine.options import table as options
from wardian.engine.options.config import JOINS, ContainerConfig
from wardian.engine.options.decode import decode, merge_image
from wardian.engine.options.defaults import fill
from wardian.engine.options.endpoints import check_endpoints, network_of, wanted
from wardian.engine.options.limit_checks import settle_limits
from wardian.engine.options.table import ENDPOINTS, POINTS
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.spec import Spec
from wardian.engine.store import ContainerRecord
from wardian.engine.userns.choice import ids_of, own_upper, promised_ids, settle_user_namespace
from wardian.engine.volumes.image_mounts import refuse_removed
from wardian.engine.volumes.points import binds_of, host_source
from wardian.engine.volumes.use import points_of_body, settled
from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.images import Image, foreign, platform_of
from wardian.network import NetworkConfig
from wardian.runtime import V2
from wardian.storage import remove_tree

_LOG = "HostConfig.LogConfig"
_CGROUP_NAMESPACE = "HostConfig.CgroupnsMode"


async def create_container(
    parts: Parts, body: Mapping[str, Any], name: str, platform: str
) -> tuple[Container, list[str]]:
    """All or nothing: on an error no name, no row and no directory is left. Returns the container and warnings."""
    values, image, warnings = await resolve_body(parts, body, platform, name)
    with promised_ids(parts, ContainerConfig(values)):
        await check_bind_sources(values)
        await check_rootfs(parts, values)
        warnings += await log_warnings(values[_LOG])
        found = below(parts, ContainerConfig(values), image.layers)
        async with settled(parts, values, found) as fills, parts.images_settled:
            if image.id and parts.images.get(image.id) is None:  # removed while we waited
                message = f"No such image: {values['Image']}"
                raise WardianError(NOT_FOUND, message, operation="create", subject=values["Image"])
            refuse_removed(parts, values.get(POINTS) or [])
            for fill in fills:
                fill.commit()
            return _make(parts, body, name, platform, values, image), warnings


def _make(
    parts: Parts, body: Mapping[str, Any], name: str, platform: str, values: dict[str, Any], image: Image
) -> Container:
    identity = _new_id(parts)
    name = check_name(name) if name else make_name(parts.registry.names)
    directory = parts.home.container(identity)
    config = ContainerConfig(values, identity, directory)
    spec = options.write_spec(config, cgroup_of(parts, config))
    shown, now = _shown_image(body, values), time.time_ns()
    record = ContainerRecord(identity, name, now, image.id, shown, tuple(image.layers), values, image.os, platform)
    parts.registry.claim(name, identity)
    try:
        root = parts.snapshots.prepare(identity, record.layers)
        if not is_directory(config):
            _mark_as_container(root.upper)
        own_upper(root.upper, ids_of(config))
        write_file(os.path.join(directory, "config.json"), msgspec.json.encode(spec))
        parts.store.add(record)
    except BaseException:
        parts.registry.unclaim(name)
        parts.snapshots.remove(identity)
        raise
    container = Container(record, config, RunState())
    parts.registry.add(container)
    return container


async def resolve_body(
    parts: Parts, body: Mapping[str, Any], platform: str, name: str = ""
) -> tuple[dict[str, Any], Image, list[str]]:
    """Decode, find the image, and fill from it what the body leaves open."""
    if not isinstance(body, Mapping):
        raise WardianError(INVALID, "the body of create must be an object", operation="create")
    values = decode(body)
    check_with_removal(values.get("HostConfig.RestartPolicy"), bool(values.get("HostConfig.AutoRemove")))
    await settle_user_namespace(parts, values)  # before the image: keep-id says who the user is
    image = _image(parts, values, platform)
    warnings = merge_image(values, image.run_config)
    if image.id and not platform and (warning := foreign(platform_of(image.config))):
        warnings.append(warning)
    fill(values, parts.defaults.now)
    warnings += settle_limits(values, parts.host)
    values[_LOG] = settle_log_config(parts.home, values.get(_LOG))
    if parts.host.cgroup_layout == V2:  # docker's default there; on version 1 it is the host's
        values[_CGROUP_NAMESPACE] = values.get(_CGROUP_NAMESPACE) or "private"
    _check_references(parts, values, name)
    config = ContainerConfig(values)
    if config["HostConfig.NetworkMode"] == "host" and config["HostConfig.PortBindings"]:
        warnings.append("Published ports are discarded when using host network mode")
    if has_links(config) and all(_network(parts, name) for name in wanted(config)):
        warnings += parts.networks.exposures(sandbox_want(config, "", parts.networks))
    return values, image, warnings


def _image(parts: Parts, values: dict[str, Any], platform: str) -> Image:
    """With --rootfs there is none: one that says nothing."""
    if rootfs_of(values) is not None:
        return Image("", {}, (), 0)
    if not values.get("Image"):
        raise WardianError(INVALID, "no image specified", operation="create", subject="Image")
    return parts.images.resolve(values["Image"], platform)


def _shown_image(body: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    rootfs = rootfs_of(values)
    return str(body["Image"]) if rootfs is None else rootfs.directory


def _check_references(parts: Parts, values: dict[str, Any], name: str) -> None:
    """Names in the body, of networks and of the containers that are joined, which must exist already.

    A joined container is kept by its id, as Docker has it: it may be renamed, and another take its name. A network is
    kept by its name: one that is made anew under it serves the container too.
    A missing one makes the body INVALID: on a 404 of create, docker's CLI pulls the image and hides the cause.
    """
    config = ContainerConfig(values)
    try:
        if found := points_of_body(parts, config):
            values[POINTS] = found
        settle_links(parts.registry, values)
        for kind, field in JOINS.items():
            if config.joins(kind):
                values[field] = f"container:{_joined(parts, kind, config.joins(kind), name).id}"
        if not config.joins("network"):
            values |= _by_name(parts, ContainerConfig(values))
    except WardianError as error:
        if error.kind != NOT_FOUND:
            raise
        raise WardianError(INVALID, error.message, operation="create", subject=error.subject) from error


def _joined(parts: Parts, kind: str, ref: str, name: str) -> Container:
    """In Docker's words, which differ for a network namespace."""
    try:
        return parts.registry.find(ref)
    except WardianError as error:
        if error.kind != NOT_FOUND or kind != "network":
            raise
        own = name and ref == name.removeprefix("/")
        message = "cannot join own network namespace" if own else f"joining network namespace of container: {error}"
        raise WardianError(INVALID, message, operation="create", subject=ref) from error


def _network(parts: Parts, ref: str) -> NetworkConfig | None:
    """None for one that is not there: it may be made before the start, which says so otherwise (as Docker's)."""
    try:
        return parts.networks.network(ref)
    except WardianError as error:
        if error.kind != NOT_FOUND:
            raise
        return None


def _by_name(parts: Parts, config: ContainerConfig) -> dict[str, Any]:
    """The networks of a body by their names, each checked against what is asked of it."""
    changes: dict[str, Any] = {}
    mode, stored = network_of(config), config[ENDPOINTS]
    first = _network(parts, mode)
    if first is not None and first.name != mode:
        changes[JOINS["network"]] = first.name
    if stored is not None:
        found = {ref: _network(parts, ref) for ref in stored}
        names = {ref: network.name if network is not None else ref for ref, network in found.items()}
        check_endpoints((names[ref], network, stored[ref]) for ref, network in found.items())
        changes[ENDPOINTS] = {names[ref]: stored[ref] for ref in found}
    return changes


def bind_sources(config: ContainerConfig) -> list[str]:
    """The host's paths that the user wants to see in the container."""
    binds = [bind.source for bind in binds_of(config) if bind.of_host]
    binds += [item["Source"] for item in config["HostConfig.Mounts"] if item["Type"] == "bind"]
    if rootfs := rootfs_of(config):
        binds.append(rootfs.directory)
    binds += [source for point in config[POINTS] if (source := host_source(point))]
    return binds


async def check_bind_sources(values: Mapping[str, Any]) -> None:
    """The sources of --mount that must exist already. Raises WardianError; a path may never answer (see deadline)."""
    wanted = [
        item["Source"]
        for item in values.get("HostConfig.Mounts") or ()
        if item["Type"] == "bind" and not (item.get("BindOptions") or {}).get("CreateMountpoint")
    ]
    if wanted:
        await look(partial(refuse_missing, wanted, "create"), "create", ", ".join(wanted))


def refuse_missing(sources: Sequence[str], operation: str, at: At) -> None:
    for source in sources:
        at(source)
        if not os.path.exists(source):
            message = f'invalid mount config for type "bind": bind source path does not exist: {source}'
            raise WardianError(INVALID, message, operation=operation, subject=source)


def load_container(parts: Parts, record: ContainerRecord, state: RunState) -> Container:
    """A container of an earlier engine, from its rows."""
    return Container(record, ContainerConfig(record.values, record.id, parts.home.container(record.id)), state)


def load_spec(directory: str) -> Spec:
    """A container's spec as create wrote it."""
    with open(os.path.join(directory, "config.json"), "rb") as file:
        found: Spec = msgspec.json.decode(file.read())
    return found


def cgroup_of(parts: Parts, config: ContainerConfig) -> str:
    """Its group, relative to each hierarchy's root."""
    parent = config["HostConfig.CgroupParent"] or f"{parts.home.cgroup_base}/containers"
    return f"{parent}/{config.id}"


def remove_run_directory(parts: Parts, identity: str) -> None:
    """What the supervisor left in the run root: its socket, the exit record."""
    path = parts.home.run_container(identity)
    try:
        remove_tree(os.path.dirname(path), os.path.basename(path))
    except FileNotFoundError:
        pass


def _mark_as_container(upper: str) -> None:
    """/.dockerenv, by which programs know that they are in a container. Once: later the layer is the container's."""
    os.close(os.open(os.path.join(upper, ".dockerenv"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755))


def write_file(path: str, data: bytes) -> None:
    """Complete under its name, without a sync: it can be made again from the row."""
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, data)
    except OSError as error:  # of a descriptor: it names no file
        os.unlink(temporary)
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
    os.rename(temporary, path)


def _new_id(parts: Parts) -> str:
    """64 hex digits whose first 12 are no number, as docker's: a short id is then never taken for one."""
    while True:
        identity = secrets.token_hex(32)
        if not identity[:12].isdigit() and parts.registry.get(identity) is None:
            return identity
