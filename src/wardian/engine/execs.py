"""exec: a further process in a running container, with a supervisor of its own.

An exec lives in memory, as in Docker: a new engine knows none of them, while what they started runs on.
"""

import asyncio
import os
import secrets
import struct
from collections.abc import Mapping
from typing import Any, cast

from wardian.engine import checks, create
from wardian.engine.attach import parse_detach_keys
from wardian.engine.parts import Parts
from wardian.engine.process import same_process
from wardian.engine.registry import Container
from wardian.engine.spec import Spec
from wardian.engine.start import say_launch_error
from wardian.engine.state import State
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, WardianError
from wardian.runtime import defaults
from wardian.runtime.exitrecord import read_exit
from wardian.runtime.inputs import ExecTarget, Supervision
from wardian.runtime.launch import LaunchError, launch
from wardian.runtime.planner import plan_exec
from wardian.runtime.rootfacts import read_root_facts
from wardian.runtime.supervisor import Attacher, SupervisorClient
from wardian.storage.trash import remove_tree

_FORGET_AFTER = 300.0
_FIELDS: dict[str, checks.Check] = {
    "Container": checks.text,  # docker-py repeats the path's id; Docker reads it nowhere
    "AttachStdin": checks.flag,
    "AttachStdout": checks.flag,
    "AttachStderr": checks.flag,
    "Tty": checks.flag,
    "Privileged": checks.flag,
    "Detach": checks.flag,
    "DetachKeys": checks.text,
    "User": checks.text,
    "WorkingDir": checks.absolute,
    "Env": checks.environment,
    "Cmd": checks.command,
    "ConsoleSize": checks.size_pair,
}


class Exec:
    """One exec: what was asked, and how far it is."""

    __slots__ = ("container", "exit_code", "id", "options", "pid", "running", "started", "supervisor", "watch")

    def __init__(self, identity: str, container: Container, options: dict[str, Any]) -> None:
        self.id = identity
        self.container = container
        self.options = options
        self.started = False
        self.running = False
        self.exit_code: int | None = None
        self.pid = 0
        self.supervisor: SupervisorClient | None = None
        self.watch: asyncio.Task[None] | None = None


