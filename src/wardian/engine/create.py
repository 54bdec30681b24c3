"""create: a body becomes one durable row, the OCI spec beside it, and the container's directories. Nothing runs."""

import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from wardian.descriptors import write_all
from wardian.engine import options
from wardian.engine.config import ContainerConfig
from wardian.engine.decode import decode, merge_image
from wardian.engine.names import check_name, make_name
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.sandbox import network_of
from wardian.engine.spec import Spec
from wardian.engine.state import RunState
from wardian.engine.store import ContainerRecord
from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.images import Image, foreign, platform_of
from wardian.runtime.hostfacts import V2
from wardian.storage.trash import remove_tree

_CGROUP_NAMESPACE = "HostConfig.CgroupnsMode"


def create_container(parts: Parts, body: Mapping[str, Any], name: str, platform: str) -> tuple[Container, list[str]]:
    """All or nothing: on an error no name, no row and no directory is left. Returns the container and warnings."""
    values, image, warnings = resolve_body(parts, body, platform)
    identity = _new_id(parts)
    name = check_name(name) if name else make_name(parts.registry.names)
    directory = parts.home.container(identity)
    config = ContainerConfig(values, identity, directory)
    spec = options.write_spec(config, cgroup_of(parts, identity))
    record = ContainerRecord(
        identity, name, time.time_ns(), image.id, str(body["Image"]), tuple(image.layers), values, image.os, platform
    )
    parts.registry.claim(name, identity)
    try:
        root = parts.snapshots.prepare(identity, record.layers)
        _mark_as_container(root.upper)
        write_file(os.path.join(directory, "config.json"), msgspec.json.encode(spec))
        parts.store.add(record)
    except BaseException:
        parts.registry.unclaim(name)
        parts.snapshots.remove(identity)
        raise
    container = Container(record, config, RunState())
    parts.registry.add(container)
    return container, warnings


def resolve_body(parts: Parts, body: Mapping[str, Any], platform: str) -> tuple[dict[str, Any], Image, list[str]]:
    """Decode, find the image, and fill from it what the body leaves open."""
    if not isinstance(body, Mapping):
        raise WardianError(INVALID, "the body of create must be an object", operation="create")
    values = decode(body)
    if not values.get("Image"):
        raise WardianError(INVALID, "no image specified", operation="create", subject="Image")
    image = parts.images.resolve(values["Image"], platform)
    warnings = merge_image(values, image.run_config)
    if not platform and (warning := foreign(platform_of(image.config))):
        warnings.append(warning)
    if parts.host.cgroup_layout == V2:  # docker's default there; on version 1 it is the host's
        values[_CGROUP_NAMESPACE] = values.get(_CGROUP_NAMESPACE) or "private"
    probe = ContainerConfig(values)
    _check_references(parts, probe)
    return values, image, warnings


def _check_references(parts: Parts, config: ContainerConfig) -> None:
    """Names in the body that must exist already: the network, and the containers that are joined.

    A missing one makes the body INVALID: on a 404 of create, docker's CLI pulls the image and hides the cause.
    """
    try:
        network = network_of(config)
        if network:
            parts.networks.network(network)
        for kind in ("network", "pid", "ipc"):
            if config.joins(kind):
                parts.registry.find(config.joins(kind))
    except WardianError as error:
        if error.kind != NOT_FOUND:
            raise
        raise WardianError(INVALID, error.message, operation="create", subject=error.subject) from error
    for item in config["HostConfig.Mounts"]:
        create = (item.get("BindOptions") or {}).get("CreateMountpoint")
        if item["Type"] == "bind" and not create and not os.path.exists(item["Source"]):
            message = f'invalid mount config for type "bind": bind source path does not exist: {item["Source"]}'
            raise WardianError(INVALID, message, operation="create", subject=item["Source"])


def load_container(parts: Parts, record: ContainerRecord, state: RunState) -> Container:
    """A container of an earlier engine, from its rows."""
    return Container(record, ContainerConfig(record.values, record.id, parts.home.container(record.id)), state)


def load_spec(directory: str) -> Spec:
    """A container's spec as create wrote it."""
    with open(os.path.join(directory, "config.json"), "rb") as file:
        found: Spec = msgspec.json.decode(file.read())
    return found


def cgroup_of(parts: Parts, identity: str) -> str:
    return f"{parts.home.cgroup_base}/containers/{identity}"


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
    finally:
        os.close(fd)
    os.rename(temporary, path)


def _new_id(parts: Parts) -> str:
    """64 hex digits whose first 12 are no number, as docker's: a short id is then never taken for one."""
    while True:
        identity = secrets.token_hex(32)
        if not identity[:12].isdigit() and parts.registry.get(identity) is None:
            return identity
