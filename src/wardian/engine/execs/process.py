"""What an exec is asked to run: the body of POST /containers/ID/exec, and the OCI process made of it."""

import base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from wardian.detach_keys import UnknownKey, read_detach_keys
from wardian.engine.life import create
from wardian.engine.options import checks
from wardian.errors import INVALID, WardianError
from wardian.runtime import defaults

_FIELDS: dict[str, checks.Check] = {
    "Container": checks.text,  # docker-py repeats the path's id; Docker reads it nowhere
    "AttachStdin": checks.flag,
    "AttachStdout": checks.flag,
    "AttachStderr": checks.flag,
    "Tty": checks.flag,
    "Privileged": checks.flag,
    "Detach": checks.flag,
    "DetachKeys": lambda value, path: _detach_keys(checks.text(value, path)),
    "User": checks.text,
    "WorkingDir": checks.text,  # a relative one is refused when it starts, as by Docker
    "Env": checks.environment,
    "Cmd": checks.command,
    "ConsoleSize": checks.size_pair,
}


_IN_LOWER_CASE = {name.lower(): name for name in _FIELDS}


def _detach_keys(text: str) -> str:
    try:
        read_detach_keys(text)
    except UnknownKey:
        message = f"Invalid escape keys ({text}) provided"
        raise WardianError(INVALID, message, operation="exec", subject=text) from None
    return text


class Template(NamedTuple):
    """What an exec has of its container: the process to begin with, and the filter that holds for what joins it."""

    process: Mapping[str, Any]
    seccomp: dict[str, Any] | None


def decode_exec(body: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a body sets, checked. Raises INVALID or NOT_IMPLEMENTED, naming the field.

    docker-py says `detachKeys`: Docker reads names in whatever case (Go's encoding/json).
    """
    options = {}
    for given, value in body.items():
        key = _IN_LOWER_CASE.get(given.lower(), given)
        check = _FIELDS.get(key)
        if value in (None, "", [], False):
            continue
        if check is None:
            raise checks.not_built(key, f"{key} of an exec")
        options[key] = check(value, key)
    return options


@lru_cache(maxsize=64)
def template_in(directory: str) -> Template:
    """Of the container whose spec lies in `directory`: create wrote it once, and no other has that directory's name."""
    spec = create.load_spec(directory)
    profile = spec["linux"].get("seccomp")
    return Template(spec["process"], _shared(msgspec.json.encode(profile)) if profile else None)


@lru_cache(maxsize=16)
def _shared(profile: bytes) -> dict[str, Any]:
    """Most containers have the same, and it takes 35 kB."""
    return dict(msgspec.json.decode(profile))


def exec_process(template: Template, options: Mapping[str, Any], env: Sequence[str]) -> dict[str, Any]:
    """The OCI process of an exec: the container's own, with its environment `env` of now, but for what was asked."""
    process: dict[str, Any] = dict(template.process)
    tty = options.get("Tty", False)
    variables = dict(item.partition("=")[::2] for item in env)
    if tty:
        variables.setdefault("TERM", "xterm")
    else:
        variables.pop("TERM", None)
    for item in options.get("Env", ()):
        name, sign, value = item.partition("=")
        if sign:
            variables[name] = value
    process |= {
        "args": options["Cmd"],
        "env": [f"{name}={value}" for name, value in variables.items()],
        "terminal": tty,
        "cwd": options.get("WorkingDir") or process["cwd"],
    }
    process.pop("consoleSize", None)
    if options.get("Privileged"):
        process["capabilities"] = {
            kind: list(defaults.ALL_CAPABILITIES) for kind in ("bounding", "effective", "permitted")
        }
    return process


def render_exec(
    identity: str, container_id: str, options: Mapping[str, Any], running: bool, exit_code: int | None, pid: int
) -> dict[str, Any]:
    """The body of GET /exec/ID/json."""
    keys = read_detach_keys(options["DetachKeys"]) if options.get("DetachKeys") else b""
    process = {
        "tty": options.get("Tty", False),
        "entrypoint": options["Cmd"][0],
        "arguments": options["Cmd"][1:],
        "privileged": options.get("Privileged", False),
    }
    if options.get("User"):
        process["user"] = options["User"]
    return {
        "ID": identity,
        "Running": running,
        "ExitCode": exit_code,
        "ProcessConfig": process,
        "OpenStdin": options.get("AttachStdin", False),
        "OpenStderr": options.get("AttachStderr", False),
        "OpenStdout": options.get("AttachStdout", False),
        "CanRemove": False,
        "ContainerID": container_id,
        "DetachKeys": base64.b64encode(keys).decode(),
        "Pid": pid,
    }
