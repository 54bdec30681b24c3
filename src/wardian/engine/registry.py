"""The containers that exist, in memory: what reads see, and how a reference finds one."""

import asyncio
from collections.abc import Iterator
from typing import Any

from wardian.engine.health.rules import Health
from wardian.engine.life.state import RunState, State
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST
from wardian.engine.store import ContainerRecord
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, WardianError

LINKS = HOST + "Links"
Waiter = tuple[str, "asyncio.Future[dict[str, Any]]"]


class Container:
    """One container: what it was asked to be, what it does now, and this engine's live handles to it.

    `record`, `config` and `state` are values, replaced as a whole: a reader takes them once and has a snapshot. `lock`
    serialises operations that change it; nobody reads under it.
    """

    __slots__ = (
        "attachers", "config", "departures", "execs", "exit_watch", "health", "holders", "kept", "launch_record",
        "listed", "lock", "record", "remains", "sandbox", "state", "supervisor", "waiters",
    )  # fmt: skip

    def __init__(self, record: ContainerRecord, config: ContainerConfig, state: RunState) -> None:
        self.record = record
        self.config = config
        self.state = state
        self.lock = asyncio.Lock()
        self.waiters: list[Waiter] = []
        self.attachers: list[Any] = []
        self.departures: asyncio.TimerHandle | None = None  # the next look at which attachers are still there
        self.execs: set[str] = set()
        self.health: Health | None = None  # of one that is checked and was started
        self.holders: set[object] = set()  # operations for which it stands still
        self.kept = False  # its end is not the end of a --rm container: it is being restarted
        self.supervisor: Any = None
        self.remains: Any = None  # the supervisor of the last run, until it has let go of all: see life/remains.py
        self.sandbox: Any = None
        self.exit_watch: asyncio.Task[None] | None = None
        self.launch_record: Any = None
        self.listed: Any = None  # its line of a list, and the values that this was made of

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    def event_attributes(self) -> dict[str, str]:
        """What docker's events say of a container: its labels, image and name."""
        return {**self.config["Labels"], "image": self.record.image_ref, "name": self.name}

    def must_live(self, operation: str) -> None:
        """Raises WardianError(CONFLICT) in Docker's words when no process of it does, for who needs one."""
        if self.state.state is State.RESTARTING:
            message = f"Container {self.id} is restarting, wait until the container is running"
        elif not self.state.live:
            message = f"container {self.id} is not running"
        else:
            return
        raise WardianError(CONFLICT, message, operation=operation, subject=self.id)

    def answer_waiters(self, conditions: tuple[str, ...], answer: dict[str, Any]) -> None:
        """Give `answer` to whoever waits for one of `conditions`."""
        left = []
        for condition, future in self.waiters:
            if condition in conditions:
                if not future.done():
                    future.set_result(answer)
            elif not future.done():
                left.append((condition, future))
        self.waiters = left

    def add_waiter(self, condition: str, future: "asyncio.Future[dict[str, Any]]") -> None:
        """Those whose clients left meanwhile go: a client may ask anew every second for as long as this runs."""
        self.waiters = [waiter for waiter in self.waiters if not waiter[1].done()]
        self.waiters.append((condition, future))


class Registry:
    """By id, by name, by unique prefix of an id: docker's order of looking.

    `tied`: those that were made with a link to another or in its network, which few are: who looks for them, at each
    start and each end, need not look at all.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self.names: dict[str, str] = {}
        self._tied: dict[str, Container] = {}

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, container: Container) -> None:
        self._by_id[container.id] = container
        self.names[container.name] = container.id
        if container.config[LINKS] or container.config.joins("network"):
            self._tied[container.id] = container

    def discard(self, container: Container) -> None:
        self._by_id.pop(container.id, None)
        self._tied.pop(container.id, None)
        if self.names.get(container.name) == container.id:
            del self.names[container.name]

    @property
    def tied(self) -> list[Container]:
        return list(self._tied.values())

    def get(self, identity: str) -> Container | None:
        return self._by_id.get(identity)

    def find(self, ref: str) -> Container:
        """Raises WardianError: NOT_FOUND, or INVALID for a prefix of several."""
        found = self._by_id.get(ref) or self._by_id.get(self.names.get(ref.removeprefix("/"), ""))
        if found is not None:
            return found
        matches = [container for identity, container in self._by_id.items() if ref and identity.startswith(ref)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise WardianError(INVALID, f"Multiple IDs found with provided prefix: {ref}", subject=ref)
        raise WardianError(NOT_FOUND, f"No such container: {ref}", operation="find", subject=ref)

    def claim(self, name: str, identity: str) -> None:
        """Take a name. Raises WardianError(CONFLICT) in the words that docker's clients look for."""
        holder = self.names.get(name)
        if holder is not None:
            raise WardianError(
                CONFLICT,
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name.",
                operation="create",
                subject=name,
            )
        self.names[name] = identity

    def unclaim(self, name: str) -> None:
        self.names.pop(name, None)