class Execs:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._execs: dict[str, Exec] = {}
        os.makedirs(self._directory, mode=0o711, exist_ok=True)

    @property
    def _directory(self) -> str:
        return os.path.join(self._parts.home.run_root, "execs")

    async def create(self, ref: str, body: Mapping[str, Any]) -> dict[str, str]:
        container = self._parts.registry.find(ref)
        _refuse_stopped(container)
        options = _decode(body)
        if not options.get("Cmd"):
            raise WardianError(INVALID, "No exec command specified", operation="exec", subject=container.id)
        identity = secrets.token_hex(32)
        self._execs[identity] = Exec(identity, container, options)
        container.execs.add(identity)
        self._publish(self._execs[identity], f"exec_create: {' '.join(options['Cmd'])}")
        return {"Id": identity}

    def start(self, identity: str, body: Mapping[str, Any]) -> "ExecSession":
        found = self._find(identity)
        _refuse_stopped(found.container)
        if found.started:
            message = f"Error: Exec command {identity} is already running"
            raise WardianError(CONFLICT, message, operation="exec", subject=identity)
        size = body.get("ConsoleSize") or found.options.get("ConsoleSize") or [0, 0]
        return ExecSession(self, found, (int(size[0]), int(size[1])))

    def inspect(self, identity: str) -> dict[str, Any]:
        found = self._find(identity)
        self._settle(found)
        options = found.options
        process = {
            "tty": options.get("Tty", False),
            "entrypoint": options["Cmd"][0],
            "arguments": options["Cmd"][1:],
            "privileged": options.get("Privileged", False),
        }
        if options.get("User"):
            process["user"] = options["User"]
        return {
            "ID": found.id,
            "Running": found.running,
            "ExitCode": found.exit_code,
            "ProcessConfig": process,
            "OpenStdin": options.get("AttachStdin", False),
            "OpenStderr": options.get("AttachStderr", False),
            "OpenStdout": options.get("AttachStdout", False),
            "CanRemove": False,
            "ContainerID": found.container.id,
            "DetachKeys": "",
            "Pid": found.pid,
        }

    def _settle(self, found: Exec) -> None:
        """A client whose stream has ended asks at once: the record on disk is there before the stream ends, the message
        of it may still be unread."""
        if found.running:
            record = read_exit(os.path.join(self._directory, found.id))
            if record is not None:
                found.running, found.exit_code = False, record.exit_code

    async def resize(self, identity: str, height: int, width: int) -> None:
        found = self._find(identity)
        if found.supervisor is None:
            raise WardianError(CONFLICT, f"exec {identity} is not running", operation="resize", subject=identity)
        await found.supervisor.resize(height, width)

    def close(self) -> None:
        """Let go of the supervisors; what they watch runs on."""
        for found in self._execs.values():
            if found.watch is not None:
                found.watch.cancel()

    async def launch(self, found: Exec, size: tuple[int, int], attachers: "list[Attacher]") -> None:
        """Carry it out. The attachers' descriptors stay the caller's.

        It counts as running from here on: a short command's stream may end, and its client ask, before we hear of it.
        """
        found.started = found.running = True
        run_dir = os.path.join(self._directory, found.id)
        try:
            os.mkdir(run_dir, 0o700)
            launched = await self._launch(found, run_dir, size, attachers)
        except BaseException as error:
            self._failed(found, error)
            if isinstance(error, LaunchError):
                raise say_launch_error(error, found.options["Cmd"][0]) from error
            raise
        found.running = found.exit_code is None  # by then a client may have asked, and the record been read
        found.pid, found.supervisor = launched.pid, launched.supervisor
        found.watch = asyncio.get_running_loop().create_task(self._watch(found))
        self._publish(found, f"exec_start: {' '.join(found.options['Cmd'])}")

    async def _launch(self, found: Exec, run_dir: str, size: tuple[int, int], attachers: "list[Attacher]") -> Any:
        container, options = found.container, found.options
        state = container.state
        spec = create.load_spec(container.config)
        process = _process(spec, options)
        # the root as its own processes see it, mounts and all
        root = os.open(f"/proc/{state.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not same_process(state.pid, state.start_time):
                _refuse_stopped(container)
            user = options.get("User") or container.config["User"]
            groups = container.config["HostConfig.GroupAdd"]
            facts = read_root_facts(root, user, process["args"], process["env"], process["cwd"], groups)
        finally:
            os.close(root)
        supervision = Supervision(
            container_id=found.id,
            run_dir=run_dir,
            terminal=options.get("Tty", False),
            open_stdin=options.get("AttachStdin", False),
            stdin_once=True,
            console_size=size,
        )
        target = ExecTarget(
            state.pid,
            state.start_time,
            cgroup=create.cgroup_of(self._parts, container.id),
            supervisor_cgroup=f"{self._parts.home.cgroup_base}/supervisors",
            seccomp=None if options.get("Privileged") else create.load_spec(container.config)["linux"].get("seccomp"),
        )
        plan = plan_exec(cast(Any, process), self._parts.host, facts, target, supervision)
        return await launch(plan, {}, attachers, run_dir)

    def _failed(self, found: Exec, error: BaseException) -> None:
        from wardian.engine.lifecycle import exit_code_of

        code = exit_code_of(str(error))
        found.running, found.exit_code = False, 126 if code == 128 else code
        self._forget_later(found)

    async def _watch(self, found: Exec) -> None:
        assert found.supervisor is not None
        try:
            record = await found.supervisor.wait_exit()
            found.exit_code = record.exit_code
        except WardianError:
            found.exit_code = 137
        finally:
            found.supervisor.close()
            found.supervisor = None
        found.running = False
        self._publish(found, "exec_die", exitCode=str(found.exit_code))
        self._forget_later(found)

    def _forget_later(self, found: Exec) -> None:
        """docker's CLI asks for the exit code after the stream's end; then nobody asks any more."""
        remove_tree(self._directory, found.id)
        found.container.execs.discard(found.id)
        asyncio.get_running_loop().call_later(_FORGET_AFTER, self._execs.pop, found.id, None)

    def _find(self, identity: str) -> Exec:
        found = self._execs.get(identity)
        if found is None:
            message = f"No such exec instance: {identity}"
            raise WardianError(NOT_FOUND, message, operation="exec", subject=identity)
        return found

    def _publish(self, found: Exec, action: str, **more: str) -> None:
        container = found.container
        attributes = container.event_attributes() | {"execID": found.id} | more
        self._parts.events.publish("container", action, container.id, attributes)


class ExecSession:
    """A promise to start one exec, for the client whose socket comes, or for nobody."""

    def __init__(self, execs: Execs, found: Exec, size: tuple[int, int]) -> None:
        self.tty = bool(found.options.get("Tty", False))
        self._execs = execs
        self._exec = found
        self._size = size
        self._keys = parse_detach_keys(found.options.get("DetachKeys", ""))

    async def hand_over(self, fd: int, early: bytes) -> None:
        """Start with `fd` attached, and take it over."""
        options = self._exec.options
        attacher = Attacher(
            fd,
            early,
            options.get("AttachStdin", False),
            options.get("AttachStdout", False),
            options.get("AttachStderr", False),
            not self.tty,
            self._keys if self.tty else b"",
        )
        try:
            await self._execs.launch(self._exec, self._size, [attacher])
        except WardianError as error:
            # The head of the answer is out: only the stream itself can still say why.
            _say(fd, f"OCI runtime exec failed: {error}\r\n".encode(), not self.tty)
            raise
        finally:
            os.close(fd)

    async def run_detached(self) -> None:
        await self._execs.launch(self._exec, self._size, [])


def _say(fd: int, text: bytes, framed: bool) -> None:
    """A last word on a client's socket, as docker's daemon has it: on stdout, framed when there is no terminal."""
    head = struct.pack(">BxxxL", 1, len(text)) if framed else b""
    try:
        os.write(fd, head + text)
    except OSError:
        pass  # nobody listens any more


def _refuse_stopped(container: Container) -> None:
    if container.state.state is State.PAUSED:
        message = f"container {container.id} is paused, unpause the container before exec"
    elif not container.state.live:
        message = f"container {container.id} is not running"
    else:
        return
    raise WardianError(CONFLICT, message, operation="exec", subject=container.id)


def _decode(body: Mapping[str, Any]) -> dict[str, Any]:
    options = {}
    for key, value in body.items():
        check = _FIELDS.get(key)
        if value in (None, "", [], False):
            continue
        if check is None:
            raise checks.not_built(key, f"{key} of an exec")
        options[key] = check(value, key)
    return options


def _process(spec: Spec, options: Mapping[str, Any]) -> dict[str, Any]:
    """The OCI process of an exec: the container's own, but for what was asked."""
    process: dict[str, Any] = dict(spec["process"])
    tty = options.get("Tty", False)
    env = dict(item.partition("=")[::2] for item in process["env"])
    if tty:
        env.setdefault("TERM", "xterm")
    else:
        env.pop("TERM", None)
    for item in options.get("Env", ()):
        name, sign, value = item.partition("=")
        if sign:
            env[name] = value
    process |= {
        "args": options["Cmd"],
        "env": [f"{name}={value}" for name, value in env.items()],
        "terminal": tty,
        "cwd": options.get("WorkingDir") or process["cwd"],
    }
    process.pop("consoleSize", None)
    if options.get("Privileged"):
        process["capabilities"] = {
            kind: list(defaults.ALL_CAPABILITIES) for kind in ("bounding", "effective", "permitted")
        }
    return process
