"""Who is known by which name on which network, kept for `names`: told as sandboxes come, go and are renamed."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

from wardian.network.links import LONGEST_DOMAIN, read_link
from wardian.network.names import Names, ResolverSockets, View
from wardian.network.values import Endpoint, NetworkConfig, SandboxWant

log = logging.getLogger(__name__)

# Containers find each other by name on the networks that users made (Docker's rule), not on these.
WITHOUT_NAMES = ("bridge", "host", "none")


def has_names(network: NetworkConfig) -> bool:
    return network.name not in WITHOUT_NAMES


def dns_names(names: Sequence[str], aliases: Sequence[str]) -> tuple[str, ...]:
    """Docker's order: the container's name, its aliases on that network, its short id, its hostname."""
    return tuple(dict.fromkeys((*names[:1], *aliases, *names[1:])))


def named(endpoint: Endpoint, names: Sequence[str]) -> Endpoint:
    """The endpoint with what it answers to."""
    if not has_names(endpoint.network):
        return endpoint
    return endpoint._replace(dns_names=dns_names(names, endpoint.want.aliases))


def view_of(endpoints: Sequence[Endpoint], want: SandboxWant, outward: bool) -> View:
    """`outward`: one of its networks leads outside. What is not known here is asked of `--dns` from inside the sandbox,
    as with Docker, else of the host's servers from the host."""
    networks = tuple(one.network.id for one in endpoints if has_names(one.network))
    links = tuple(link for one in endpoints if has_names(one.network) for link in _links(one))
    return View(networks, want.dns, inside=bool(want.dns), internal=not outward, search=want.dns_search, links=links)


def _links(endpoint: Endpoint) -> Iterator[tuple[str, str, str]]:
    """What the sandbox calls others on this network. The name is looked up when it is asked for: who has it by then
    may have come later, or have another address."""
    network = endpoint.network
    for link in endpoint.want.links:
        name, alias = read_link(link)
        yield network.id, alias, name
        if len(network.name) <= LONGEST_DOMAIN:
            yield network.id, f"{alias}.{network.name}", name


class Naming:
    """Methods are called in the loop's thread."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._on: dict[str, dict[str, Endpoint]] = {}  # network → sandbox → its endpoint there
        self._known: set[str] = set()  # sandboxes that the resolver answers
        self._tasks: dict[str, asyncio.Task[None]] = {}  # sandbox → what it is told last

    def answers(self, sandbox: str) -> bool:
        return sandbox in self._known

    def know(self, sandboxes: Iterable[str]) -> None:
        """After an engine's restart: those that the resolver answers still."""
        self._known.update(sandboxes)

    def recall(self, sandboxes: Mapping[str, Sequence[Endpoint]]) -> None:
        """After an engine's restart: the living and their names."""
        self._on.clear()
        for sandbox, endpoints in sandboxes.items():
            for one in filter(_is_named, endpoints):
                self._on.setdefault(one.network.id, {})[sandbox] = one
        for table in self._on.values():
            self._publish(next(iter(table.values())).network)

    def tell(self, sandbox: str, view: View, sockets: ResolverSockets | None) -> None:
        """What a sandbox may ask. With the first view come the sockets on which it does: questions wait there until
        the resolver has them, so that nobody here waits for it."""
        if sandbox in self._known:
            self._later(self._names.update(sandbox, view), sandbox)
        elif sockets is not None:
            self._known.add(sandbox)
            self._later(self._names.register(sandbox, sockets, view), sandbox)

    def add(self, endpoint: Endpoint) -> None:
        if _is_named(endpoint):
            self._on.setdefault(endpoint.network.id, {})[endpoint.sandbox] = endpoint
            self._publish(endpoint.network)

    def remove(self, endpoint: Endpoint) -> None:
        table = self._on.get(endpoint.network.id, {})
        if table.pop(endpoint.sandbox, None) is not None:
            self._publish(endpoint.network)

    def forget(self, sandbox: str) -> None:
        if sandbox in self._known:
            self._known.discard(sandbox)
            self._later(self._names.forget(sandbox), sandbox)

    def warm(self) -> None:
        """A network with names is there: the resolver is started before a container needs it."""
        self._later(self._names.ready(), "")

    async def settled(self) -> None:
        """All that was to be told was told."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _later(self, work: Coroutine[Any, Any, None], sandbox: str) -> None:
        """What is told of one sandbox is told in its order."""
        task = asyncio.get_running_loop().create_task(_after(self._tasks.get(sandbox), work))
        self._tasks[sandbox] = task
        task.add_done_callback(lambda done: self._told(sandbox, done))

    def _told(self, sandbox: str, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(sandbox) is task:
            del self._tasks[sandbox]
        if not task.cancelled() and task.exception() is not None:
            log.warning("names of %s: %s", sandbox[:12], task.exception())

    def withdraw(self, network: str) -> None:
        """The network is gone."""
        self._on.pop(network, None)
        self._names.withdraw(network)

    def _publish(self, network: NetworkConfig) -> None:
        names: dict[str, list[str]] = {}
        addresses: dict[str, str] = {}
        for endpoint in self._on.get(network.id, {}).values():
            given = [address for address in (endpoint.ipv4, endpoint.ipv6) if address]
            for name in endpoint.dns_names:
                names.setdefault(name, []).extend(given)
            for address in given:
                addresses[address] = f"{endpoint.dns_names[0]}.{network.name}"
        self._names.publish(network.id, names, addresses, network.name)


async def _after(before: "asyncio.Task[None] | None", work: Coroutine[Any, Any, None]) -> None:
    if before is not None:
        await asyncio.wait([before])
    await work


def _is_named(endpoint: Endpoint) -> bool:
    return has_names(endpoint.network) and bool(endpoint.dns_names)
