"""Names on user-defined networks, the engine's side: what the resolver is told, and what it reads.

    RUN/resolver/networks/ID.json     the names on a network, replaced by rename; read by the resolver
    RUN/resolver/sandboxes/ID.json    port and view of a sandbox: whoever finds the resolver gone can make it all again
    RUN/resolver/control.sock         requests (resolver/protocol)

In a sandbox's namespace two sockets stand on a high port of 127.0.0.11, and what is sent to port 53 of that address is
sent on to them. The port 53 itself stays free: a DNS server in the container binds it. The rules rewrite ports and
nothing else, each packet for itself, so that no question is an entry in a connection table; they stand where the
container's own rules see port 53 in both directions.
"""

import asyncio
import contextlib
import errno
import logging
import mmap
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from wardian.errors import UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.kernel import netlink, netns
from wardian.kernel.nftables import open_nftables
from wardian.network import resolver_process
from wardian.network.resolver import protocol, tables

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.11"
TABLE = "wardian_names"
# Above what the kernel gives to those who ask for any port (ip_local_port_range), and below nothing that is known.
_PORTS = range(61001, 65536)
_PORT_TRIES = 64
_BACKLOG = 64
_LO = 1  # ifindex: the first link of every namespace
_REMAKE_ROUNDS, _REMAKE_PAUSE = 20, 0.5
_START_PAUSES = (0.0, 0.1, 0.5, 2.0, 5.0)
_END_SECONDS = 3.0

_FORGET = "delete table ip {table}\n"
_RULES = """create table ip {table}
table ip {table} {{
  chain asked {{
    type filter hook output priority 300; policy accept;
    ip daddr {address} udp dport 53 udp dport set {port}
    ip daddr {address} tcp dport 53 tcp dport set {port}
  }}
  chain answered {{
    type filter hook output priority -300; policy accept;
    ip saddr {address} udp sport {port} udp sport set 53
    ip saddr {address} tcp sport {port} tcp sport set 53
  }}
}}
"""


class ResolverSockets(NamedTuple):
    """The two sockets of a namespace, whose redirect is in place. The holder hands them over or closes them."""

    udp_fd: int
    tcp_fd: int
    port: int

    def close(self) -> None:
        os.close(self.udp_fd)
        os.close(self.tcp_fd)


class View(NamedTuple):
    """What one sandbox may know.

    `networks`: ids, in the order in which a name is looked up. `upstream`: servers for what is on none of them, () for
    the host's. `inside`: they are asked from the sandbox's own namespace (`--dns`), else from the host. `internal`:
    nobody is asked, as none of its networks leads outside. `search`: what its resolv.conf has.
    """

    networks: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    inside: bool = False
    internal: bool = False
    search: tuple[str, ...] = ()


class _Known(NamedTuple):
    sandbox: str
    port: int
    view: View


def prepare_inside() -> ResolverSockets:
    """Sockets and redirect in the calling thread's network namespace. Raises OSError or WardianError, leaves none.

    lo is brought up: before, its addresses are nobody's. (IP_FREEBIND binds to one, but a UDP socket that was bound so
    answers from 127.0.0.1: inet_bind takes an address that no table knows for a broadcast's.)
    """
    with netlink.Netlink() as inner:
        inner.send([netlink.link_up(_LO, "lo")])
    for _ in range(_PORT_TRIES):
        try:
            sockets = _open_sockets(secrets.choice(_PORTS))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        try:
            _redirect(sockets.port)
        except BaseException:
            sockets.close()
            raise
        return sockets
    raise OSError(errno.EADDRINUSE, f"no port of {ADDRESS} is free")


