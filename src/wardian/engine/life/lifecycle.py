"""What a container goes through after create: start, stop, kill, its exit, its removal; its policy's starts.

Who starts, renames or removes a container holds its lock. An exit comes by itself and takes none: it is one step of
the event loop but for giving the network place back, and `start` waits for it. Signals take none either, so that a kill
need not wait for a stop that is patient.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

from wardian.caller import caller
from wardian.engine import attach, connections
from wardian.engine.descriptors import refuse_without_descriptors
from wardian.engine.events.gaps import end_attributes
from wardian.engine.life import exits, pausing, sandbox, start
from wardian.engine.life.joined import needed
from wardian.engine.life.reasons import Ask, dropped_note, with_ask
from wardian.engine.life.record import Recorder
from wardian.engine.life.remains import Remains
from wardian.engine.life.restart_policy import comes_with_engine, wait_after, wait_after_failure
from wardian.engine.life.restarts import Restarts
from wardian.engine.life.signals import stop_signal
from wardian.engine.life.state import Event, RunState, State
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.volumes import use as volume_use
from wardian.errors import CONFLICT, SYSTEM, UNAVAILABLE, WardianError
from wardian.failed_start import failed_start_code
from wardian.kernel.pidfd import hold
from wardian.runtime import ExitRecord
from wardian.storage import lock_root

log = logging.getLogger(__name__)

_STOP_TIMEOUT = 10
# after SIGKILL: what holds a process longer sits in the kernel (a dead NFS server, say) and is worth saying
_KILL_DEADLINE = 15.0
SIGKILL = 9
UNHEALTHY = "kill of the unhealthy"  # nobody asked for this end: the restart policy has its say


class Lifecycle:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._recorder = Recorder()
        self.remains = Remains()
        self.followers: list[Callable[[Container, RunState], None]] = []  # told of each new state, and the one before
        self.pauses = pausing.Pauses(parts, self.change, self._publish)
        self._restarts = Restarts(partial(self.start, by_policy=True), self._is_free)

    async def end_restarts(self) -> None:
        """Of an engine that ends: nothing is started any more."""
        await self._restarts.close()

    def close(self) -> None:
        """Of an engine that lets go of its containers."""
        self._recorder.close()

    # --- start ---

    async def start(self, container: Container, by_policy: bool = False) -> None:
        """Run it. On failure nothing is left; the container's state keeps the error and docker's exit code for it. A
        start of its policy is tried again."""
        if container.exit_watch is not None:
            await container.exit_watch
        try:
            await self.remains.gone(container)
            if by_policy:
                refuse_without_descriptors("start")
            started = await start.start_container(self._parts, container)
        except WardianError as error:
            self._start_failed(container, error, by_policy)
            raise
        except Exception as error:  # whatever it was, those who attached must hear of it and be let go
            number = getattr(error, "errno", None) or 0
            wrapped = WardianError(SYSTEM, f"start: {error}", operation="start", subject=container.id, errno=number)
            self._start_failed(container, wrapped, by_policy)
            raise wrapped from error
        container.supervisor = started.launched.supervisor
        container.sandbox = started.sandbox
        self._recorder.keep(container, started.record)
        launched = started.launched
        self.watch(container)  # first: it runs, whatever becomes of the record of it
        open_files = self._parts.host.open_files
        self.launched(container, launched.pid, launched.start_time, launched.started_at, open_files)
        connections.publish_all(self._parts, container, "connect")
        volume_use.publish_mounts(self._parts, container, "mount")
        self._parts.log_followers.follow(container)
        self._publish(container, "start")
        await attach.give_late(container, started.attached)

    def launched(
        self,
        container: Container,
        pid: int,
        start_time: int,
        started_at: int,
        open_files: tuple[int, int] | None = None,
    ) -> None:
        """It runs: on record, with what names its first process. A start that is not its policy's makes it forget what
        that did, and that somebody stopped it."""
        before = container.state
        if before.state is not State.RESTARTING:
            before = before._replace(restarts=0, backoff=0, stopped_by_user=False)
        self.change(
            container,
            before.after(
                Event.LAUNCHED,
                pid=pid,
                start_time=start_time,
                started_at=started_at,
                finished_at=0,
                exit_code=0,
                error="",
                oom_killed=False,
                reason="",
                boot_id=self._parts.boot_id,
                stays_down=False,
                asks=(),
                held=False,
                open_files=open_files,
            ),
        )

    def _start_failed(self, container: Container, error: WardianError, by_policy: bool) -> None:
        attach.drop_attachers(container)
        code = failed_start_code(error.message, 128)
        wait = wait_after_failure(container.config["HostConfig.RestartPolicy"], container.state, code)
        if by_policy and wait is not None:
            state = container.state.after(
                Event.COMES_BACK, error=str(error), exit_code=code, finished_at=time.time_ns(), stays_down=False
            )
            self.change(container, state._replace(restarts=state.restarts + 1, backoff=wait))
            self._restarts.wait(container, wait)
            return
        self.change(container, container.state.after(Event.FAILED, error=str(error), exit_code=code))
        container.answer_waiters(("not-running",), {"StatusCode": container.state.exit_code})
        if container.config["HostConfig.AutoRemove"]:
            self.remove_or_log(container)

    # --- restart policies ---

    def _is_free(self, container: Container) -> bool:
        """Nobody reads or writes its files through a view (cp): that and a start exclude each other. Who cannot find
        out starts it: what fails then is counted, and tried again."""
        try:
            with lock_root(self._parts.home, container.id, "restart"):
                return True
        except WardianError as error:
            return error.kind != CONFLICT
        except OSError:
            return True

    def resume_policies(self) -> None:
        """Of an engine that has settled what it found: what waited waits for the rest, what comes with an engine
        comes."""
        for container in self._parts.registry:
            state = container.state
            if state.state is State.RESTARTING:
                self._restarts.wait(container, state.finished_at + state.backoff - time.time_ns())
        coming = [
            one for one in self._parts.registry if comes_with_engine(one.config["HostConfig.RestartPolicy"], one.state)
        ]
        self._restarts.start_all(coming, partial(needed, self._parts.registry))
        self._restarts.open()

    async def _give_up(self, container: Container, holds_lock: bool) -> None:
        """Of a container that waits to be started again: it is not. One that is being started at this moment runs
        when this returns, unless that failed; nobody starts it while the caller `holds_lock`."""
        while container.state.state is State.RESTARTING:
            if self._restarts.cancel(container) or holds_lock or not container.lock.locked():
                self._given_up(container)
            else:
                async with container.lock:  # when the start fails it waits again
                    pass

    def _given_up(self, container: Container) -> None:
        state = container.state.after(Event.GIVEN_UP, stopped_by_user=True, finished_at=time.time_ns())
        self.change(container, state, durable=True)
        container.answer_waiters(("not-running", "next-exit"), {"StatusCode": state.exit_code})

    # --- exit ---

    def watch(self, container: Container) -> None:
        """Follow the container's supervisor until its exit is on record."""
        container.exit_watch = asyncio.get_running_loop().create_task(self._watch(container))

    async def _watch(self, container: Container) -> None:
        record = await exits.of_supervisor(container, self.remains)
        await self.exited(container, record or await exits.of_lost(self._parts, container))

    def watch_lost(self, container: Container) -> "asyncio.Task[None]":
        """Its supervisor is gone: end what it watched, so that it is never a container that nobody can wait for."""
        container.exit_watch = task = asyncio.get_running_loop().create_task(self._watch_lost(container))
        return task

    async def _watch_lost(self, container: Container) -> None:
        await self.exited(container, await exits.of_lost(self._parts, container))

    async def exited(self, container: Container, record: ExitRecord) -> None:
        """The container has ended."""
        try:
            await sandbox.release(container, self._parts.networks)
        except Exception:  # its place on the network is lost until the next engine; its end must be known now
            log.exception("container %s: its network was not given back", container.id[:12])
        try:
            self._record_exit(container, record)
        finally:
            container.exit_watch = None
        if container.config["HostConfig.AutoRemove"] and not container.kept:
            self.remove_or_log(container)

    def voided(self, container: Container, reason: str) -> None:
        """It ended with the host: nobody saw how, and its pid means nothing any more."""
        now = time.time_ns()
        state = container.state.after(
            Event.EXITED, pid=0, start_time=0, exit_code=255, finished_at=now, reason=reason, error=reason
        )
        self.change(container, state)
        self._publish(container, "die", **end_attributes(state))
        if container.config["HostConfig.AutoRemove"]:
            self.remove(container)

    @contextlib.contextmanager
    def kept(self, container: Container) -> Iterator[None]:
        """An end in here does not take the container away, --rm or not: a restart is no end of it."""
        container.kept = True
        try:
            yield
        finally:
            container.kept = False

    def _record_exit(self, container: Container, record: ExitRecord) -> None:
        wait = None
        try:
            before = container.state
            ran = max(0, record.finished_at - before.started_at)
            wait = wait_after(container.config["HostConfig.RestartPolicy"], before, record.exit_code, ran)
            state = exits.state_after(before, record, wait)
            self.change(container, state)
            container.sandbox = None
            if state.oom_killed:
                self._publish(container, "oom")
            self._publish(container, "die", **end_attributes(state))
            connections.publish_all(self._parts, container, "disconnect")
            volume_use.publish_mounts(self._parts, container, "unmount")
        finally:
            answer = {"StatusCode": container.state.exit_code}
            container.answer_waiters(("not-running", "next-exit"), answer)
            if wait is not None:
                self._restarts.wait(container, wait)

    # --- stop, kill, remove ---

    async def stop(
        self,
        container: Container,
        number: int | None,
        timeout: int | None,
        by: str = "stop",
        *,
        holds_lock: bool = False,
    ) -> str:
        """Its stop signal, then SIGKILL after the timeout (docker's 10 seconds; negative: never). `by`: the operation
        that it is part of; `holds_lock`: which has the container's lock. Returns what is worth saying about it."""
        if container.state.state is State.RESTARTING:
            await self._give_up(container, holds_lock)
            if not container.state.live:
                self._publish(container, "stop")
                return ""
        config = container.config
        signal = number or stop_signal(config["StopSignal"])
        if timeout is None:
            timeout = config["StopTimeout"] if config["StopTimeout"] is not None else _STOP_TIMEOUT
        note = self._signal(container, signal, by, ends=True)
        if not await self._ended(container, None if timeout < 0 else float(timeout)):
            await self.stop_now(container, by, holds_lock=holds_lock)
        self._publish(container, "stop")
        return note

    async def stop_now(self, container: Container, by: str = "stop", *, holds_lock: bool = False) -> None:
        """SIGKILL, and wait for the end. Raises WardianError(UNAVAILABLE) when the kernel does not let go of it."""
        if container.state.state is State.RESTARTING:
            await self._give_up(container, holds_lock)
            if not container.state.live:
                return
        self._signal(container, SIGKILL, by)
        if not await self._ended(container, _KILL_DEADLINE):
            pid = container.state.pid
            raise WardianError(
                UNAVAILABLE,
                f"container {container.id[:12]} did not end within {_KILL_DEADLINE:.0f} seconds of SIGKILL",
                operation="stop",
                subject=container.id,
                hint=f"process {pid} is held in the kernel: see /proc/{pid}/stack",
            )

    async def kill(self, container: Container, number: int, by: str = "kill") -> str:
        """Returns what is worth saying about it."""
        if container.state.state is State.RESTARTING:
            await self._give_up(container, holds_lock=False)
            if not container.state.live:
                return ""
        if number == SIGKILL:
            await self.stop_now(container, by)
            return ""
        return self._signal(container, number, by)

    def _signal(self, container: Container, number: int, by: str, ends: bool = False) -> str:
        """`ends`: it is sent to end the container, whatever signal it is. Returns a note on one that does nothing. What
        need not be said before is said while the container takes the signal in."""
        state = container.state
        process = hold(state.pid, state.start_time) if state.live else None
        try:
            dropped = process is not None and process.drops(number)
            ask = Ask(by, number, caller(), time.time_ns(), dropped)
            has_policy = container.config["HostConfig.RestartPolicy"]["Name"] != "no"
            if state.live and has_policy:
                self._asked(container, ask, ends or pausing.wakes(container, number), has_policy)
            if process is not None:
                process.send(number)
        finally:
            if process is not None:
                process.close()
        self._publish(container, "kill", signal=str(number), **({"dropped": "true"} if dropped else {}))
        if state.live and not has_policy:
            self._asked(container, ask, ends or pausing.wakes(container, number), has_policy)
        if state.state is State.PAUSED and pausing.wakes(container, number):
            self.pauses.unpause(container)
        return dropped_note(ask)

    def _asked(self, container: Container, ask: Ask, ends: bool, has_policy: bool) -> None:
        """On record: that a policy must leave it down before the signal goes, and safe from a power loss; what only the
        reason of the end is made of (reasons.py) while the container takes it in."""
        state = container.state
        after = state._replace(asks=with_ask(state.asks, ask))
        if ask.operation != UNHEALTHY:
            after = after._replace(stopped_by_user=True, stays_down=state.stays_down or ends)
        self.change(container, after, durable=has_policy and after.stopped_by_user > state.stopped_by_user)

    async def _ended(self, container: Container, timeout: float | None) -> bool:
        watch = container.exit_watch
        if watch is None:
            return True
        try:
            await asyncio.wait_for(asyncio.shield(watch), timeout)
        except TimeoutError:
            return False
        return True

    def remove(self, container: Container, volumes: bool = False) -> None:
        """Take away a container that does not run, with its anonymous `volumes` if asked, now or by a removal that did
        not come to its end, or if it is a --rm one. Its row goes last, so that what failed before can be found."""
        parts = self._parts
        self._recorder.forget(container)
        previous = container.state
        volumes = volumes or previous.with_volumes or container.config["HostConfig.AutoRemove"]
        # what an engine's end cuts short the next one does
        self.change(container, previous.after(Event.REMOVING, with_volumes=volumes))
        try:
            attach.drop_attachers(container)
            parts.log_followers.leave(container)
            parts.snapshots.remove(container.id)
            parts.trash.delete_later(parts.home.run_container(container.id))
            if volumes:
                volume_use.release(parts, container)
            parts.store.remove(container.id, previous.exit_code)
        except BaseException as error:
            self.change(container, container.state.after(Event.FAILED, error=f"removal failed: {error}"))
            raise
        parts.registry.discard(container)
        self._publish(container, "destroy")
        answer = {"StatusCode": previous.exit_code}
        container.answer_waiters(("not-running", "next-exit", "removed"), answer)

    def remove_or_log(self, container: Container) -> None:
        """A removal that nobody asked for by a call: its failure is in the log, and in the state ("dead")."""
        try:
            self.remove(container)
        except Exception:
            log.exception("container %s: its removal failed", container.id[:12])

    # --- one place each ---

    def change(self, container: Container, state: RunState, durable: bool = False) -> None:
        """A new state, seen by every reader and stored. A disk that cannot take it (it is full, say) holds nothing up:
        the next engine settles a state that is a step behind (recovery.py)."""
        before, container.state = container.state, state
        for follow in self.followers:
            follow(container, before)
        try:
            self._parts.store.set_state(container.id, state, durable)
        except Exception:
            log.exception("container %s: that it is %s was not stored", container.id[:12], state.state.value)

    def _publish(self, container: Container, action: str, **more: str) -> None:
        self._parts.events.publish("container", action, container.id, container.event_attributes() | more)
