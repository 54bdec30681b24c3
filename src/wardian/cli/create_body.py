"""What `run` and `create` ask the engine for: flags → the body of POST /containers/create, as docker's CLI makes it.

Pure, but for the files that flags name (--env-file, --label-file, a seccomp profile) and the environment that `-e NAME`
passes on. Fields that no flag set go with their zero values, as docker sends them: an engine need not guess.
"""

from __future__ import annotations

import os

from wardian.cli.command import Failure, plain_error
from wardian.cli.pairs import file_pairs, pairs
from wardian.cli.pflag import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.pflag import Flag, Parsed

FLAG_CODE = 125  # the exit code of run for what is wrong before a container exists


class BodyError(Failure):
    """Flags that are each well-formed but not together, or that name a file which is not."""

    def __init__(self, message: str) -> None:
        super().__init__(message, FLAG_CODE)


def create_body(flags: tuple[Flag, ...], parsed: Parsed) -> dict[str, Any]:
    """The body for these flags and `IMAGE [COMMAND…]`. Raises BodyError."""
    body = _empty_body()
    host = body["HostConfig"]
    body["Image"], command = parsed.args[0], parsed.args[1:]
    if parsed["rootfs"]:
        directory, colon, options = body["Image"].partition(":")
        if not directory:
            raise BodyError("--rootfs needs a directory in the image's place")
        body["Image"], body["Wardian"] = "", {"Rootfs": f"{os.path.abspath(directory)}{colon}{options}"}
    body["Cmd"] = command or None
    for flag in flags:
        if flag.path and flag.name in parsed.given:
            _fill(body, flag.path, parsed[flag.name])
    try:
        _streams(body, parsed)
        _program(body, parsed)
        _annotate(body, parsed)
        _storage(body, host, parsed)
        _privileges(host, parsed)
        _ports(body, host, parsed)
        _networks(body, host, parsed)
        _life(body, host, parsed)
    except OSError as error:
        raise BodyError(f"open {error.filename}: {plain_error(error)}") from None
    _check(host, parsed)
    return body


def _empty_body() -> dict[str, Any]:
    return {
        **dict.fromkeys(("Hostname", "Domainname", "User", "Image", "WorkingDir"), ""),
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), False),
        **dict.fromkeys(("Env", "Cmd", "Entrypoint", "OnBuild")),
        "Volumes": {},
        "Labels": {},
        "HostConfig": _empty_host_config(),
        "NetworkingConfig": {},
    }


def _empty_host_config() -> dict[str, Any]:
    texts = "ContainerIDFile NetworkMode VolumeDriver CgroupnsMode IpcMode Cgroup PidMode UTSMode UsernsMode Isolation"
    numbers = (
        "OomScoreAdj ShmSize CpuShares Memory NanoCpus BlkioWeight CpuPeriod CpuQuota CpuRealtimePeriod "
        "CpuRealtimeRuntime MemoryReservation MemorySwap PidsLimit CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth"
    )
    switches = "AutoRemove Privileged PublishAllPorts ReadonlyRootfs OomKillDisable"
    nulls = (
        "Binds VolumesFrom CapAdd CapDrop ExtraHosts GroupAdd Links SecurityOpt DeviceCgroupRules DeviceRequests "
        "MaskedPaths ReadonlyPaths"
    )
    lists = (
        "Dns DnsOptions DnsSearch BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps "
        "BlkioDeviceWriteIOps Devices Ulimits"
    )
    return {
        **dict.fromkeys((*texts.split(), "CgroupParent", "CpusetCpus", "CpusetMems"), ""),
        **dict.fromkeys(numbers.split(), 0),
        **dict.fromkeys(switches.split(), False),
        **dict.fromkeys(nulls.split()),
        **{name: [] for name in lists.split()},
        "LogConfig": {"Type": "", "Config": {}},
        "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "ConsoleSize": [0, 0],
        "MemorySwappiness": -1,
    }


def _fill(body: dict[str, Any], path: str, value: object) -> None:
    *parents, name = path.split(".")
    target = body
    for parent in parents:
        target = target.setdefault(parent, {})
    target[name] = value


def _streams(body: dict[str, Any], parsed: Parsed) -> None:
    asked = set(parsed["attach"])
    interactive = parsed["interactive"]
    for stream in ("stdout", "stderr"):
        body[f"Attach{stream.title()}"] = stream in asked or not asked
    body["AttachStdin"] = "stdin" in asked or (interactive and not asked)
    body["StdinOnce"] = body["OpenStdin"] and body["AttachStdin"]


