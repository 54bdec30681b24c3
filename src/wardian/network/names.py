"""Names on user-defined networks, the engine's side: what the resolver is told (resolver/protocol), and that it lives.

It reads names from files (`name_files`), answers on sockets in the sandboxes' namespaces (`name_sockets`), and is a
process that outlives the engine (`resolver_process`). When it was lost, another gets new sockets on the same ports.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from wardian.errors import UNAVAILABLE, WardianError
from wardian.home import Home
from wardian.kernel import netns
from wardian.network import resolver_process
from wardian.network.name_files import Known, NameFiles, View
from wardian.network.name_sockets import ADDRESS, ResolverSockets, prepare_inside, remake_inside
from wardian.network.resolver import protocol

__all__ = ["ADDRESS", "Names", "ResolverSockets", "View", "prepare_inside"]

log = logging.getLogger(__name__)

_MEND_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 2.0, 2.0, 5.0, 5.0, 10.0)
_MEND_REST = 30.0  # between two tries after those, as long as the engine lives
_END_SECONDS = 3.0


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
        self._files = NameFiles(self._directory)
        self._namespace = namespace
        self._known: dict[str, Known] = {}
        self._client: resolver_process.ResolverClient | None = None
        self._process = -1  # a pidfd
        self._lock = asyncio.Lock()
        self._mending: asyncio.Task[None] | None = None
        self._lost_again = asyncio.Event()
        self._complaints: set[str] = set()
        self._stopped = True
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, live: Collection[str] = ()) -> None:
        """Find the resolver that an earlier engine left, and forget the sandboxes that are not of `live`.

        When it is gone and somebody needs it, it is started, and the sockets of the living are made again, in the
        background: nobody waits for that.
        """
        self._stopped = False
        self._files.open()
        for known in self._files.known():
            if known.sandbox in live:
                self._known[known.sandbox] = known
            else:
                self._files.forget(known.sandbox)
        if not await self._find():
            if self._known:
                self._mend()
            return
        try:
            registered = await self._registered()
        except TimeoutError:
            self._stuck()
            return
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
                self._files.remove()
                self._known.clear()
            self._let_go()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_END_SECONDS)
            self._files.close()

    async def register(self, sandbox: str, sockets: ResolverSockets, view: View) -> None:
        """From now on the resolver answers `sandbox`. It takes over `sockets`: they are closed here in any case."""
        try:
            await self._hand_over(Known(sandbox, sockets.port, view), sockets)
        except BaseException:
            self._known.pop(sandbox, None)
            self._files.forget(sandbox)
            self._later(self._ask(protocol.FORGET, {"sandbox": sandbox}))  # it may have heard of it
            raise

    async def update(self, sandbox: str, view: View) -> None:
        """A sandbox's networks changed. No error when it is not known: it has no resolver."""
        known = self._known.get(sandbox)
        if known is None or known.view == view:
            return
        self._known[sandbox] = known._replace(view=view)
        self._files.remember(self._known[sandbox])
        await self._ask(protocol.UPDATE, {"sandbox": sandbox, **view._asdict()})

    async def forget(self, sandbox: str) -> None:
        """A sandbox's last process is gone: its sockets are closed, which lets go of its namespace."""
        if self._known.pop(sandbox, None) is None:
            return
        self._files.forget(sandbox)
        if self._client is not None:
            await self._ask(protocol.FORGET, {"sandbox": sandbox})

    def publish(
        self, network: str, names: Mapping[str, Sequence[str]], addresses: Mapping[str, str], domain: str = ""
    ) -> None:
        """All names on a network, with their addresses, and the addresses' names. In force when this returns.

        Each name is known by itself and as NAME.DOMAIN.
        """
        self._files.publish(network, names, addresses, domain)

    def withdraw(self, network: str) -> None:
        """A network is gone, and its names."""
        self._files.withdraw(network)

    # ---- the process ----

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, known: Known, sockets: ResolverSockets) -> None:
        """Remember the sandbox, and register it. It stays known when that fails; the sockets are closed in any case."""
        descriptors = (sockets.udp_fd, sockets.tcp_fd)
        try:
            self._files.remember(known)
            self._known[known.sandbox] = known
            try:
                await self._register_with(known, descriptors)
            except WardianError as error:
                if error.kind != UNAVAILABLE:
                    raise
                await self._register_with(known, descriptors)  # it ended just then
        finally:
            sockets.close()

    async def _register_with(self, known: Known, descriptors: Sequence[int]) -> None:
        client = await self._running()
        body = {"sandbox": known.sandbox, **self._known.get(known.sandbox, known).view._asdict()}
        try:
            await client.request(protocol.REGISTER, body, descriptors)
        except TimeoutError:
            raise self._stuck() from None

    def _stuck(self) -> WardianError:
        """It does not answer (stopped, or in an endless loop): it is ended, and counts as lost."""
        if self._process >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
        if self._client is not None:
            self._client.close()
            self._lost()
        return WardianError(UNAVAILABLE, "the resolver did not answer, and is started again", operation="names")

    async def _ask(self, kind: int, body: dict[str, Any]) -> None:
        """A request whose failure mends itself: a resolver that is lost is told everything again."""
        with contextlib.suppress(WardianError):
            if self._client is not None:
                try:
                    await self._client.request(kind, body)
                except TimeoutError:
                    self._stuck()

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
        except (WardianError, OSError) as error:  # TimeoutError is one
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
            self._later(_reap(process))
        if not self._stopped and self._known:
            log.warning("the resolver has ended; it is started again (its last words: %s)", self._last_words())
            self._mend()

    def _mend(self) -> None:
        self._lost_again.set()
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._make_again())

    async def _make_again(self) -> None:
        """Start the resolver, and give it new sockets in the namespaces of the living.

        A sandbox whose process is just being started has none to enter by: it is looked at again.
        """
        self._complaints.clear()
        pauses = iter(_MEND_PAUSES)
        try:
            while True:
                pause = next(pauses, _MEND_REST)
                if pause < _MEND_REST:
                    await asyncio.sleep(pause)
                else:
                    self._complain("names are not answered for all containers; the engine goes on trying")
                    pauses = iter(_MEND_PAUSES) if await self._rested() else pauses
                if await self._made_again():
                    return
        finally:
            self._mending = None

    async def _rested(self) -> bool:
        """Whether the rest was cut short: the resolver, which had begun meanwhile, was lost once more."""
        self._lost_again.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lost_again.wait(), _MEND_REST)
        return self._lost_again.is_set()

    def _complain(self, text: str) -> None:
        """Once, until all are answered again."""
        if text not in self._complaints:
            self._complaints.add(text)
            log.warning("%s", text)

    async def _made_again(self) -> bool:
        """One try. False: somebody is not answered yet."""
        if not self._known:
            return True
        try:
            await self._running()
            for sandbox in self._known.keys() - (await self._registered()).keys():
                await self._remake(sandbox)
            return self._known.keys() <= (await self._registered()).keys()
        except TimeoutError:
            self._stuck()
        except (WardianError, OSError) as error:
            self._complain(f"names are not answered yet: {error}")
        return False

    async def _remake(self, sandbox: str) -> None:
        try:
            port = self._known[sandbox].port
            namespace = self._namespace(sandbox)
        except (KeyError, FileNotFoundError, ProcessLookupError):  # it has ended
            return
        except OSError as error:
            self._complain(f"no names for {sandbox[:12]}: {error}")
            return
        job = asyncio.ensure_future(asyncio.to_thread(_enter, namespace, lambda: remake_inside(port)))
        try:
            sockets = await asyncio.shield(job)
        except asyncio.CancelledError:
            job.add_done_callback(_throw_away)
            raise
        except (OSError, WardianError) as error:
            self._complain(f"no names for {sandbox[:12]}: {error}")
            return
        known = self._known.get(sandbox)
        if known is None:  # it ended meanwhile
            sockets.close()
            return
        try:
            await self._hand_over(Known(sandbox, sockets.port, known.view), sockets)
        except WardianError as error:  # it lives, and is tried again
            self._complain(f"no names for {sandbox[:12]}: {error}")
        if sandbox not in self._known:  # it ended meanwhile, and a second try may have come after that was said
            await self._ask(protocol.FORGET, {"sandbox": sandbox})

    def _last_words(self) -> str:
        try:
            with open(os.path.join(self._directory, resolver_process.LOG), errors="replace") as file:
                return (file.read(65536).strip().splitlines() or ["none"])[-1]
        except OSError:
            return "none"


async def _reap(process: int) -> None:
    """Takes the status of a resolver that ended, when it was our child."""
    try:
        await resolver_process.ended(process, _END_SECONDS)
    finally:
        os.close(process)


def _enter(namespace: int, work: Callable[[], ResolverSockets]) -> ResolverSockets:
    try:
        return netns.run_inside(namespace, work)
    finally:
        os.close(namespace)


def _throw_away(done: "asyncio.Future[ResolverSockets]") -> None:
    """Nobody waits any more for what a thread has made."""
    if not done.cancelled() and done.exception() is None:
        done.result().close()
