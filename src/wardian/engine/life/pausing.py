"""pause and unpause: all processes of a container stand still, by the freezer of its group; and what a signal does to
one that is paused."""

import logging
import os
from collections.abc import Callable, Sequence

from wardian.engine.life import create
from wardian.engine.life.reasons import Ask
from wardian.engine.life.signals import signal_name, stop_signal
from wardian.engine.life.state import Event, RunState, State
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.workers import work
from wardian.errors import CONFLICT, REFUSED, SYSTEM, UNAVAILABLE, WardianError
from wardian.kernel import freezer
from wardian.runtime import freezer_directory

log = logging.getLogger(__name__)

Publish = Callable[[Container, str], None]

_DEADLINE = 10.0  # seconds: what does not stand still until then sits in the kernel
_SIGKILL = 9


def freezer_of(parts: Parts, container: Container) -> str:
    return freezer_directory(parts.host, create.cgroup_of(parts, container.config))


def check_pausable(container: Container) -> None:
    """Raises WardianError(CONFLICT) in Docker's words."""
    if container.state.state is State.PAUSED and not container.state.held:
        raise _refusal(container, f"Container {container.id} is already paused")
    container.must_live("pause")


def check_paused(container: Container) -> None:
    """Docker answers 500 to this one."""
    if container.state.state is not State.PAUSED:
        message = f"Container {container.id} is not paused"
        raise WardianError(REFUSED, message, operation="unpause", subject=container.id)


async def freeze(parts: Parts, container: Container) -> None:
    """When it returns nothing of the container runs. Raises WardianError; then it runs on."""
    directory = freezer_of(parts, container)
    try:
        stands = await work(lambda _: freezer.freeze(directory, _DEADLINE), lambda _: None, "wardian-freeze")
    except FileNotFoundError:
        if not container.state.live or not os.path.isdir(directory):  # it has just ended
            raise _refusal(container, f"container {container.id} is not running") from None
        raise WardianError(
            UNAVAILABLE,
            f"container {container.id} cannot be paused: its control group has no freezer",
            operation="pause",
            subject=container.id,
        ) from None
    except OSError as error:
        message = f"container {container.id} cannot be paused: {error.strerror}"
        raise WardianError(SYSTEM, message, operation="pause", subject=container.id, errno=error.errno or 0) from error
    if not stands:
        raise WardianError(
            UNAVAILABLE,
            f"container {container.id} did not stand still within {_DEADLINE:.0f} seconds",
            operation="pause",
            subject=container.id,
            hint=f"a process of {directory} is held in the kernel",
        )


def thaw(parts: Parts, container: Container) -> None:
    """It goes on. A group that is gone has nothing to go on with."""
    try:
        freezer.set_frozen(freezer_of(parts, container), False)
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"container {container.id} cannot be unpaused: {error.strerror}"
        raise WardianError(
            SYSTEM, message, operation="unpause", subject=container.id, errno=error.errno or 0
        ) from error


def wakes(container: Container, number: int) -> bool:
    """Whether this signal takes a paused container out of its pause, so that it has it: Docker's rule. What means its
    end does; without a stop signal of its own any is taken for that."""
    own = container.config["StopSignal"]
    return not own or number in (_SIGKILL, stop_signal(own))


def refuse_woken(parts: Parts, container: Container, known: Sequence[Ask]) -> None:
    """A signal may come between the freezer and the state, after those that are `known`: who sent it saw nothing that
    stands still. One that takes a container out of its pause does so then, too. Raises WardianError(CONFLICT)."""
    waking = [ask for ask in container.state.asks if ask not in known and wakes(container, ask.signal)]
    if waking:
        thaw(parts, container)
        name = signal_name(waking[-1].signal)
        raise _refusal(container, f"Container {container.id} is not paused: it was sent {name} meanwhile")


class Pauses:
    """`change` stores a container's new state, `publish` tells of it."""

    def __init__(self, parts: Parts, change: Callable[[Container, RunState], None], publish: Publish) -> None:
        self._parts = parts
        self._change = change
        self._publish = publish

    async def pause(self, container: Container) -> None:
        """Nothing of it runs any more, and it is on record. Raises WardianError; then it runs on. One that stands still
        for a commit stays so after it."""
        if container.state.state is State.PAUSED and container.state.held:
            self._let_go(container)
        else:
            await self._stand_still(container)
        self._publish(container, "pause")

    def unpause(self, container: Container) -> None:
        thaw(self._parts, container)
        container.holders.clear()
        self._change(container, container.state.after(Event.RESUMED, held=False))
        self._publish(container, "unpause")

    async def hold(self, container: Container) -> object | None:
        """Let it stand still for an operation, until `release` of what this returns: None when somebody paused it, who
        unpauses it. Raises WardianError(CONFLICT) when it does not run."""
        holder = object()
        if container.state.state is State.PAUSED:
            if not container.state.held:
                return None
            container.holders.add(holder)
            return holder
        check_pausable(container)
        self._change(container, container.state._replace(held=True))
        container.holders.add(holder)
        try:
            await self._stand_still(container)
        except BaseException:
            self._let_go(container)
            raise
        self._publish(container, "pause")
        return holder

    def release(self, container: Container, holder: object) -> None:
        """Nothing when its pause has ended meanwhile, or became somebody's: a pause, an unpause, a kill."""
        if holder not in container.holders:
            return
        container.holders.discard(holder)
        if not container.holders and container.state.state is State.PAUSED and container.state.held:
            self.unpause(container)

    def _let_go(self, container: Container) -> None:
        """No operation holds it any more, whether it stands still or not."""
        container.holders.clear()
        if self._parts.registry.get(container.id) is container:  # else its end, as a --rm one, came first
            self._change(container, container.state._replace(held=False))

    async def _stand_still(self, container: Container) -> None:
        known = container.state.asks
        await freeze(self._parts, container)
        if not container.state.live:  # it ended at that very moment
            check_pausable(container)
        refuse_woken(self._parts, container, known)
        self._change(container, container.state.after(Event.PAUSED))


def settle(parts: Parts, container: Container) -> None:
    """Of an engine that starts: whether it is paused is the kernel's to say."""
    directory = freezer_of(parts, container)
    frozen = freezer.is_frozen(directory) and not container.state.held  # a commit that ended with its engine
    container.state = state = container.state._replace(held=False)
    if not frozen:  # an earlier engine's end may have cut a pause short: half of it would stand still
        try:
            freezer.set_frozen(directory, False)
        except OSError as error:
            log.warning("container %s: some of its processes may stand still: %s", container.id[:12], error)
    if frozen and state.state is State.RUNNING:
        container.state = state.after(Event.PAUSED)
    elif not frozen and state.state is State.PAUSED:
        container.state = state.after(Event.RESUMED)


def _refusal(container: Container, message: str) -> WardianError:
    return WardianError(CONFLICT, message, operation="pause", subject=container.id)