def _program(body: dict[str, Any], parsed: Parsed) -> None:
    if "entrypoint" in parsed.given:
        body["Entrypoint"] = [parsed["entrypoint"]]
    ours = [f"{name}={value}" for name, value in os.environ.items()] if parsed["env-host"] else []
    said = _lines(parsed["env-file"], "env", from_environment=True) + parsed["env"]
    # a bare name takes a variable away; what is said goes over what our environment says
    body["Env"] = [*ours, *parsed["unsetenv"], *said] or None


def _lines(paths: list[str], what: str, *, from_environment: bool) -> list[str]:
    try:
        return file_pairs(paths, what, from_environment=from_environment)
    except ValueError as error:
        raise BodyError(str(error)) from None


def _annotate(body: dict[str, Any], parsed: Parsed) -> None:
    from_files = _lines(parsed["label-file"], "label", from_environment=False)
    body["Labels"] = pairs(from_files + parsed["label"])
    if parsed["annotation"]:
        body["HostConfig"]["Annotations"] = pairs(parsed["annotation"])
    if parsed["sysctl"]:
        body["HostConfig"]["Sysctls"] = pairs(parsed["sysctl"])


def _storage(body: dict[str, Any], host: dict[str, Any], parsed: Parsed) -> None:
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for text in parsed["volume"]:
        parts = text.split(":")
        if len(parts) == 1:
            anonymous[text] = {}
            continue
        if "" in parts:
            raise BodyError(f"invalid spec: {text}: empty section between colons")
        source, _, rest = text.partition(":")
        binds.append(f"{os.path.abspath(source)}:{rest}" if source.startswith(".") else text)
    host["Binds"] = binds or None
    body["Volumes"] = anonymous
    if parsed["tmpfs"]:
        host["Tmpfs"] = {path: options for path, _, options in (text.partition(":") for text in parsed["tmpfs"])}
    if parsed["storage-opt"]:
        for text in parsed["storage-opt"]:
            if "=" not in text:
                raise BodyError("invalid storage option")
        host["StorageOpt"] = pairs(parsed["storage-opt"])
    for text in parsed["device"]:
        _check_device(text)
    host["Devices"] = [_device(text) for text in parsed["device"] if "=" not in text]
    cdi = [text for text in parsed["device"] if "=" in text]
    if cdi:
        request = {"Driver": "cdi", "Count": 0, "DeviceIDs": cdi, "Capabilities": None, "Options": None}
        host["DeviceRequests"] = [*(host["DeviceRequests"] or []), request]


def _check_device(text: str) -> None:
    from wardian.cli.values import read_device

    try:
        read_device(text)
    except ValueError as error:
        raise BodyError(str(error)) from None


def _device(text: str) -> dict[str, str]:
    outside, inside, mode = (*text.split(":"), "", "")[:3]
    if inside and not mode and not set(inside) - set("rwm"):
        inside, mode = "", inside
    return {"PathOnHost": outside, "PathInContainer": inside or outside, "CgroupPermissions": mode or "rwm"}


def _privileges(host: dict[str, Any], parsed: Parsed) -> None:
    add, drop = (_capabilities(parsed[name]) for name in ("cap-add", "cap-drop"))
    host["CapAdd"] = sorted(add) or None
    host["CapDrop"] = sorted(drop - add) or None
    host["Ulimits"] = [limit for _, limit in sorted({limit["Name"]: limit for limit in parsed["ulimit"]}.items())]
    options = []
    for text in parsed["security-opt"]:
        if text == "systempaths=unconfined":
            host["MaskedPaths"], host["ReadonlyPaths"] = [], []
        else:
            options.append(_security_option(text))
    host["SecurityOpt"] = options or None


def _capabilities(names: list[str]) -> set[str]:
    """CAP_-prefixed upper-case names; ALL stands alone."""
    upper = {name.strip().upper() for name in names}
    if "ALL" in upper:
        return {"ALL"}
    return {name if name.startswith("CAP_") else f"CAP_{name}" for name in upper if name}


