"""`wardian-runtime`, the OCI runtime command: a bundle directory → plan → launcher, with no engine.

Built so far: `run` (in the foreground: its streams or terminal and our signals are passed through), `spec`, `features`,
`--version`. runc's other verbs answer an error that names them.
"""

import asyncio
import json
import os
import sys
import tempfile
from typing import Any

from wardian import __version__
from wardian.errors import INVALID, NOT_FOUND, NOT_IMPLEMENTED, WardianError
from wardian.kernel.mounts import Mount, attach_detached
from wardian.runtime import defaults
from wardian.runtime.foreground import run_in_foreground, window_size
from wardian.runtime.hostfacts import probe_host
from wardian.runtime.inputs import Placement, Supervision
from wardian.runtime.launch import LaunchError
from wardian.runtime.plan_cgroups import group_path
from wardian.runtime.plan_mounts import ATTRIBUTES, PROPAGATION, RECURSIVE
from wardian.runtime.planner import plan
from wardian.runtime.rootfacts import CANNOT_RUN, NOT_THERE, CommandError, read_root_facts

VERBS = ("checkpoint", "create", "delete", "events", "exec", "kill", "list", "pause", "ps", "restore", "resume",
         "start", "state", "update")  # fmt: skip
USAGE = """usage: wardian-runtime run [--bundle DIR] ID
       wardian-runtime spec            write config.json of a container that runs sh
       wardian-runtime features        what this runtime knows, as JSON
       wardian-runtime --version
"""


def main(arguments: list[str] | None = None) -> int:
    """The entry point: exit status of the container, or 125 for a failure of our own (126, 127: of the command)."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        return _command(words)
    except WardianError as error:
        print(f"wardian-runtime: {error}", file=sys.stderr)
        return exit_code_of(error)
    except OSError as error:
        print(f"wardian-runtime: {error.filename or words[0]}: {error.strerror or error}", file=sys.stderr)
        return 125


def exit_code_of(error: WardianError) -> int:
    """127 for a command that is not there, 126 for one that cannot be run, 125 for a failure of our own."""
    if not isinstance(error, CommandError) and not (isinstance(error, LaunchError) and error.at_exec):
        return 125
    return 127 if error.errno in NOT_THERE else 126 if error.errno in CANNOT_RUN else 125


def _command(words: list[str]) -> int:
    verb = words[0] if words else ""
    if verb == "run":
        return _run(words[1:])
    if verb == "spec":
        return _write_spec()
    if verb == "features":
        print(json.dumps(features(), indent=2))
        return 0
    if verb in ("--version", "-v"):
        print(f"wardian-runtime version {__version__}\nspec: 1.2.0")
        return 0
    if verb in VERBS:
        raise WardianError(NOT_IMPLEMENTED, f"{verb} is not built yet", operation=verb, hint="`run` is")
    sys.stderr.write(USAGE)
    return 0 if verb in ("--help", "-h", "help") else 125


def _run(words: list[str]) -> int:
    bundle, identity = _parse_run(words)
    spec = read_bundle(bundle)
    return asyncio.run(run(spec, bundle, identity))


def _parse_run(words: list[str]) -> tuple[str, str]:
    bundle, rest = ".", list(words)
    while rest and rest[0].startswith("-"):
        flag, equals, value = rest.pop(0).partition("=")
        if flag not in ("--bundle", "-b") or not (equals or rest):
            raise WardianError(INVALID, f"run: flag {flag} is not built yet, or has no value", operation="run")
        bundle = value if equals else rest.pop(0)
    if len(rest) != 1 or not rest[0].replace("-", "").replace("_", "").replace(".", "").replace("+", "").isalnum():
        raise WardianError(INVALID, "run takes one container ID of letters, digits and _+-.", operation="run")
    return bundle, rest[0]


def read_bundle(bundle: str) -> dict[str, Any]:
    """config.json of a bundle. Raises WardianError when there is none, or it is not a spec of version 1."""
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
    except FileNotFoundError:
        raise WardianError(NOT_FOUND, f"{path} is not there", operation="run", subject=path) from None
    except ValueError as error:
        raise WardianError(INVALID, f"{path}: {error}", operation="run", subject=path) from None
    if not isinstance(spec, dict) or not str(spec.get("ociVersion", "")).startswith("1."):
        raise WardianError(INVALID, f"{path}: ociVersion is not 1.x", operation="run", subject=path)
    process = spec.get("process")
    if not isinstance(process, dict) or not process.get("args"):
        raise WardianError(INVALID, f"{path}: process.args names no command", operation="run", subject=path)
    return spec


async def run(spec: dict[str, Any], bundle: str, identity: str) -> int:
    """Start the container of a spec and stay until it ends; its output is ours. Returns its exit status."""
    process = spec["process"]
    terminal = bool(process.get("terminal"))
    size = process.get("consoleSize") or {}
    path = os.path.abspath(os.path.join(bundle, (spec.get("root") or {}).get("path", "rootfs")))
    rootfs = Mount("bind", path)
    view = attach_detached(rootfs)
    try:
        user = process.get("user") or {}
        who = f"{user.get('uid', 0)}:{user.get('gid', 0)}"
        groups = [str(group) for group in user.get("additionalGids") or ()]
        facts = read_root_facts(view, who, process["args"], process.get("env") or [], process.get("cwd", "/"), groups)
    finally:
        os.close(view)
    with tempfile.TemporaryDirectory(prefix="wardian-runtime-") as directory:
        supervision = Supervision(
            identity,
            directory,
            terminal=terminal,
            open_stdin=True,
            stdin_once=True,
            console_size=(size["height"], size["width"]) if size else window_size(),
        )
        cgroup = group_path((spec.get("linux") or {}).get("cgroupsPath") or f"wardian-runtime-{identity}")
        made = plan(spec, probe_host(), facts, rootfs, supervision, Placement(cgroup))  # type: ignore[arg-type]
        for warning in made.warnings:
            print(f"wardian-runtime: {warning}", file=sys.stderr)
        return await run_in_foreground(made, directory, terminal)


def _write_spec() -> int:
    try:
        with open("config.json", "x", encoding="utf-8") as file:
            json.dump(example_spec(), file, indent=2)
    except FileExistsError:
        raise WardianError(INVALID, "config.json exists; remove it first", operation="spec") from None
    return 0


def example_spec() -> dict[str, Any]:
    """A whole spec of a container that runs `sh`: what `spec` writes."""
    capabilities = {name: list(defaults.DEFAULT_CAPABILITIES) for name in ("bounding", "effective", "permitted")}
    return {
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": capabilities,
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "wardian",
        # without the cgroups: a bundle that wants to see them says so
        "mounts": [mount for mount in defaults.default_mounts() if mount["type"] != "cgroup"],
        "linux": {
            "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")],
            "resources": {"devices": [dict(rule) for rule in defaults.DEVICE_RULES]},
            "maskedPaths": list(defaults.MASKED_PATHS),
            "readonlyPaths": list(defaults.READONLY_PATHS),
        },
    }


def features() -> dict[str, Any]:
    """runtime-spec features.md, as far as it is built."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "mountOptions": sorted({*ATTRIBUTES, *RECURSIVE, *PROPAGATION, "bind", "rbind"}),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
            "capabilities": list(defaults.ALL_CAPABILITIES),
            "cgroup": {"v1": True, "v2": True, "systemd": False},
            "seccomp": {"enabled": True},
        },
    }


if __name__ == "__main__":
    sys.exit(main())
