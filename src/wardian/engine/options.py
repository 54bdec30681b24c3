"""Every option of a container, one row each: flag, API path, since which API version, what it may be, what it writes.

From the rows come the decoding of a create body, `inspect`, and the OCI spec. Docker's silent defaults are rows too
(the ones without a flag). A field that is set and that no row knows, or whose row says it is not built, is refused by
name.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from wardian.engine import checks, spec
from wardian.engine.checks import Check
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel import procfs
from wardian.runtime import defaults

Writer = Callable[[spec.Spec, Any, "ContainerConfig"], None]


class Option(NamedTuple):
    """`path` is the place in the create body. `absent`: further values that mean "not set" (docker's CLI sends some).

    A row with `always` is written also when it has its default: its writer looks at other options as well.
    """

    path: str
    flag: str
    check: Check
    default: Any
    write: Writer | None = None
    since: str = "1.24"
    absent: tuple[Any, ...] = ()
    always: bool = False


_LIMIT = checks.integer(0)
_NOT_BUILT = checks.only
_HOST = "HostConfig."


def _unbuilt(path: str, flag: str, default: Any, *absent: Any, since: str = "1.24") -> Option:
    """An option that Wardian knows and does not do yet."""
    return Option(path, flag, _NOT_BUILT(default, *absent), default, since=since, absent=absent)


# Order is the order of writing: privileges before what depends on them, mounts of ours before the user's.
TABLE: tuple[Option, ...] = (
    Option("Image", "IMAGE", checks.text, ""),
    Option("Cmd", "COMMAND", checks.command, None, spec.write_command, always=True),
    Option("Entrypoint", "--entrypoint", checks.command, None),
    Option("Tty", "--tty", checks.flag, False, spec.write_terminal),
    Option("Env", "--env", checks.environment, [], spec.write_environment, always=True),
    Option("WorkingDir", "--workdir", checks.absolute, "", spec.write_working_directory),
    Option("User", "--user", checks.text, ""),
    Option("Hostname", "--hostname", checks.hostname, "", spec.write_hostname, always=True),
    Option("Domainname", "--domainname", checks.text, "", spec.write_domainname),
    Option("AttachStdin", "--attach", checks.flag, False),
    Option("AttachStdout", "--attach", checks.flag, False),
    Option("AttachStderr", "--attach", checks.flag, False),
    Option("OpenStdin", "--interactive", checks.flag, False),
    Option("StdinOnce", "--interactive", checks.flag, False),
    Option("Labels", "--label", checks.mapping, {}),
    Option("StopSignal", "--stop-signal", checks.signal, ""),
    Option("StopTimeout", "--stop-timeout", checks.integer(-1), None, since="1.25"),
    Option("ExposedPorts", "--expose", checks.json_object, {}),
    Option("ArgsEscaped", "", checks.flag, False),
    Option("OnBuild", "", lambda value, path: value, None),
    Option("Shell", "", checks.strings, None),
    _unbuilt("Healthcheck", "--health-cmd", None, {}, {"Test": ["NONE"]}, {"Test": []}),
    _unbuilt("Volumes", "--volume", None, {}),
    _unbuilt("MacAddress", "--mac-address", "", since="1.24"),
    _unbuilt("NetworkDisabled", "", False),
    # privileges
    Option(_HOST + "Privileged", "--privileged", checks.flag, False, spec.write_privileged),
    Option(_HOST + "CapAdd", "--cap-add", checks.capabilities, []),
    Option(_HOST + "CapDrop", "--cap-drop", checks.capabilities, [], spec.write_capabilities, always=True),
    Option(_HOST + "SecurityOpt", "--security-opt", checks.security_options, [], spec.write_security),
    Option("", "", checks.text, None, spec.write_seccomp, always=True),
    Option(_HOST + "MaskedPaths", "", checks.strings, None, spec.write_masked, since="1.38"),
    Option(_HOST + "ReadonlyPaths", "", checks.strings, None, spec.write_readonly_paths, since="1.38"),
    Option(_HOST + "GroupAdd", "--group-add", checks.strings, []),
    Option(_HOST + "OomScoreAdj", "--oom-score-adj", checks.oom_score, 0, spec.write_oom_score),
    Option(_HOST + "Ulimits", "--ulimit", checks.ulimits, [], spec.write_ulimits),
    # limits
    Option(_HOST + "Memory", "--memory", _LIMIT, 0, spec.write_memory, always=True),
    Option(_HOST + "MemorySwap", "--memory-swap", checks.integer(-1), 0),
    Option(_HOST + "MemoryReservation", "--memory-reservation", _LIMIT, 0),
    Option(_HOST + "NanoCpus", "--cpus", _LIMIT, 0, spec.write_cpu, since="1.25", always=True),
    Option(_HOST + "CpuShares", "--cpu-shares", _LIMIT, 0),
    Option(_HOST + "CpuPeriod", "--cpu-period", _LIMIT, 0),
    Option(_HOST + "CpuQuota", "--cpu-quota", checks.integer(-1), 0),
    Option(_HOST + "CpusetCpus", "--cpuset-cpus", checks.cpu_list, ""),
    Option(_HOST + "CpusetMems", "--cpuset-mems", checks.cpu_list, ""),
    Option(_HOST + "PidsLimit", "--pids-limit", checks.integer(-1), 0, spec.write_pids, absent=(None,)),
    Option(_HOST + "Devices", "--device", checks.devices, [], spec.write_devices),
    # namespaces
    Option(_HOST + "NetworkMode", "--network", checks.text, "default", spec.write_network, absent=("",), always=True),
    Option(_HOST + "PidMode", "--pid", checks.namespace_mode("host", "container:"), "", spec.write_pid),
    Option(_HOST + "UTSMode", "--uts", checks.namespace_mode("host", "private"), "", spec.write_uts),
    Option(
        _HOST + "IpcMode",
        "--ipc",
        checks.ipc_mode,
        "",
        spec.write_ipc,
    ),
    Option(
        _HOST + "CgroupnsMode",
        "--cgroupns",
        checks.one_of("host", "private"),
        "",
        spec.write_cgroup_namespace,
        since="1.41",
    ),
    Option(_HOST + "UsernsMode", "--userns", checks.only("", "host"), ""),
    Option(_HOST + "Sysctls", "--sysctl", checks.sysctls, {}, spec.write_sysctls),
    # mounts
    Option(_HOST + "ShmSize", "--shm-size", _LIMIT, spec.DEFAULT_SHM, spec.write_shm, absent=(0,)),
    Option(_HOST + "Tmpfs", "--tmpfs", checks.tmpfs_mounts, {}, spec.write_tmpfs),
    Option(_HOST + "Binds", "--volume", checks.bind_specs, [], spec.write_binds),
    Option(_HOST + "Mounts", "--mount", checks.mount_specs, [], spec.write_mounts, since="1.25"),
    Option(_HOST + "ReadonlyRootfs", "--read-only", checks.flag, False, spec.write_read_only),
    Option("", "", checks.text, None, spec.write_container_files, always=True),
    # names
    Option(_HOST + "Dns", "--dns", checks.strings, []),
    Option(_HOST + "DnsOptions", "--dns-option", checks.strings, []),
    Option(_HOST + "DnsSearch", "--dns-search", checks.strings, []),
    Option(_HOST + "ExtraHosts", "--add-host", checks.extra_hosts, []),
    # the engine's own
    Option(_HOST + "AutoRemove", "--rm", checks.flag, False, since="1.25"),
    Option(_HOST + "ContainerIDFile", "--cidfile", checks.text, ""),
    Option(_HOST + "ConsoleSize", "--tty", checks.size_pair, [0, 0]),
    Option(_HOST + "LogConfig", "--log-driver", checks.log_config, {"Type": "json-file", "Config": {}}),
    Option(_HOST + "RestartPolicy", "--restart", checks.restart_policy, {"Name": "no", "MaximumRetryCount": 0}),
    Option(_HOST + "Annotations", "--annotation", checks.mapping, {}, spec.write_annotations, since="1.43"),
    # known, not built
    _unbuilt(_HOST + "Init", "--init", None, False, since="1.25"),
    _unbuilt(_HOST + "PortBindings", "--publish", None, {}),
    _unbuilt(_HOST + "PublishAllPorts", "--publish-all", False),
    _unbuilt(_HOST + "VolumesFrom", "--volumes-from", None, []),
    _unbuilt(_HOST + "VolumeDriver", "--volume-driver", ""),
    _unbuilt(_HOST + "Links", "--link", None, []),
    _unbuilt(_HOST + "Cgroup", "", ""),
    _unbuilt(_HOST + "CgroupParent", "--cgroup-parent", ""),
    _unbuilt(_HOST + "BlkioWeight", "--blkio-weight", 0),
    _unbuilt(_HOST + "BlkioWeightDevice", "--blkio-weight-device", None, []),
    _unbuilt(_HOST + "BlkioDeviceReadBps", "--device-read-bps", None, []),
    _unbuilt(_HOST + "BlkioDeviceWriteBps", "--device-write-bps", None, []),
    _unbuilt(_HOST + "BlkioDeviceReadIOps", "--device-read-iops", None, []),
    _unbuilt(_HOST + "BlkioDeviceWriteIOps", "--device-write-iops", None, []),
    _unbuilt(_HOST + "CpuRealtimePeriod", "--cpu-rt-period", 0),
    _unbuilt(_HOST + "CpuRealtimeRuntime", "--cpu-rt-runtime", 0),
    _unbuilt(_HOST + "DeviceCgroupRules", "--device-cgroup-rule", None, []),
    _unbuilt(_HOST + "DeviceRequests", "--gpus", None, []),
    _unbuilt(_HOST + "KernelMemory", "--kernel-memory", 0),
    _unbuilt(_HOST + "KernelMemoryTCP", "", 0),
    _unbuilt(_HOST + "MemorySwappiness", "--memory-swappiness", None, -1),
    _unbuilt(_HOST + "OomKillDisable", "--oom-kill-disable", None, False),
    _unbuilt(_HOST + "StorageOpt", "--storage-opt", None, {}),
    _unbuilt(_HOST + "Runtime", "--runtime", "", "wardian"),
    _unbuilt(_HOST + "Isolation", "--isolation", "", "default"),
    _unbuilt(_HOST + "CpuCount", "", 0),
    _unbuilt(_HOST + "CpuPercent", "", 0),
    _unbuilt(_HOST + "IOMaximumIOps", "", 0),
    _unbuilt(_HOST + "IOMaximumBandwidth", "", 0),
)
# fields of inspect's HostConfig that docker leaves out while nothing is set
_LEFT_OUT = frozenset(
    ("Annotations", "Init", "KernelMemory", "KernelMemoryTCP", "Mounts", "StorageOpt", "Sysctls", "Tmpfs")
)
_ROWS = {row.path: row for row in TABLE if row.path}
_DEFAULTS = {row.path: row.default for row in TABLE if row.path}
_SHOWN_HOST_CONFIG = {path.removeprefix(_HOST): value for path, value in _DEFAULTS.items() if path.startswith(_HOST)}
_SHOWN_CONFIG = {path: value for path, value in _DEFAULTS.items() if not path.startswith(_HOST)}
_WRITERS = tuple(row for row in TABLE if row.write is not None)


class ContainerConfig:
    """What a container was asked to be. Immutable; `config["HostConfig.Memory"]` is the value or its default."""

    __slots__ = ("_values", "directory", "id")

    def __init__(self, values: Mapping[str, Any], identity: str = "", directory: str = "") -> None:
        self._values = dict(values)
        self.id = identity
        self.directory = directory

    def __getitem__(self, path: str) -> Any:
        found = self._values.get(path)
        return _DEFAULTS[path] if found is None else found

    def values(self) -> dict[str, Any]:
        """What differs from the defaults: this is what is stored."""
        return dict(self._values)

    def replaced(self, changes: Mapping[str, Any]) -> "ContainerConfig":
        return ContainerConfig(self._values | dict(changes), self.id, self.directory)

    def command(self) -> list[str]:
        return [*(self["Entrypoint"] or ()), *(self["Cmd"] or ())]

    def hostname(self) -> str:
        """Its own, the host's when it has the host's network or uts namespace, else its short id (docker's rule)."""
        if self["Hostname"]:
            return str(self["Hostname"])
        if "host" in (self[_HOST + "NetworkMode"], self[_HOST + "UTSMode"]):
            return os.uname().nodename
        return self.id[:12]

    def joins(self, kind: str) -> str:
        """The container whose namespace of this kind is joined, or ""."""
        mode = self[_HOST + {"network": "NetworkMode", "pid": "PidMode", "ipc": "IpcMode"}[kind]]
        return str(mode).partition(":")[2] if str(mode).startswith("container:") else ""

    def security(self, key: str) -> str:
        """The setting of one --security-opt: its value, "set" without one, "" when it is not there."""
        for item in self[_HOST + "SecurityOpt"]:
            name, sign, value = item.partition("=")
            if not sign:
                name, sign, value = item.partition(":")
            if name == key:
                return value or "set"
        return ""

    def api_config(self) -> dict[str, Any]:
        """The `Config` of inspect."""
        found = self._shown(_SHOWN_CONFIG, "")
        found["Hostname"] = self.hostname()
        for hidden in (
            "StopSignal",
            "MacAddress",
            "NetworkDisabled",
            "ArgsEscaped",
            "Healthcheck",
            "Shell",
            "StopTimeout",
            "ExposedPorts",
        ):
            if not found[hidden]:
                del found[hidden]
        return found

    def api_host_config(self) -> dict[str, Any]:
        """The `HostConfig` of inspect: every field, as Docker shows them; lists that nobody filled are null."""
        found = self._shown(_SHOWN_HOST_CONFIG, _HOST)
        found |= {name: None for name, value in found.items() if value == []}
        for name, ours in (("MaskedPaths", defaults.MASKED_PATHS), ("ReadonlyPaths", defaults.READONLY_PATHS)):
            asked = self[_HOST + name]
            found[name] = ([] if self[_HOST + "Privileged"] else list(ours)) if asked is None else asked
        found["PidsLimit"] = found["PidsLimit"] or None
        found["IpcMode"] = found["IpcMode"] or "private"
        found["CgroupnsMode"] = found["CgroupnsMode"] or "host"
        found["PortBindings"] = found["PortBindings"] or {}
        found["OomKillDisable"] = bool(found["OomKillDisable"])
        found["MemorySwap"] = found["MemorySwap"] or found["Memory"] * 2  # what write_memory makes of it
        found["Runtime"] = "wardian"
        return {name: value for name, value in found.items() if value or name not in _LEFT_OUT}

    def _shown(self, unset: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """`unset` with what this container sets. The table is long and most of it is never set: one copy is quick."""
        names = ((path.removeprefix(prefix), value) for path, value in self._values.items() if path.startswith(prefix))
        return {**unset, **{name: value for name, value in names if value is not None and name in unset}}


def decode(body: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a create body sets, checked. Raises INVALID or NOT_IMPLEMENTED, naming the field."""
    values: dict[str, Any] = {}
    for key, value in body.items():
        if key == "HostConfig":
            if value is not None:
                for inner, setting in checks.json_object(value, key).items():
                    _decode_one(_HOST + inner, setting, values)
        elif key == "NetworkingConfig":
            _check_networking(value or {}, body)
        else:
            _decode_one(key, value, values)
    for rule in _RULES:
        rule(ContainerConfig(values))
    return values


def _decode_one(path: str, value: Any, values: dict[str, Any]) -> None:
    row = _ROWS.get(path)
    if row is None:
        if _empty(value):
            return
        raise WardianError(
            NOT_IMPLEMENTED, f"{path}: Wardian does not know this option", operation="create", subject=path
        )
    if value is None or value == row.default or (value in row.absent and value is not True):
        return
    # an empty list is an answer for some: MaskedPaths [] masks nothing, Cmd [] is no command
    if _empty(value) and row.default is not None:
        return
    checked = row.check(value, path)
    if checked is not None:
        values[path] = checked


def _empty(value: Any) -> bool:
    return value is None or value is False or value == 0 or value == "" or value == [] or value == {}


def _check_networking(value: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Endpoints may be named, of the one network that the container is on, with nothing asked of them."""
    outer = "NetworkingConfig.EndpointsConfig"
    host = body.get("HostConfig")
    mode = (host.get("NetworkMode") if isinstance(host, Mapping) else None) or "default"
    endpoints = checks.json_object(value, "NetworkingConfig").get("EndpointsConfig")
    for network, endpoint in checks.json_object(endpoints or {}, outer).items():
        if network != mode and {network, mode} != {"default", "bridge"}:
            raise checks.not_built(f"{outer}.{network}", f"a second network beside {mode!r}")
        for key, setting in checks.json_object(endpoint or {}, f"{outer}.{network}").items():
            if not _empty(setting):
                raise checks.not_built(f"{outer}.{network}.{key}", f"{key} of an endpoint")


# --- rules between options -------------------------------------------------------------------------------------------


def _refuse(path: str, message: str) -> None:
    raise WardianError(INVALID, message, operation="create", subject=path)


def _memory_rule(config: ContainerConfig) -> None:
    limit, swap, reservation = (config[_HOST + name] for name in ("Memory", "MemorySwap", "MemoryReservation"))
    if 0 < limit < 6 << 20:
        _refuse(_HOST + "Memory", "Minimum memory limit allowed is 6MB")
    if swap > 0 and not limit:
        message = "You should always set the Memory limit when using Memoryswap limit, see usage"
        _refuse(_HOST + "MemorySwap", message)
    if limit and 0 < swap < limit:
        _refuse(_HOST + "MemorySwap", "Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < reservation < 6 << 20:
        _refuse(_HOST + "MemoryReservation", "Minimum memory reservation allowed is 6MB")
    if limit and reservation > limit:
        message = "Minimum memory limit can not be less than memory reservation limit, see usage"
        _refuse(_HOST + "MemoryReservation", message)


def _cpu_rule(config: ContainerConfig) -> None:
    nano = config[_HOST + "NanoCpus"]
    count = os.cpu_count() or 1
    if nano and config[_HOST + "CpuPeriod"]:
        _refuse(_HOST + "NanoCpus", "Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if nano and config[_HOST + "CpuQuota"]:
        _refuse(_HOST + "NanoCpus", "Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    if nano and not 10_000_000 <= nano <= count * 1_000_000_000:
        message = f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        _refuse(_HOST + "NanoCpus", message)
    period = config[_HOST + "CpuPeriod"]
    if period and not 1000 <= period <= 1_000_000:
        _refuse(
            _HOST + "CpuPeriod", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if config[_HOST + "CpuShares"] == 1:  # the kernel would make two of it and say nothing
        _refuse(_HOST + "CpuShares", "the minimum allowed cpu-shares is 2")
    if 0 < config[_HOST + "CpuQuota"] < 1000:
        _refuse(_HOST + "CpuQuota", "CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _cpuset_rule(config: ContainerConfig) -> None:
    for name, what, kind in (("CpusetCpus", "CPUs", "cpu"), ("CpusetMems", "memory nodes", "node")):
        asked = config[_HOST + name]
        if not asked:
            continue
        available = procfs.read(f"/sys/devices/system/{kind}/online").strip() or "0"
        if not checks.listed_numbers(asked) <= checks.listed_numbers(available):
            message = f"Requested {what} are not available - requested {asked}, available: {available}"
            _refuse(_HOST + name, message)


def _network_rule(config: ContainerConfig) -> None:
    mode = config[_HOST + "NetworkMode"]
    joined = mode == "host" or config.joins("network")
    if config.joins("network") and config["Hostname"]:
        _refuse("Hostname", "conflicting options: hostname and the network mode")
    for name in ("Dns", "ExtraHosts"):
        if config.joins("network") and config[_HOST + name]:
            _refuse(_HOST + name, f"conflicting options: {name} and the network mode")
    for key in config[_HOST + "Sysctls"]:
        if key.startswith("net.") and joined:
            _refuse(_HOST + "Sysctls", f"sysctl '{key}' not allowed in host network namespace")
        if checks.is_ipc_sysctl(key) and config[_HOST + "IpcMode"] == "host":
            _refuse(_HOST + "Sysctls", f"sysctl '{key}' not allowed in host ipc namespace")


def _uts_rule(config: ContainerConfig) -> None:
    if config["HostConfig.UTSMode"] == "host" and config["Hostname"]:
        _refuse("Hostname", "conflicting options: hostname and the UTS mode")


_RULES: tuple[Callable[[ContainerConfig], None], ...] = (
    _memory_rule,
    _cpu_rule,
    _cpuset_rule,
    _network_rule,
    _uts_rule,
)


# --- image and spec --------------------------------------------------------------------------------------------------


def merge_image(values: dict[str, Any], image: Mapping[str, Any]) -> list[str]:
    """Fill `values` from an image's config by Docker's rules. Returns warnings. Raises INVALID without a command.

    An image is data: only these fields are taken from it, and each says only what the user might have said.
    """
    if not values.get("Entrypoint"):
        if not values.get("Cmd") and image.get("Cmd"):
            values["Cmd"] = list(image["Cmd"])
        if values.get("Entrypoint") is None and image.get("Entrypoint"):
            values["Entrypoint"] = list(image["Entrypoint"])
    if values.get("Entrypoint") == [""]:  # docker run --entrypoint ""
        del values["Entrypoint"]
    if not values.get("Entrypoint") and not values.get("Cmd"):
        raise WardianError(INVALID, "no command specified", operation="create", subject="Cmd")
    named = {item.partition("=")[0] for item in values.get("Env", ())}
    from_image = [item for item in image.get("Env") or () if item.partition("=")[0] not in named]
    if from_image or named:
        values["Env"] = [*values.get("Env", ()), *from_image]
    for key in ("WorkingDir", "User", "StopSignal"):
        if image.get(key) and not values.get(key):
            values[key] = str(image[key])
    for key in ("Labels", "ExposedPorts"):
        if image.get(key):
            values[key] = dict(image[key]) | values.get(key, {})
    return _image_warnings(image)


def _image_warnings(image: Mapping[str, Any]) -> list[str]:
    warnings = []
    if image.get("Volumes"):
        names: Iterable[str] = image["Volumes"]
        warnings.append(
            f"the image declares volumes ({', '.join(names)}): volumes are not built yet, "
            "what is written there stays in the container's own layer"
        )
    test = (image.get("Healthcheck") or {}).get("Test")
    if test and test != ["NONE"]:
        warnings.append("the image declares a health check: health checks are not built yet, it is not run")
    return warnings


def write_spec(config: ContainerConfig, cgroups_path: str) -> spec.Spec:
    """The OCI runtime spec of a container, but for what only its start knows (ids of users, joined namespaces)."""
    result = spec.base_spec(cgroups_path)
    for row in _WRITERS:
        value = config[row.path] if row.path else None
        if row.always or value != row.default:
            assert row.write is not None
            row.write(result, value, config)
    return result
