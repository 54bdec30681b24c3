"""Reads of containers: one as inspect shows it, and those that a list's filters choose. Snapshots; nothing waits."""

import contextlib
import itertools
import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from wardian.engine import inspect
from wardian.engine.container_filters import Look, Selection
from wardian.engine.files.roots import root_of
from wardian.engine.filters import Filters
from wardian.engine.links import names_by_links, shown
from wardian.engine.options.endpoints import as_want, names_of, wanted
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.store import ContainerRecord
from wardian.errors import WardianError
from wardian.images import ImageStore
from wardian.network import HeldPort, dns_names, has_names, wanted_settings

Bodies = list[dict[str, Any]]


class Line(NamedTuple):
    """A container's line of a list as JSON, `before` and `after` its status, which the clock makes. `values`: what it
    was made of."""

    values: tuple[object, ...]
    before: bytes
    after: bytes


class NamesOfImages:
    """What a list calls the image of a container: as it was asked for, while that still means this image, else its id
    (moby, daemon/list.go, refreshImage). What a name means is looked up once for as long as no image changes."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images
        self._seen: object = None
        self._meant: dict[str, str] = {}

    def now(self, record: ContainerRecord) -> str:
        """One of the record's own strings: who keeps it may compare by identity."""
        asked = record.image_ref
        if not record.image or asked == record.image:  # without an image: a directory's name
            return asked
        if self._images.state is not self._seen:
            self._seen, self._meant = self._images.state, {}
        meant = self._meant.get(asked)
        if meant is None:
            meant = self._meant[asked] = self._meaning(asked)
        return asked if meant == record.image else record.image

    def _meaning(self, asked: str) -> str:
        try:
            return self._images.resolve(asked).id
        except WardianError:
            return ""


class Reading:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = parts.registry
        self._called = NamesOfImages(parts.images)

    def inspect(self, container: Container, size: bool) -> dict[str, Any]:
        root = root_of(self._parts, container)
        found = inspect.render_container(container, self._network_settings(container), self._ports(container), root)
        found["HostConfig"]["Links"] = shown(self._registry, container)
        if size:
            found |= self._sizes(container.id, container.record.image)
        return found

    def list(self, every: bool, limit: int, size: bool, filters: Filters) -> Bodies:
        found: Bodies = msgspec.json.decode(self.list_as_json(every, limit, filters))
        return [line | self._sizes(line["Id"], line["ImageID"]) for line in found] if size else found

    def list_as_json(self, every: bool, limit: int, filters: Filters) -> msgspec.Raw:
        """As it is sent, without sizes."""
        linked = names_by_links(self._registry)
        now = time.time_ns()
        found = []
        for container in self._chosen(every, limit, filters):
            line = self._line(container)
            status = msgspec.json.encode(inspect.status_text(container.state, now, container.health))
            text = line.before + status + line.after
            found.append(_with_names(text, linked[container.id]) if container.id in linked else text)
        return msgspec.Raw(b"[" + b",".join(found) + b"]")

    def _chosen(self, every: bool, limit: int, filters: Filters) -> Iterator[Container]:
        selection = Selection(self._parts, filters, Look(self._network_settings, self._ports))
        every = every or limit > 0 or selection.everything
        chosen = (
            container
            for container in sorted(self._registry, key=_created, reverse=True)
            if (every or container.state.running) and selection.takes(container)
        )
        return itertools.islice(chosen, limit if limit > 0 else None)

    def _line(self, container: Container) -> Line:
        """Made anew only when something that it is made of was replaced: all of that are values."""
        networks = self._parts.networks
        live = container.state.live
        endpoints = networks.endpoints(container.id) if live else ()
        ports = networks.published(container.id) if live else ()
        image = self._called.now(container.record)
        values = (container.record, container.config, container.state, endpoints, ports, image)
        kept: Line | None = container.listed
        if kept is None or not all(map(operator.is_, kept.values, values)):
            settings = self._network_settings(container)
            kept = _encoded(values, inspect.render_summary(container, image, settings, ports))
            # of one that is on no network now it shows what its networks are, and they may change without it
            container.listed = kept if len(endpoints) == len(settings) or not container.state.started_at else None
        return kept

    def _network_settings(self, container: Container) -> dict[str, dict[str, Any]]:
        """Network name → EndpointSettings: what it has, and what it asks for where it is not."""
        networks, config = self._parts.networks, container.config
        given = {one.network.name: one for one in networks.endpoints(container.id)} if container.state.live else {}
        found = {}
        for name, settings in sorted(wanted(config).items()):
            if name in given:
                found[name] = given[name].settings()
            else:
                found[name] = self._absent(container, name, settings)
        return found

    def _absent(self, container: Container, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Of a container that is not on its network now, or whose network gives it no address. Once it was started,
        its network's id is shown, and by which names it is known there."""
        names: tuple[str, ...] = ()
        identity = ""
        if container.state.started_at:
            with contextlib.suppress(WardianError):  # the network went after the container
                network = self._parts.networks.network(name)
                identity = network.id
                if has_names(network):
                    names = dns_names(names_of(container.config, container.name), settings.get("Aliases", ()))
        return wanted_settings(as_want(identity, settings), names)

    def _ports(self, container: Container) -> Sequence[HeldPort]:
        return self._parts.networks.published(container.id) if container.state.live else ()

    def _sizes(self, identity: str, image: str) -> dict[str, int]:
        written = self._parts.snapshots.size(identity)
        try:
            base = self._parts.images.resolve(image).size
        except WardianError:
            base = 0
        return {"SizeRw": written, "SizeRootFs": base + written}


def _created(container: Container) -> int:
    return container.record.created


def _encoded(values: tuple[object, ...], body: dict[str, Any]) -> Line:
    fields = list(body.items())
    place = list(body).index("Status")
    before, after = (msgspec.json.encode(dict(some)) for some in (fields[:place], fields[place + 1 :]))
    return Line(values, before[:-1] + b',"Status":', b"," + after[1:])


def _with_names(line: bytes, more: Sequence[str]) -> bytes:
    body = msgspec.json.decode(line)
    return msgspec.json.encode({**body, "Names": [*body["Names"], *more]})
