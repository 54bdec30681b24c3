"""exec: a further process in a running container, with a supervisor of its own.

An exec that was created lives in memory until it is started. Once started it has a run directory (record.py), in
which a later engine finds it again: it runs on, and its exit code is known for as long as clients may ask for it.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from wardian.engine.deadline import look
from wardian.engine.descriptors import refuse_without_descriptors
from wardian.engine.execs import record as exec_record
from wardian.engine.execs.ended import Ended
from wardian.engine.execs.facts import check_user
from wardian.engine.execs.launch import Exec, RunDirectory, code_of, launch_exec, of_files, said_as_docker
from wardian.engine.execs.process import decode_exec, render_exec
from wardian.engine.execs.record import ExecRecord
from wardian.engine.execs.session import ExecSession
from wardian.engine.life.state import RunState, State
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, WardianError
from wardian.kernel.pidfd import send_signal
from wardian.runtime import Attacher, SupervisorClient, read_exit
from wardian.storage import Spares

log = logging.getLogger(__name__)

_LOST = 137
_BACKSTOP = 5  # seconds
_RECORD_VERSION = 1


class Execs:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._execs: dict[str, Exec] = {}
        self._directory = os.path.join(parts.home.run_root, "execs")
        self._ended = Ended(partial(exec_record.forget, self._directory))
        os.makedirs(self._directory, mode=0o711, exist_ok=True)
        self._spares = Spares(parts.run_places, exec_record.make_directory, socket.socket.close)

    # --- calls ---

    async def create(self, ref: str, body: Mapping[str, Any]) -> dict[str, str]:
        if not body.get("Cmd"):
            raise WardianError(INVALID, "No exec command specified", operation="exec", subject=ref)
        container = self._parts.registry.find(ref)
        _refuse_stopped(container, ref)
        options = decode_exec(body)
        if options.get("User"):  # Docker refuses an unknown one here, and not when it starts
            await look(partial(check_user, container, options["User"]), "exec", f"container {container.id}")
            _refuse_stopped(container)
        found = Exec(secrets.token_hex(32), container, options)
        self._add(found)
        self._publish(found, f"exec_create: {found.command_line()}")
        return {"Id": found.id}

    def start(self, identity: str, body: Mapping[str, Any]) -> ExecSession:
        """A promise to start it. Raises WardianError when it cannot be."""
        if (ended := self._ended.answer(identity)) is not None:
            self._refuse_ended(ended)
        found = self._find(identity)
        _refuse_second(found)
        refuse_without_descriptors("exec")
        return ExecSession(found.options, body, partial(self._launch, found))

    def inspect(self, identity: str) -> dict[str, Any]:
        if (ended := self._ended.answer(identity)) is not None:
            return ended
        found = self._find(identity)
        self._settle(found)
        return _render(found)

    async def resize(self, identity: str, height: int, width: int) -> None:
        found = None if identity in self._ended else self._find(identity)
        if found is None or found.supervisor is None:
            raise WardianError(CONFLICT, f"exec {identity} is not running", operation="resize", subject=identity)
        if not found.options.get("Tty"):
            return  # as Docker
        await found.supervisor.resize(height, width)

    # --- health checks ---

    def probe(self, container: Container, command: list[str], timeout: int) -> Exec:
        """A health check's exec, which must be launched and forgotten by the caller. `timeout` is in nanoseconds: the
        caller ends the probe then; should there be no caller any more, its supervisor does, a little later."""
        options = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
        found = Exec(secrets.token_hex(32), container, options, -(-timeout // 1_000_000_000) + _BACKSTOP)
        self._add(found)
        self._publish(found, f"exec_create: {found.command_line()}")
        return found

    async def launch_probe(self, found: Exec, streams: Attacher) -> None:
        _refuse_stopped(found.container)
        await self._launch(found, (0, 0), [streams])

    def forget_probe(self, found: Exec) -> None:
        """Nothing of it is on disk."""
        self._execs.pop(found.id, None)
        found.container.execs.discard(found.id)

    # --- one exec's way ---

    async def _launch(self, found: Exec, size: tuple[int, int], attachers: Sequence[Attacher]) -> None:
        """Carry it out. The attachers' descriptors stay the caller's.

        It counts as running from here on: a short command's stream may end, and its client ask, before we hear of it.
        """
        self._refuse_late(found)
        found.started = found.running = True
        # told while the launcher is at work
        asyncio.get_running_loop().call_soon(self._publish, found, f"exec_start: {found.command_line()}")
        try:
            launched = await launch_exec(self._parts, found, self._keep, size, attachers)
        except BaseException as error:
            told = of_files(error) if isinstance(error, OSError) else error
            found.running, found.exit_code = False, code_of(told)
            self._forget_later(found)
            if isinstance(told, WardianError):
                raise said_as_docker(told, found) from error
            raise
        found.running = found.exit_code is None  # by then a client may have asked, and the record been read
        found.start_time = launched.start_time
        self._follow(found, launched.pid, launched.supervisor)

    def _refuse_late(self, found: Exec) -> None:
        """Another client's start may have come between, or the container's end: then how it ended is asked for as of
        any other, since this client's answer has begun."""
        try:
            _refuse_second(found)
        except WardianError as error:
            if not found.started and not found.container.state.live:
                found.started, found.exit_code = True, code_of(error)
                self._forget_later(found)
            raise

    def _keep(self, found: Exec) -> RunDirectory | None:
        """With the record of it. A probe has none: no later engine asks for it."""
        if found.backstop:
            return None
        run_dir = self._run_dir(found.id)
        record = ExecRecord(_RECORD_VERSION, self._parts.boot_id, found.container.id, found.options)
        return RunDirectory(run_dir, exec_record.keep(run_dir, record, self._spares))

    def _follow(self, found: Exec, pid: int, supervisor: SupervisorClient) -> None:
        found.pid, found.supervisor = pid, supervisor
        found.watch = asyncio.get_running_loop().create_task(self._watch(found, supervisor))

    async def _watch(self, found: Exec, supervisor: SupervisorClient) -> None:
        try:
            found.exit_code = (await supervisor.wait_exit()).exit_code
        except WardianError as error:
            log.warning("exec %s: how it ended is not known: %s", found.id[:12], error)
            found.exit_code = _LOST
            if found.start_time:  # it ends as is said: nobody sees to it any more
                send_signal(found.pid, found.start_time, signal.SIGKILL)
        finally:
            supervisor.close()
            found.supervisor = None
        found.running = False
        self._publish(found, "exec_die", exitCode=str(found.exit_code))
        self._forget_later(found)

    def _settle(self, found: Exec) -> None:
        """A client whose stream has ended asks at once: the record on disk is there before the stream ends, the message
        of it may still be unread. Where none could be kept, or its supervisor was lost, that is read now."""
        if found.running and not found.backstop:
            code = self._recorded(found)
            if code is None:
                code = _told(found)
            if code is not None:
                found.running, found.exit_code = False, code

    def _recorded(self, found: Exec) -> int | None:
        """None: it has not ended, or its supervisor was lost."""
        try:
            record = read_exit(self._run_dir(found.id))
        except (OSError, WardianError) as error:
            log.warning("exec %s: how it ended cannot be read: %s", found.id[:12], error)
            return _LOST
        return record.exit_code if record is not None else None

    # --- across engines ---

    async def recover(self) -> None:
        """Find again what an earlier engine started. Called when the containers are known."""
        for identity in os.listdir(self._directory):
            record = exec_record.found_in(self._run_dir(identity))
            container = self._parts.registry.get(record.container) if record is not None else None
            if record is None or container is None or record.boot_id != self._parts.boot_id:
                exec_record.forget(self._directory, identity)
                continue
            found = Exec(identity, container, record.options)
            found.started = True
            self._add(found)
            await self._recover_one(found)

    async def _recover_one(self, found: Exec) -> None:
        run_dir = self._run_dir(found.id)
        try:
            supervisor = await SupervisorClient.connect(run_dir)
            pid = (await supervisor.status()).pid
        except (OSError, WardianError):
            code = self._recorded(found)
            found.exit_code = _LOST if code is None else code
            self._forget_later(found)
        else:
            found.running = True
            self._follow(found, pid, supervisor)

    def close(self) -> None:
        """Let go of the supervisors; what they watch runs on."""
        for found in self._execs.values():
            if found.watch is not None:
                found.watch.cancel()
        self._spares.close()

    # --- what is known ---

    def _run_dir(self, identity: str) -> str:
        return os.path.join(self._directory, identity)

    def _add(self, found: Exec) -> None:
        self._execs[found.id] = found
        found.container.execs.add(found.id)

    def _find(self, identity: str) -> Exec:
        found = self._execs.get(identity)
        if found is None:
            message = f"No such exec instance: {identity}"
            raise WardianError(NOT_FOUND, message, operation="exec", subject=identity)
        return found

    def follow(self, container: Container, before: RunState) -> None:
        """Its state has changed. What was not started of a container that has ended cannot be started any more; how the
        others ended is known for a while, also when it is removed: their clients are about to ask."""
        if not container.state.live:
            for found in [self._execs.get(identity) for identity in container.execs]:
                if found is not None and not found.started and not found.backstop:
                    self._drop(found)

    def _forget_later(self, found: Exec) -> None:
        found.container.execs.discard(found.id)
        if found.backstop:
            return
        self._execs.pop(found.id, None)
        self._ended.keep(found.id, _render(found))

    def _drop(self, found: Exec) -> None:
        """It cannot be started any more."""
        self._execs.pop(found.id, None)
        found.container.execs.discard(found.id)
        exec_record.forget(self._directory, found.id)

    def _refuse_ended(self, answer: Mapping[str, Any]) -> None:
        container = self._parts.registry.get(answer["ContainerID"])
        if container is not None:
            _refuse_stopped(container)
        raise _second(answer["ID"], "has already run")

    def _publish(self, found: Exec, action: str, **more: str) -> None:
        container = found.container
        attributes = container.event_attributes() | {"execID": found.id} | more
        self._parts.events.publish("container", action, container.id, attributes)


def _told(found: Exec) -> int | None:
    """None while it runs."""
    try:
        record = found.supervisor.told() if found.supervisor is not None else None
    except (OSError, WardianError):
        return _LOST
    return record.exit_code if record is not None else None


def _refuse_second(found: Exec) -> None:
    _refuse_stopped(found.container)
    if found.started:
        raise _second(found.id, "is already running" if found.running else "has already run")


def _second(identity: str, how: str) -> WardianError:
    return WardianError(CONFLICT, f"exec command {identity} {how}", operation="exec", subject=identity)


def _render(found: Exec) -> dict[str, Any]:
    return render_exec(found.id, found.container.id, found.options, found.running, found.exit_code, found.pid)


def _refuse_stopped(container: Container, ref: str = "") -> None:
    """`ref`: what the client calls it, which Docker's words repeat."""
    container.must_live("exec")
    if container.state.state is State.PAUSED:
        message = f"Container {ref or container.id} is paused, unpause the container before exec"
        raise WardianError(CONFLICT, message, operation="exec", subject=container.id)
