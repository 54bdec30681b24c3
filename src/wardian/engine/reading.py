"""Reads of containers: one as inspect shows it, and those that a list's filters choose. Snapshots; nothing waits."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from wardian.engine import health, inspect
from wardian.engine.endpoints import as_want, names_of, wanted
from wardian.engine.filters import Filters, check_filters, matches_label, name_matches
from wardian.engine.inspect import exposed
from wardian.engine.links import names_by_links, shown
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.state import State
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.network import HeldPort, dns_names, has_names, wanted_settings

_LIST_FILTERS = (
    "ancestor", "before", "exited", "id", "is-task", "label", "name", "network", "publish", "expose", "since", "status",
    "volume", "health",
)  # fmt: skip
Bodies = list[dict[str, Any]]
Range = tuple[int, int, str]
Ports = list[tuple[int, str]]
Names = list[str]


class Reading:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = parts.registry

    def inspect(self, container: Container, size: bool) -> dict[str, Any]:
        upper = self._parts.snapshots.root(container.id, container.record.layers).upper
        found = inspect.render_container(container, self._network_settings(container), self._ports(container), upper)
        found["HostConfig"]["Links"] = shown(self._registry, container)
        if size:
            found |= self._sizes(container)
        return found

    def list(self, every: bool, limit: int, size: bool, filters: Filters) -> Bodies:
        wanted = self._checked(filters)
        found: Bodies = []
        linked = names_by_links(self._registry)
        newest_first = sorted(self._registry, key=lambda container: container.record.created, reverse=True)
        for container in newest_first:
            if not (every or limit > 0 or container.state.running or "status" in wanted):
                continue
            if not self._selected(container, wanted):
                continue
            line = inspect.render_summary(container, self._network_settings(container), self._ports(container))
            line["Names"] += linked.get(container.id, ())
            found.append(line | self._sizes(container) if size else line)
            if 0 < limit <= len(found):
                break
        return found

    def _checked(self, wanted: Filters) -> Filters:
        check_filters(wanted, _LIST_FILTERS)
        for key in ("publish", "expose"):
            for value in wanted.get(key, ()):
                port_range(value)
        for key in ("is-task",):
            if key in wanted:
                raise WardianError(
                    NOT_IMPLEMENTED, f"the filter '{key}' is not built yet", operation="list", subject=key
                )
        for value in wanted.get("health", ()):
            if value not in health.STATUSES:
                known = ", ".join(health.STATUSES)
                message = f"invalid filter 'health={value}': invalid value for health ({value}): must be one of {known}"
                raise WardianError(INVALID, message, operation="list", subject="health")
        states = {state.value for state in State}
        for value in wanted.get("status", ()):
            if value not in states:
                raise WardianError(INVALID, f"invalid filter 'status={value}'", operation="list", subject="status")
        for value in wanted.get("exited", ()):
            if not value.removeprefix("-").isdecimal():
                raise WardianError(INVALID, f"invalid filter 'exited={value}'", operation="list", subject="exited")
        for key in ("before", "since"):
            for ref in wanted.get(key, ()):
                self._registry.find(ref)
        return wanted

    def _selected(self, container: Container, wanted: Filters) -> bool:
        record, state = container.record, container.state
        for key, values in wanted.items():
            if key == "label":
                found = all(matches_label(container.config["Labels"], text) for text in values)
            elif key == "status":
                found = state.state.value in values
            elif key == "health":
                found = health.status_of(container.health) in values
            elif key == "exited":
                found = state.state is State.EXITED and state.exit_code in [int(text) for text in values]
            elif key == "id":
                found = any(record.id.startswith(text) for text in values)
            elif key == "name":
                found = any(name_matches(text, record.name) for text in values)
            elif key == "ancestor":
                found = any(self._descends(container, text) for text in values)
            elif key == "publish":
                found = any(in_range(one.port, one.protocol, values) for one in self._ports(container))
            elif key == "expose":
                found = any(in_range(*port, values) for port in self._exposed(container))
            elif key == "volume":
                places = [
                    (one.get("Name"), one["Source"], one["Destination"]) for one in inspect.render_mounts(container)
                ]
                found = any(text in place for text in values for place in places)
            elif key == "network":
                found = any(text in self._network_names(container) for text in values)
            else:  # before, since
                found = all(self._beside(record.created, key, text) for text in values)
            if not found:
                return False
        return True

    def _exposed(self, container: Container) -> Ports:
        ports = ((number, protocol) for number, _, protocol in (one.partition("/") for one in exposed(container)))
        return [(int(number), protocol) for number, protocol in ports]

    def _beside(self, created: int, key: str, ref: str) -> bool:
        other = self._registry.find(ref).record.created
        return created < other if key == "before" else created > other

    def _descends(self, container: Container, ref: str) -> bool:
        record = container.record
        if ref in (record.image, record.image_ref) or record.image.removeprefix("sha256:").startswith(ref):
            return True
        try:
            return self._parts.images.resolve(ref).id == record.image
        except WardianError:
            return False

    def _network_names(self, container: Container) -> Names:
        settings = self._network_settings(container)
        return [*settings, *(str(value.get("NetworkID", "")) for value in settings.values())]

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

    def _sizes(self, container: Container) -> dict[str, int]:
        written = self._parts.snapshots.size(container.id)
        try:
            base = self._parts.images.resolve(container.record.image).size
        except WardianError:
            base = 0
        return {"SizeRw": written, "SizeRootFs": base + written}


def port_range(value: str) -> Range:
    """A filter's "80", "80/udp" or "8000-8010/tcp". Raises INVALID in Docker's words."""
    ports, _, protocol = value.partition("/")
    first, dash, last = ports.partition("-")
    numbers = [first, last if dash else first]
    if not all(one.isascii() and one.isdecimal() and int(one) < 65536 for one in numbers):
        raise WardianError(INVALID, f"invalid port: {value!r}", operation="list", subject=value)
    return int(numbers[0]), int(numbers[1]), protocol or "tcp"


def in_range(port: int, protocol: str, values: Sequence[str]) -> bool:
    ranges = (port_range(value) for value in values)
    return any(low <= port <= high and protocol == of for low, high, of in ranges)
