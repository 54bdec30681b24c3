"""One exec, and how it is launched: its process and the container's namespaces make a plan, which is carried out.

options ─▶ process (process.py) ─▶ facts of the container's root ─▶ plan_exec ─▶ launch
"""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from wardian.engine.execs.facts import facts_of, has_left
from wardian.engine.execs.plans import plan_of
from wardian.engine.execs.process import exec_process, template_in
from wardian.engine.life.start import say_launch_error
from wardian.engine.links import with_links
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import CONFLICT, INVALID, REFUSED, SYSTEM, WardianError
from wardian.failed_start import failed_start_code
from wardian.kernel.pidfd import send_signal
from wardian.runtime import Attacher, Launched, LaunchError, Supervision, SupervisorClient, launch

_LISTENER = "@listener"


class RunDirectory(NamedTuple):
    path: str
    listener: socket.socket  # its supervisor's, made already; whoever launches closes it


class _RefusedUnstarted(WardianError):
    """What Docker's runtime refuses before it starts anything, in its words."""


class Exec:
    """One exec: what was asked, and how far it is."""

    __slots__ = (
        "backstop", "container", "exit_code", "id", "options", "pid", "running", "start_time", "started", "supervisor",
        "watch",
    )  # fmt: skip

    def __init__(self, identity: str, container: Container, options: dict[str, Any], backstop: int = 0) -> None:
        self.id = identity
        self.container = container
        self.options = options
        self.backstop = backstop  # of a health check's probe: seconds after which its supervisor ends it
        self.started = False
        self.running = False
        self.exit_code: int | None = None
        self.pid = self.start_time = 0
        self.supervisor: SupervisorClient | None = None
        self.watch: asyncio.Task[None] | None = None

    def command_line(self) -> str:
        """As docker's events have it, with a space also when there is no argument."""
        command, *arguments = self.options["Cmd"]
        return f"{command} {' '.join(arguments)}"

    async def ended(self) -> None:
        if self.watch is not None:
            await asyncio.shield(self.watch)

    def kill(self) -> None:
        if self.running and self.pid:
            send_signal(self.pid, self.start_time, signal.SIGKILL)


async def launch_exec(
    parts: Parts,
    found: Exec,
    keep: Callable[[Exec], RunDirectory | None],
    size: tuple[int, int],
    attachers: Sequence[Attacher],
) -> Launched:
    """`keep` makes its run directory, once it is known that the container has what is asked for. The attachers'
    descriptors stay the caller's."""
    container, options = found.container, found.options
    template = template_in(container.config.directory)
    env = with_links(parts, container, template.process["env"])
    process = exec_process(template, options, env)
    _refuse_relative(process["cwd"])
    facts = await facts_of(container, options, process)
    kept = keep(found)
    with kept.listener if kept else nullcontext():
        supervision = _supervision(found, kept, size)
        plan = plan_of(parts, container, template, options, process, facts, supervision)
        brought = {_LISTENER: kept.listener.fileno()} if kept else {}
        try:
            return await launch(plan, brought, attachers, kept.path if kept else "")
        except LaunchError as error:
            if has_left(container):  # which step met that first says nothing to anybody
                message = "cannot exec in a stopped container"
                raise _RefusedUnstarted(CONFLICT, message, operation="exec", subject=container.id) from error
            if error.step == len(plan.ops) - 1:  # execve(2) itself: what the file lacks is looked for now
                await facts_of(container, options, process, check=True)
            raise


def _refuse_relative(directory: str) -> None:
    if not os.path.isabs(directory):
        raise _RefusedUnstarted(REFUSED, "Cwd must be an absolute path", operation="exec", subject=directory)


def _supervision(found: Exec, kept: RunDirectory | None, size: tuple[int, int]) -> Supervision:
    return Supervision(
        container_id=found.id,
        run_dir=kept.path if kept else "",
        terminal=found.options.get("Tty", False),
        open_stdin=found.options.get("AttachStdin", False),
        stdin_once=True,
        streams_first=kept is not None,
        console_size=size,
        listener=_LISTENER if kept else "",
        timeout=found.backstop,
    )


def of_files(error: OSError) -> WardianError:
    """Its run directory could not be made, say: the disk is full."""
    where = f": {error.filename}" if error.filename else ""
    message = f"{(error.strerror or str(error)).lower()}{where}"
    return WardianError(SYSTEM, message, operation="exec", errno=error.errno or 0)


def code_of(error: BaseException) -> int:
    """Of an exec that did not start: of what its runtime refused, Docker has another than of the rest."""
    by_runtime = isinstance(error, (LaunchError, _RefusedUnstarted))
    return failed_start_code(str(error), 128 if by_runtime else 126)


def _said(error: LaunchError, command: str) -> WardianError:
    if not error.directory or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
        return say_launch_error(error, command)
    path, why = error.directory, os.strerror(error.errno).lower()
    message = f'chdir to cwd ("{path}") set in config.json failed: {why}'  # there is no such file: runc's words
    return WardianError(INVALID, message, operation="exec", subject=path, errno=error.errno)


def said_as_docker(error: WardianError, found: Exec) -> WardianError:
    """People search for these words, and clients make an exit code of them."""
    cause = _said(error, found.options["Cmd"][0]) if isinstance(error, LaunchError) else error
    doing = "" if isinstance(error, _RefusedUnstarted) else "unable to start container process: "
    message = f"OCI runtime exec failed: exec failed: {doing}{cause.message}"
    return WardianError(
        cause.kind, message, operation="exec", subject=cause.subject, errno=cause.errno, hint=cause.hint
    )