def remake_inside(port: int) -> ResolverSockets:
    """Sockets on the port that the namespace's redirect leads to; on another, with its redirect, when it is taken."""
    try:
        return _open_sockets(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return prepare_inside()


def _open_sockets(port: int) -> ResolverSockets:
    opened = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            opened.append(one)
            if kind == socket.SOCK_STREAM:  # connections of sockets that were here before do not stand in the way
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((ADDRESS, port))
        opened[1].listen(_BACKLOG)
        return ResolverSockets(opened[0].detach(), opened[1].detach(), port)
    finally:
        for one in opened:
            one.close()


def _redirect(port: int) -> None:
    nft = open_nftables()
    try:
        rules = _RULES.format(table=TABLE, address=ADDRESS, port=port)
        try:
            nft.run(rules)
        except WardianError as refused:
            # One of an earlier engine's stands. Not deleted at a venture: the kernel takes 10 ms and more over that.
            if refused.errno != errno.EEXIST:
                raise
            nft.run(_FORGET.format(table=TABLE) + rules)
    finally:
        nft.close()


def _no_namespace(sandbox: str) -> int:
    raise ProcessLookupError(errno.ESRCH, "nobody knows its processes", sandbox)


class Names:
    """The names of one engine. Methods are called in the loop's thread.

    `namespace(sandbox)` opens the network namespace of a living sandbox (`netns.of_process`), or raises OSError
    (ProcessLookupError): it is called when the resolver was lost, and this class closes the descriptor.
    """

    def __init__(self, home: Home, namespace: Callable[[str], int] = _no_namespace) -> None:
        self._cgroup_base = home.cgroup_base
        self._directory = os.path.join(home.run_root, "resolver")
        self._namespace = namespace
        self._known: dict[str, _Known] = {}
        self._published: dict[str, bytes] = {}
        self._client: resolver_process.ResolverClient | None = None
        self._process = -1  # a pidfd
        self._lock = asyncio.Lock()
        self._mending: asyncio.Task[None] | None = None
        self._stopped = True
        self._generation: mmap.mmap | None = None

    async def start(self, live: Collection[str] = ()) -> None:
        """Find the resolver that an earlier engine left, and forget the sandboxes that are not of `live`.

        When it is gone and somebody needs it, it is started, and the sockets of the living are made again, in the
        background: nobody waits for that.
        """
        self._stopped = False
        for name in ("networks", "sandboxes"):
            os.makedirs(os.path.join(self._directory, name), mode=0o700, exist_ok=True)
        self._generation = tables.map_generation(self._directory)
        self._changed()
        for known in self._read_known():
            if known.sandbox in live:
                self._known[known.sandbox] = known
            else:
                self._remove("sandboxes", known.sandbox)
        if not await self._find():
            if self._known:
                self._mend()
            return
        registered = await self._registered()
        for sandbox in registered.keys() - self._known.keys():
            await self._ask(protocol.FORGET, {"sandbox": sandbox})
        if self._known.keys() - registered.keys():
            self._mend()

    async def ready(self) -> None:
        """Start the resolver unless one runs: somebody will soon ask. Raises WardianError when it cannot be."""
        await self._running()

    async def stop(self, purge: bool | None = None) -> None:
        """Let go of the resolver. `purge` ends it; None: unless it answers for somebody."""
        self._stopped = True
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])
        purge = not self._known if purge is None else purge
        async with self._lock:
            if purge:
                await self._end()
                shutil.rmtree(self._directory, ignore_errors=True)
                self._known.clear()
                self._published.clear()
            self._let_go()
            if self._generation is not None:
                self._generation.close()
                self._generation = None

    async def register(self, sandbox: str, sockets: ResolverSockets, view: View) -> None:
        """From now on the resolver answers `sandbox`. It takes over `sockets`: they are closed here in any case."""
        try:
            known = _Known(sandbox, sockets.port, view)
            self._write_known(known)
            self._known[sandbox] = known
            descriptors = (sockets.udp_fd, sockets.tcp_fd)
            try:
                await self._register_with(known, descriptors)
            except WardianError as error:
                if error.kind != UNAVAILABLE:
                    raise
                await self._register_with(known, descriptors)  # it ended just then
        except BaseException:
            self._known.pop(sandbox, None)
            self._remove("sandboxes", sandbox)
            raise
        finally:
            sockets.close()

    async def update(self, sandbox: str, view: View) -> None:
        """A sandbox's networks changed. No error when it is not known: it has no resolver."""
        known = self._known.get(sandbox)
        if known is None or known.view == view:
            return
        self._known[sandbox] = known._replace(view=view)
        self._write_known(self._known[sandbox])
        await self._ask(protocol.UPDATE, {"sandbox": sandbox, **view._asdict()})

    async def forget(self, sandbox: str) -> None:
        """A sandbox's last process is gone: its sockets are closed, which lets go of its namespace."""
        if self._known.pop(sandbox, None) is None:
            return
        self._remove("sandboxes", sandbox)
        if self._client is not None:
            await self._ask(protocol.FORGET, {"sandbox": sandbox})

    def publish(
        self, network: str, names: Mapping[str, Sequence[str]], addresses: Mapping[str, str], domain: str = ""
    ) -> None:
        """All names on a network, with their addresses, and the addresses' names. In force when this returns.

        Each name is known by itself and as NAME.DOMAIN.
        """
        text = msgspec.json.encode({"names": names, "addresses": addresses, "domain": domain})
        if self._published.get(network) != text:
            self._write("networks", network, text)
            self._published[network] = text
            self._changed()

    def withdraw(self, network: str) -> None:
        """A network is gone, and its names."""
        self._published.pop(network, None)
        self._remove("networks", network)
        self._changed()

    # ---- the process ----

    async def _register_with(self, known: _Known, descriptors: Sequence[int]) -> None:
        client = await self._running()
        body = {"sandbox": known.sandbox, **self._known.get(known.sandbox, known).view._asdict()}
        await client.request(protocol.REGISTER, body, descriptors)

    async def _ask(self, kind: int, body: dict[str, Any]) -> None:
        """A request whose failure mends itself: a resolver that is lost is told everything again."""
        with contextlib.suppress(WardianError):
            if self._client is not None:
                await self._client.request(kind, body)

    async def _running(self) -> resolver_process.ResolverClient:
        async with self._lock:
            if self._client is None and not await self._find():
                resolver_process.spawn(self._directory, self._cgroup_base)
                if not await self._find():
                    raise WardianError(UNAVAILABLE, "the resolver cannot be started", operation="names")
            assert self._client is not None
            return self._client

    async def _find(self) -> bool:
        """Connect to the resolver that listens. One of another version is ended: its sockets are made again."""
        control = resolver_process.connect(self._directory)
        if control is None:
            return False
        client = resolver_process.ResolverClient(control, self._lost)
        try:
            said = await client.request(protocol.LIST, {})
            self._process = os.pidfd_open(int(said["pid"]))
        except (WardianError, OSError) as error:
            if client.version != protocol.VERSION:
                with contextlib.suppress(WardianError):
                    await client.request(protocol.END, {})
            client.close()
            log.warning("the resolver that listens in %s is of no use: %s", self._directory, error)
            return False
        self._client = client
        return True

    async def _registered(self) -> dict[str, int]:
        """The sandboxes that the resolver answers, with their ports."""
        found: dict[str, int] = {}
        more, after = True, ""
        while more and self._client is not None:
            said = await self._client.request(protocol.LIST, {"after": after})
            found |= {row["sandbox"]: row["port"] for row in said["sandboxes"]}
            more, after = said["more"], max(found, default="")
        return found

    async def _end(self) -> None:
        if self._client is None and not await self._find():
            return
        process, self._process = self._process, -1
        try:
            await self._ask(protocol.END, {})
            if not await resolver_process.ended(process, _END_SECONDS):
                log.warning("the resolver does not end")
        finally:
            os.close(process)

    def _let_go(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process >= 0:
            os.close(self._process)
            self._process = -1

    # ---- when it is lost ----

    def _lost(self) -> None:
        """Its end was heard."""
        process, self._process = self._process, -1
        self._client = None
        if process >= 0:
            asyncio.get_running_loop().create_task(_reap(process))
        if not self._stopped and self._known:
            log.warning("the resolver has ended; it is started again (its last words: %s)", self._last_words())
            self._mend()

    def _mend(self) -> None:
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._make_again())

    async def _make_again(self) -> None:
        """Start the resolver, and give it new sockets in the namespaces of the living.

        A sandbox whose process is just being started has none to enter by: it is looked at again.
        """
        try:
            for pause in _START_PAUSES:
                await asyncio.sleep(pause)
                with contextlib.suppress(WardianError, OSError):
                    await self._running()
                    break
            for _ in range(_REMAKE_ROUNDS):
                missing = self._known.keys() - (await self._registered()).keys()
                for sandbox in missing:
                    await self._remake(sandbox)
                if not self._known.keys() - (await self._registered()).keys():
                    return
                await asyncio.sleep(_REMAKE_PAUSE)
        except WardianError as error:
            log.warning("names are not answered: %s", error)
        finally:
            self._mending = None

    async def _remake(self, sandbox: str) -> None:
        try:
            namespace = self._namespace(sandbox)
        except OSError:
            return
        try:
            port = self._known[sandbox].port
            sockets = await asyncio.to_thread(netns.run_inside, namespace, lambda: remake_inside(port))
        except (OSError, KeyError, WardianError) as error:
            log.warning("no names for %s: %s", sandbox[:12], error)
            return
        finally:
            os.close(namespace)
        known = self._known.get(sandbox)
        if known is None:  # it ended meanwhile
            sockets.close()
            return
        with contextlib.suppress(WardianError):
            await self.register(sandbox, sockets, known.view)

    def _last_words(self) -> str:
        try:
            with open(os.path.join(self._directory, resolver_process.LOG), errors="replace") as file:
                return (file.read(65536).strip().splitlines() or ["none"])[-1]
        except OSError:
            return "none"

    # ---- files ----

    def _changed(self) -> None:
        """The resolver looks at the files again before its next answer."""
        if self._generation is not None:
            tables.raise_generation(self._generation)

    def _read_known(self) -> Iterator[_Known]:
        for name in os.listdir(os.path.join(self._directory, "sandboxes")):
            if name.endswith(".json"):
                try:
                    with open(os.path.join(self._directory, "sandboxes", name), "rb") as file:
                        yield msgspec.json.decode(file.read(), type=_Known)
                except (OSError, msgspec.MsgspecError) as error:
                    log.warning("names: %s cannot be read: %s", name, error)

    def _write_known(self, known: _Known) -> None:
        self._write("sandboxes", known.sandbox, msgspec.json.encode(known))

    def _write(self, kind: str, name: str, text: bytes) -> None:
        """By rename, with a time that no earlier file had: the resolver knows a file by inode, time and size."""
        path = os.path.join(self._directory, kind, f"{name}.json")
        with open(f"{path}.new", "wb", buffering=0) as file:
            file.write(text)
        now = time.time_ns()
        os.utime(f"{path}.new", ns=(now, now))
        os.rename(f"{path}.new", path)

    def _remove(self, kind: str, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._directory, kind, f"{name}.json"))


async def _reap(process: int) -> None:
    """Takes the status of a resolver that ended, when it was our child."""
    try:
        await resolver_process.ended(process, _END_SECONDS)
    finally:
        os.close(process)