def _security_option(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals and ":" in text:
        key, equals, value = text.partition(":")
    if not equals:
        if key not in ("no-new-privileges", "writable-cgroups"):
            raise BodyError(f"Invalid --security-opt: {go_quote(text)}")
        return text
    if key == "seccomp" and value not in ("unconfined", "builtin"):
        from wardian.client import jsontext

        try:
            with open(value, "rb") as file:
                return "seccomp=" + jsontext.encode(jsontext.decode(file.read())).decode()
        except OSError as error:
            raise BodyError(f"opening seccomp profile ({value}) failed: open {value}: {plain_error(error)}") from None
        except ValueError as error:
            raise BodyError(f"compacting json for seccomp profile ({value}) failed: {error}") from None
    return text


def _ports(body: dict[str, Any], host: dict[str, Any], parsed: Parsed) -> None:
    if not parsed["publish"] and not parsed["expose"]:
        return
    from wardian.cli.published import read_exposed, read_published

    exposed: dict[str, dict[str, str]] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    try:
        for text in parsed["publish"]:
            for port, binding in read_published(text):
                exposed[port] = {}
                bindings.setdefault(port, []).append(binding)
        for text in parsed["expose"]:
            exposed.update((port, {}) for port in read_exposed(text))
    except ValueError as error:
        raise BodyError(str(error)) from None
    body["ExposedPorts"] = exposed
    host["PortBindings"] = bindings


def _networks(body: dict[str, Any], host: dict[str, Any], parsed: Parsed) -> None:
    from wardian.cli.endpoints import endpoints

    host["NetworkMode"] = parsed["network"][0]["Target"] if parsed["network"] else "default"
    try:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints(parsed)}
    except ValueError as error:
        raise BodyError(str(error)) from None


def _life(body: dict[str, Any], host: dict[str, Any], parsed: Parsed) -> None:
    host["RestartPolicy"] = restart_policy(parsed["restart"])
    if "init" in parsed.given:
        host["Init"] = parsed["init"]
    if "stop-timeout" in parsed.given:
        body["StopTimeout"] = parsed["stop-timeout"]
    options = parsed["log-opt"]
    if options and host["LogConfig"]["Type"] == "none":
        raise BodyError("invalid logging opts for driver none")
    for text in options:
        if "=" not in text:
            raise BodyError(f"invalid logging option {go_quote(text)}: it is key=value")
    host["LogConfig"]["Config"] = pairs(options)
    health = _health(parsed)
    if health is not None:
        body["Healthcheck"] = health


def restart_policy(text: str) -> dict[str, Any]:
    name, colon, count = text.partition(":")
    if not name and colon:
        raise BodyError("invalid restart policy format: no policy provided before colon")
    if colon and not count.lstrip("-").isdigit():
        raise BodyError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count) if colon else 0}


def _health(parsed: Parsed) -> dict[str, Any] | None:
    durations = {
        "Interval": "health-interval",
        "Timeout": "health-timeout",
        "StartPeriod": "health-start-period",
        "StartInterval": "health-start-interval",
    }
    asked = bool(parsed["health-cmd"] or parsed["health-retries"] or any(parsed[flag] for flag in durations.values()))
    if parsed["no-healthcheck"]:
        if asked:
            raise BodyError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not asked:
        return None
    health: dict[str, Any] = {"Test": ["CMD-SHELL", parsed["health-cmd"]]} if parsed["health-cmd"] else {}
    for field, flag in durations.items():
        if parsed[flag] < 0:
            raise BodyError(f"--{flag} cannot be negative")
        if parsed[flag]:
            health[field] = parsed[flag]
    if parsed["health-retries"] < 0:
        raise BodyError("--health-retries cannot be negative")
    if parsed["health-retries"]:
        health["Retries"] = parsed["health-retries"]
    return health


def _is_joined(mode: str) -> bool:
    return mode.startswith("container:") and len(mode) > len("container:")


# host as in Docker; the others as in Podman, for one container.
_USER_MODES = ("", "host", "private", "auto", "keep-id", "nomap")
# Modes that name a namespace: flag → (field, what is valid, docker's words when it is not).
_MODES: tuple[tuple[str, str, Callable[[str], bool], str], ...] = (
    ("pid", "PidMode", lambda mode: mode in ("", "host") or _is_joined(mode), "--pid: invalid PID mode"),
    ("uts", "UTSMode", lambda mode: mode in ("", "host"), "--uts: invalid UTS mode"),
    ("userns", "UsernsMode", lambda mode: mode.partition(":")[0] in _USER_MODES, "--userns: invalid USER mode"),
    ("cgroupns", "CgroupnsMode", lambda mode: mode in ("", "host", "private"), "--cgroupns: invalid CGROUP mode"),
)


def _check(host: dict[str, Any], parsed: Parsed) -> None:
    for _, field, valid, words in _MODES:
        if not valid(host[field]):
            raise BodyError(words)
    swappiness = host["MemorySwappiness"]
    if not -1 <= swappiness <= 100:
        raise BodyError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    if host["AutoRemove"] and host["RestartPolicy"]["Name"] not in ("", "no"):
        raise BodyError("conflicting options: cannot specify both --restart and --rm")
    if parsed["pull"] not in ("always", "missing", "never"):
        raise BodyError(f'invalid pull option: \'{parsed["pull"]}\': must be one of "always", "missing" or "never"')
    if parsed["use-api-socket"]:
        raise BodyError("'--use-api-socket' is not built yet")
