"""Containers as users know them: what the API's container calls do, each short, the long ways in modules of their own.

life/create.py  body → row, spec, directories       life/start.py  spec → plan → a running process
life/lifecycle.py  stop, kill, exit, removal        reading.py  lists and inspections, by inspect.py
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from wardian.engine.attach import AttachOptions, AttachSession
from wardian.engine.changes import changes_of, described
from wardian.engine.deadline import At, look
from wardian.engine.descriptors import refuse_without_descriptors
from wardian.engine.filters import Filters, check_filters, matches_label, until
from wardian.engine.inspect import render_end
from wardian.engine.life import create, pausing, start, update
from wardian.engine.life.lifecycle import UNHEALTHY, Lifecycle
from wardian.engine.life.signals import signal_number
from wardian.engine.life.state import State
from wardian.engine.links import unlink
from wardian.engine.logging import LogOptions, LogReader, LogStream, is_readable, log_path
from wardian.engine.names import check_name
from wardian.engine.observe.top import top
from wardian.engine.options.endpoints import names_of
from wardian.engine.parts import Parts
from wardian.engine.reading import Reading
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, NOT_IMPLEMENTED, NOT_MODIFIED, WardianError
from wardian.insight.explain import explain, explain_container

log = logging.getLogger(__name__)

Bodies = list[dict[str, Any]]
_CONDITIONS = ("not-running", "next-exit", "removed")


class Containers:
    def __init__(self, parts: Parts, lifecycle: Lifecycle) -> None:
        self._parts = parts
        self._registry = parts.registry
        self._lifecycle = lifecycle
        self._reading = Reading(parts)

    # --- operations ---

    async def create(
        self, body: Mapping[str, Any], name: str | None = None, platform: str | None = None
    ) -> dict[str, Any]:
        refuse_without_descriptors("create")
        container, warnings = await create.create_container(self._parts, body, name or "", platform or "")
        self._parts.events.publish("container", "create", container.id, container.event_attributes())
        return {"Id": container.id, "Warnings": warnings}

    async def start(self, ref: str, detach_keys: str | None = None) -> None:
        container = self._registry.find(ref)
        async with self._held(container):
            if container.state.state is State.PAUSED:
                message = "cannot start a paused container, try unpause instead"
                raise WardianError(CONFLICT, message, operation="start", subject=container.id)
            if container.state.running:
                raise WardianError(
                    NOT_MODIFIED, "container is already running", operation="start", subject=container.id
                )
            refuse_without_descriptors("start")
            await self._lifecycle.start(container)

    async def stop(self, ref: str, signal: str | None = None, timeout: int | None = None) -> str:
        """Returns what is worth saying: why it takes as long as it does."""
        container = self._registry.find(ref)
        if not container.state.running:
            raise WardianError(NOT_MODIFIED, "container is already stopped", operation="stop", subject=container.id)
        number = signal_number(signal) if signal else None
        return await self._lifecycle.stop(container, number, timeout)

    async def restart(self, ref: str, signal: str | None = None, timeout: int | None = None) -> str:
        container = self._registry.find(ref)
        note = ""
        async with self._held(container):
            with self._lifecycle.kept(container):
                if container.state.running:
                    number = signal_number(signal) if signal else None
                    note = await self._lifecycle.stop(container, number, timeout, "restart", holds_lock=True)
            await self._lifecycle.start(container)
        self._parts.events.publish("container", "restart", container.id, container.event_attributes())
        return note

    async def act(self, action: str, container: Container) -> None:
        """Of one that became unhealthy: --health-on-failure. One that is killed comes back by its restart policy."""
        if not container.state.live:
            return
        if action == "kill":
            await self._lifecycle.stop_now(container, UNHEALTHY)
        elif action == "stop":
            await self._lifecycle.stop(container, None, None, "stop of the unhealthy")
        else:
            await self.restart(container.id)

    async def kill(self, ref: str, signal: str = "KILL") -> str:
        try:
            number = signal_number(signal or "KILL")
            container = self._registry.find(ref)
        except WardianError as error:
            message = f"cannot kill container: {ref}: {error.message}"
            raise WardianError(error.kind, message, operation="kill", subject=ref) from None
        if not container.state.running:
            message = f"cannot kill container: {ref}: container {container.id} is not running"
            raise WardianError(CONFLICT, message, operation="kill", subject=container.id)
        return await self._lifecycle.kill(container, number)

    async def remove(self, ref: str, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        if link:
            await unlink(self._parts, ref)
            return
        container = self._registry.find(ref)
        if container.state.state is State.REMOVING:
            message = f"removal of container {ref} is already in progress"
            raise WardianError(CONFLICT, message, operation="remove", subject=container.id)
        if container.state.running:
            # before its turn with the lock: a restart that holds it may be waiting for a slow end
            self._refuse_live(container, ref, force)
            await self._lifecycle.stop_now(container, "rm")
        async with container.lock:
            if container.state.running:  # started anew while we waited
                self._refuse_live(container, ref, force)
                await self._lifecycle.stop_now(container, "rm", holds_lock=True)
            if self._registry.get(container.id) is not None:  # else its own --rm was faster
                self._lifecycle.remove(container, volumes)

    @asynccontextmanager
    async def _held(self, container: Container) -> AsyncIterator[None]:
        """The container's lock. Raises NOT_FOUND when it was removed while we waited for our turn."""
        async with container.lock:
            if self._registry.get(container.id) is not container:
                message = f"No such container: {container.id}"
                raise WardianError(NOT_FOUND, message, operation="lock", subject=container.id)
            yield

    def _refuse_live(self, container: Container, ref: str, force: bool) -> None:
        if force:
            return
        if container.state.state is State.PAUSED:
            hint = "container is paused and must be unpaused first"
        elif container.state.state is State.RESTARTING:
            hint = "container is restarting: stop the container before removing or force remove"
        else:
            hint = "container is running: stop the container before removing or force remove"
        message = f'cannot remove container "{ref}": {hint}'
        raise WardianError(CONFLICT, message, operation="remove", subject=container.id)

    async def resize(self, ref: str, height: int, width: int) -> None:
        container = self._registry.find(ref)
        if not container.state.live or container.supervisor is None:
            message = f"container {container.id} is not running"
            raise WardianError(CONFLICT, message, operation="resize", subject=container.id)
        if not container.config["Tty"]:
            return  # Docker answers 200, and there is nothing to do
        await container.supervisor.resize(height, width)

    async def rename(self, ref: str, name: str) -> None:
        container = self._registry.find(ref)
        try:
            new = check_name(name)
        except WardianError as error:
            message = f"Error when allocating new name: {error.message.replace(f'({name})', f'(/{name})')}"
            raise WardianError(error.kind, message, operation="rename", subject=container.id) from None
        async with self._held(container):
            old = container.name
            if new == old:
                message = "Renaming a container with the same name as its current name"
                raise WardianError(INVALID, message, operation="rename", subject=container.id)
            try:
                self._registry.claim(new, container.id)
            except WardianError as error:
                message = f"Error when allocating new name: {error.message}"
                raise WardianError(error.kind, message, operation="rename", subject=container.id) from None
            try:
                self._parts.store.rename(container.id, new)
            except BaseException:
                self._registry.unclaim(new)
                raise
            self._registry.unclaim(old)
            container.record = container.record._replace(name=new)
            self._parts.networks.rename(container.id, names_of(container.config, new))
        attributes = container.event_attributes() | {"oldName": f"/{old}"}
        self._parts.events.publish("container", "rename", container.id, attributes)

    async def pause(self, ref: str) -> None:
        container = self._registry.find(ref)
        pausing.check_pausable(container)
        async with self._held(container):
            pausing.check_pausable(container)
            await self._lifecycle.pauses.pause(container)

    @asynccontextmanager
    async def still(self, container: Container) -> AsyncIterator[None]:
        """Nothing of it runs in here, if it runs at all; afterwards it goes on, unless somebody wants it paused."""
        holder = None
        async with self._held(container):
            try:
                holder = await self._lifecycle.pauses.hold(container) if container.state.live else None
            except WardianError as error:
                if error.kind != CONFLICT:  # else it has just ended
                    raise
        try:
            yield
        finally:
            if holder is not None:
                async with container.lock:
                    self._lifecycle.pauses.release(container, holder)

    async def unpause(self, ref: str) -> None:
        container = self._registry.find(ref)
        async with self._held(container):
            pausing.check_paused(container)
            self._lifecycle.pauses.unpause(container)

    async def update(self, ref: str, body: Mapping[str, Any]) -> dict[str, Any]:
        container = self._registry.find(ref)
        async with self._held(container):
            warnings = await update.update(self._parts, container, body)
        self._parts.events.publish("container", "update", container.id, container.event_attributes())
        return {"Warnings": warnings or None}

    async def top(self, ref: str, ps_args: str = "-ef") -> dict[str, Any]:
        """A process' arguments are in its own memory, which may be a file on a dead server (proc_pid_cmdline(5)), and
        its user's name with a directory server: a look that may never be answered."""
        container = self._registry.find(ref)
        container.must_live("top")

        def job(at: At) -> dict[str, Any]:
            at(f"a process of container {container.id}, or the database of users (nsswitch.conf(5)),")
            return top(self._parts, container, ps_args)

        return await look(job, "top", f"the processes of container {container.id}")

    async def prune(self, wanted: Filters | None = None) -> dict[str, Any]:
        filters = wanted or {}
        check_filters(filters, ("label", "label!", "until"))
        before = until(filters, "prune containers")
        gone, freed = [], 0
        for container in self._registry:
            if container.state.running or container.lock.locked() or not _is_pruned(container, filters, before):
                continue
            async with container.lock:
                if self._registry.get(container.id) is None or container.state.running:
                    continue
                try:
                    size = await asyncio.to_thread(self._parts.snapshots.size, container.id)
                    self._lifecycle.remove(container)
                except Exception:  # its state has it; the others go
                    log.exception("container %s: its removal by prune failed", container.id[:12])
                    continue
                freed += size
                gone.append(container.id)
        attributes = {"reclaimed": str(freed)}
        self._parts.events.publish("container", "prune", "", attributes)
        return {"ContainersDeleted": gone or None, "SpaceReclaimed": freed}

    # --- streams and waiting ---

    def wait(self, ref: str, condition: str = "not-running") -> "asyncio.Future[dict[str, Any]]":
        condition = condition or "not-running"
        if condition not in _CONDITIONS:
            raise WardianError(INVALID, f'invalid condition: "{condition}"', operation="wait", subject=ref)
        ended = self._parts.store.exit_code_of_removed(ref) if condition == "removed" else None
        if ended is not None:  # who waited lost its engine, and asks the next one by its id
            future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            future.set_result({"StatusCode": ended})
            return future
        return self._wait(self._registry.find(ref), condition)

    def _wait(self, container: Container, condition: str) -> "asyncio.Future[dict[str, Any]]":
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if condition == "not-running" and not container.state.running:
            future.set_result({"StatusCode": container.state.exit_code})
        else:
            container.add_waiter(condition, future)
        return future

    def attach(self, ref: str, options: AttachOptions) -> AttachSession:
        container = self._registry.find(ref)
        if container.state.state is State.PAUSED:
            message = f"container {ref} is paused, unpause the container before attach"
            raise WardianError(CONFLICT, message, operation="attach", subject=container.id)
        if container.state.state is State.RESTARTING:
            message = f"container {ref} is restarting, wait until the container is running"
            raise WardianError(CONFLICT, message, operation="attach", subject=container.id)
        self._parts.events.publish("container", "attach", container.id, container.event_attributes())
        return AttachSession(container, options)

    def logs(self, ref: str, options: LogOptions) -> LogStream:
        container = self._registry.find(ref)
        if not is_readable(container.config["HostConfig.LogConfig"]):
            message = "configured logging driver does not support reading"
            raise WardianError(NOT_IMPLEMENTED, message, operation="logs", subject=container.id)
        tty = bool(container.config["Tty"])
        path = log_path(container.config.directory, container.id)
        end = partial(self._wait, container, "not-running") if options.follow else None
        return LogStream(tty, LogReader(path, options, tty, end).chunks())

    # --- reads ---

    def inspect(self, ref: str, size: bool = False) -> dict[str, Any]:
        return self._reading.inspect(self._registry.find(ref), size)

    def list(
        self,
        all: bool = False,  # noqa: A002  (the API's word)
        limit: int = 0,
        size: bool = False,
        filters: Filters | None = None,
    ) -> Bodies:
        return self._reading.list(all, limit, size, filters or {})

    def list_as_json(self, every: bool, limit: int, filters: Filters) -> msgspec.Raw:
        """`list` without sizes, as it is sent."""
        return self._reading.list_as_json(every, limit, filters)

    # --- seeing into it ---

    async def plan(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await start.plan_of_body(self._parts, body)

    def explain(self, ref: str) -> dict[str, Any]:
        container = self._registry.find(ref)
        if container.launch_record is not None:
            plan, report = container.launch_record.documents()
            found = explain(plan, report, container.id, container.name)
        else:
            started = container.state.started_at > 0
            found = explain_container(container.config.directory, container.id, container.name, started)
        return found | {"Changes": described(changes_of(container)), "End": render_end(container.state)}


def _is_pruned(container: Container, filters: Filters, before: float | None) -> bool:
    labels = container.config["Labels"]
    return (
        all(matches_label(labels, text) for text in filters.get("label", ()))
        and not any(matches_label(labels, text) for text in filters.get("label!", ()))
        and (before is None or container.record.created < before * 1e9)
    )
