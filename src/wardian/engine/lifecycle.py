"""What a container goes through after create: start, stop, kill, its exit, its removal.

Who starts, renames or removes a container holds its lock. An exit comes by itself and takes none: it is one step of
the event loop but for giving the network place back, and `start` waits for it. Signals take none either, so that a kill
need not wait for a stop that is patient.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from wardian.engine import attach, connections, create, pausing, sandbox, start, volume_use
from wardian.engine.parts import Parts
from wardian.engine.record import Recorder
from wardian.engine.registry import Container
from wardian.engine.signals import signal_number
from wardian.engine.state import Event, RunState, State
from wardian.errors import SYSTEM, UNAVAILABLE, WardianError
from wardian.failed_start import failed_start_code
from wardian.kernel.pidfd import send_signal
from wardian.runtime import SUPERVISOR_LOST, TIMEOUT, ExitRecord, SupervisorClient, end_lost

log = logging.getLogger(__name__)

_STOP_TIMEOUT = 10
# after SIGKILL: what holds a process longer sits in the kernel (a dead NFS server, say) and is worth saying
_KILL_DEADLINE = 15.0
# between two tries to end a container whose supervisor is lost, twice as long each time
_LOST_PAUSE, _LOST_PAUSE_MAX = 1.0, 60.0
SIGKILL, SIGTERM = 9, 15


class Lifecycle:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._recorder = Recorder()
        self.followers: list[Callable[[Container, RunState], None]] = []  # told of each new state, and the one before

    def close(self) -> None:
        """Of an engine that lets go of its containers."""
        self._recorder.close()

    # --- start ---

    async def start(self, container: Container) -> None:
        """Run it. On failure nothing is left; the container's state keeps the error and docker's exit code for it."""
        if container.exit_watch is not None:
            await container.exit_watch
        try:
            started = await start.start_container(self._parts, container)
        except WardianError as error:
            self._start_failed(container, error)
            raise
        except Exception as error:  # whatever it was, those who attached must hear of it and be let go
            number = getattr(error, "errno", None) or 0
            wrapped = WardianError(SYSTEM, f"start: {error}", operation="start", subject=container.id, errno=number)
            self._start_failed(container, wrapped)
            raise wrapped from error
        container.supervisor = started.launched.supervisor
        container.sandbox = started.sandbox
        self._recorder.keep(container, started.record)
        launched = started.launched
        self.watch(container)  # first: it runs, whatever becomes of the record of it
        self.launched(container, launched.pid, launched.start_time, launched.started_at)
        connections.publish_all(self._parts, container, "connect")
        volume_use.publish_mounts(self._parts, container, "mount")
        self._publish(container, "start")
        await attach.give_late(container, started.attached)

    def launched(self, container: Container, pid: int, start_time: int, started_at: int) -> None:
        """It runs: on record, with what names its first process."""
        self.change(
            container,
            container.state.after(
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
            ),
        )

    def _start_failed(self, container: Container, error: WardianError) -> None:
        attach.drop_attachers(container)
        code = failed_start_code(error.message, 128)
        self.change(container, container.state.after(Event.FAILED, error=str(error), exit_code=code))
        if container.config["HostConfig.AutoRemove"]:
            self.remove_or_log(container)

    # --- exit ---

    def watch(self, container: Container) -> None:
        """Follow the container's supervisor until its exit is on record."""
        container.exit_watch = asyncio.get_running_loop().create_task(self._watch(container))

    async def _watch(self, container: Container) -> None:
        supervisor: SupervisorClient = container.supervisor
        try:
            record = await supervisor.wait_exit()
        except (OSError, WardianError):
            record = None
        finally:
            container.supervisor = None
            supervisor.close()
        if record is None:
            await self._watch_lost(container)
        else:
            await self.exited(container, record)

    def watch_lost(self, container: Container) -> "asyncio.Task[None]":
        """Its supervisor is gone: end what it watched, so that it is never a container that nobody can wait for."""
        container.exit_watch = task = asyncio.get_running_loop().create_task(self._watch_lost(container))
        return task

    async def _watch_lost(self, container: Container) -> None:
        """Until nothing of it lives, it counts as running: stop says what holds it, and nobody starts it again."""
        parts, state = self._parts, container.state
        run_dir = parts.home.run_container(container.id)
        group = create.cgroup_of(parts, container.config)
        mounts = {parts.host.cgroup2, *(mount for _, mount in parts.host.cgroup_mounts)} - {""}
        groups = [f"{mount}/{group}" for mount in sorted(mounts)]
        record, pause = None, _LOST_PAUSE
        while record is None:
            try:
                record = await asyncio.to_thread(end_lost, run_dir, groups, state.pid, state.start_time)
            except (OSError, WardianError) as error:
                log.error("container %s: its supervisor is lost, and its end fails: %s", container.id[:12], error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LOST_PAUSE_MAX)
        await self.exited(container, record)

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
        try:
            state = exit_state(container.state, record)
            self.change(container, state)
            container.sandbox = None
            if state.oom_killed:
                self._publish(container, "oom")
            duration = max(0, state.finished_at - state.started_at) // 1_000_000_000
            self._publish(container, "die", exitCode=str(state.exit_code), execDuration=str(duration))
            connections.publish_all(self._parts, container, "disconnect")
            volume_use.publish_mounts(self._parts, container, "unmount")
        finally:
            answer = {"StatusCode": container.state.exit_code}
            container.answer_waiters(("not-running", "next-exit"), answer)

    # --- stop, kill, remove ---

    async def stop(self, container: Container, number: int | None, timeout: int | None) -> None:
        """Its stop signal, then SIGKILL after the timeout (docker's 10 seconds; negative: never)."""
        config = container.config
        signal = number or (signal_number(config["StopSignal"]) if config["StopSignal"] else SIGTERM)
        if timeout is None:
            timeout = config["StopTimeout"] if config["StopTimeout"] is not None else _STOP_TIMEOUT
        self._signal(container, signal)
        if not await self._ended(container, None if timeout < 0 else float(timeout)):
            await self.stop_now(container)
        self._publish(container, "stop")

    async def stop_now(self, container: Container) -> None:
        """SIGKILL, and wait for the end. Raises WardianError(UNAVAILABLE) when the kernel does not let go of it."""
        self._signal(container, SIGKILL)
        if not await self._ended(container, _KILL_DEADLINE):
            pid = container.state.pid
            raise WardianError(
                UNAVAILABLE,
                f"container {container.id[:12]} did not end within {_KILL_DEADLINE:.0f} seconds of SIGKILL",
                operation="stop",
                subject=container.id,
                hint=f"process {pid} is held in the kernel: see /proc/{pid}/stack",
            )

    async def kill(self, container: Container, number: int) -> None:
        if number == SIGKILL:
            return await self.stop_now(container)
        return self._signal(container, number)

    def _signal(self, container: Container, number: int) -> None:
        state = container.state
        self._publish(container, "kill", signal=str(number))
        if state.live:
            send_signal(state.pid, state.start_time, number)
        if state.state is State.PAUSED and pausing.wakes(container, number):
            self.unpause(container)

    async def pause(self, container: Container) -> None:
        """Nothing of it runs any more, and it is on record. Raises WardianError; then it runs on."""
        await pausing.freeze(self._parts, container)
        if not container.state.live:  # it ended at that very moment
            pausing.check_pausable(container)
        self.change(container, container.state.after(Event.PAUSED))
        self._publish(container, "pause")

    def unpause(self, container: Container) -> None:
        pausing.thaw(self._parts, container)
        self.change(container, container.state.after(Event.RESUMED))
        self._publish(container, "unpause")

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
        """Take away a container that does not run, with its anonymous `volumes` if asked, or if it is a --rm one. Its
        row goes last, so that what failed before can be found."""
        parts = self._parts
        self._recorder.forget(container)
        previous = container.state
        container.state = previous.after(Event.REMOVING)
        try:
            attach.drop_attachers(container)
            parts.snapshots.remove(container.id)
            create.remove_run_directory(parts, container.id)
            if volumes or container.config["HostConfig.AutoRemove"]:
                volume_use.release(parts, container)
            parts.store.remove(container.id)
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

    def change(self, container: Container, state: RunState) -> None:
        """A new state, seen by every reader and stored. A disk that cannot take it (it is full, say) holds nothing up:
        the next engine settles a state that is a step behind (recovery.py)."""
        before, container.state = container.state, state
        for follow in self.followers:
            follow(container, before)
        try:
            self._parts.store.set_state(container.id, state)
        except Exception:
            log.exception("container %s: that it is %s was not stored", container.id[:12], state.state.value)

    def _publish(self, container: Container, action: str, **more: str) -> None:
        self._parts.events.publish("container", action, container.id, container.event_attributes() | more)


def exit_state(state: RunState, record: ExitRecord) -> RunState:
    """The state after an exit."""
    return state.after(
        Event.EXITED,
        pid=0,
        exit_code=record.exit_code,
        finished_at=record.finished_at,
        oom_killed=record.oom_killed,
        reason=record.reason,
        error=record.reason if record.reason in (SUPERVISOR_LOST, TIMEOUT) else "",
    )
