"""Every option of a container, one row each: flag, API path, since which API version, what it may be, what it writes.

From the rows come the decoding of a create body (decode.py), `inspect` (config.py), and the OCI spec. Docker's silent
defaults are rows too (the ones without a flag). A field that is set and that no row knows, or whose row says it is not
built, is refused by name.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from wardian.engine.health import rules as health
from wardian.engine.life.restart_policy import check_policy
from wardian.engine.logging import check_log_config
from wardian.engine.options import checks, device_checks, mount_checks, network_checks, volume_checks
from wardian.engine.options.checks import Check
from wardian.engine.options.runtimes import check_runtime
from wardian.engine.spec import Spec, base_spec, devices, mounts, namespaces, privileges, process, resources
from wardian.runtime import defaults

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig

Writer = Callable[[Spec, Any, "ContainerConfig"], None]


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
HOST = "HostConfig."
OURS = "Wardian."
ENDPOINTS = "NetworkingConfig.EndpointsConfig"
IDS = "IdMaps"  # no field of a body either: the mapping of its user namespace (userns/choice.py)
POINTS = "MountPoints"  # no field of a body: what a create makes of all those about volumes (volumes/points.py)


def _unbuilt(path: str, flag: str, default: Any, *absent: Any, since: str = "1.24") -> Option:
    """An option that Wardian knows and does not do yet."""
    return Option(path, flag, _NOT_BUILT(default, *absent), default, since=since, absent=absent)


# Order is the order of writing: privileges before what depends on them, mounts of ours before the user's.
TABLE: tuple[Option, ...] = (
    Option("Image", "IMAGE", checks.text, ""),
    Option("Cmd", "COMMAND", checks.command, None, process.write_command, always=True),
    Option("Entrypoint", "--entrypoint", checks.command, None),
    Option("Tty", "--tty", checks.flag, False, process.write_terminal),
    Option("Env", "--env", checks.environment, [], process.write_environment, always=True),
    Option("WorkingDir", "--workdir", checks.absolute, "", process.write_working_directory),
    Option("User", "--user", checks.text, ""),
    Option("Hostname", "--hostname", checks.hostname, "", process.write_hostname, always=True),
    Option("Domainname", "--domainname", checks.text, "", process.write_domainname),
    Option("AttachStdin", "--attach", checks.flag, False),
    Option("AttachStdout", "--attach", checks.flag, False),
    Option("AttachStderr", "--attach", checks.flag, False),
    Option("OpenStdin", "--interactive", checks.flag, False),
    Option("StdinOnce", "--interactive", checks.flag, False),
    Option("Labels", "--label", checks.mapping, {}),
    Option("StopSignal", "--stop-signal", checks.signal, ""),
    Option("StopTimeout", "--stop-timeout", checks.unlimited_below(-1), None, since="1.25"),
    Option("ExposedPorts", "--expose", network_checks.exposed_ports, {}),
    Option("ArgsEscaped", "", checks.flag, False),
    Option("OnBuild", "", lambda value, path: value, None),
    Option("Shell", "", checks.strings, None),
    Option("Healthcheck", "--health-cmd", health.checked, None),
    Option("Volumes", "--volume", volume_checks.declared_volumes, {}),
    Option("MacAddress", "--mac-address", network_checks.mac_address, ""),
    Option("NetworkDisabled", "", checks.flag, False),  # settle_endpoints makes NetworkMode none of it
    # privileges
    Option(HOST + "Privileged", "--privileged", checks.flag, False, privileges.write_privileged),
    Option(HOST + "CapAdd", "--cap-add", checks.capabilities, []),
    Option(HOST + "CapDrop", "--cap-drop", checks.capabilities, [], privileges.write_capabilities, always=True),
    Option(HOST + "SecurityOpt", "--security-opt", checks.security_options, [], privileges.write_security),
    Option("", "", checks.text, None, privileges.write_seccomp, always=True),
    Option(HOST + "MaskedPaths", "", checks.strings, None, privileges.write_masked, since="1.38"),
    Option(HOST + "ReadonlyPaths", "", checks.strings, None, privileges.write_readonly_paths, since="1.38"),
    Option(HOST + "GroupAdd", "--group-add", checks.strings, []),
    Option(HOST + "OomScoreAdj", "--oom-score-adj", checks.oom_score, 0, process.write_oom_score),
    Option(HOST + "Ulimits", "--ulimit", checks.ulimits, [], process.write_ulimits),
    # limits
    Option(HOST + "Memory", "--memory", _LIMIT, 0, resources.write_memory, always=True),
    Option(HOST + "MemorySwap", "--memory-swap", checks.unlimited_below(-1), 0),
    Option(HOST + "MemoryReservation", "--memory-reservation", checks.unlimited_below(0), 0),
    Option(HOST + "NanoCpus", "--cpus", _LIMIT, 0, resources.write_cpu, since="1.25", always=True),
    Option(HOST + "CpuShares", "--cpu-shares", _LIMIT, 0),
    Option(HOST + "CpuPeriod", "--cpu-period", _LIMIT, 0),
    Option(HOST + "CpuQuota", "--cpu-quota", checks.unlimited_below(-1), 0),
    Option(HOST + "CpusetCpus", "--cpuset-cpus", checks.cpu_list, ""),
    Option(HOST + "CpusetMems", "--cpuset-mems", checks.cpu_list, ""),
    Option(HOST + "PidsLimit", "--pids-limit", checks.unlimited_below(-1), 0, resources.write_pids, absent=(None,)),
    Option(HOST + "MemorySwappiness", "--memory-swappiness", device_checks.swappiness, None, absent=(-1,)),
    Option(HOST + "OomKillDisable", "--oom-kill-disable", checks.flag, False),
    Option(HOST + "KernelMemory", "--kernel-memory", checks.unlimited_below(0), 0),
    Option(HOST + "KernelMemoryTCP", "", checks.unlimited_below(0), 0, since="1.40"),
    Option(HOST + "CpuRealtimePeriod", "--cpu-rt-period", _LIMIT, 0, since="1.25"),
    Option(HOST + "CpuRealtimeRuntime", "--cpu-rt-runtime", _LIMIT, 0, since="1.25"),
    Option(HOST + "BlkioWeight", "--blkio-weight", checks.integer(0, 65535), 0, resources.write_block_weight),
    Option(
        HOST + "BlkioWeightDevice",
        "--blkio-weight-device",
        device_checks.weight_devices,
        [],
        resources.write_weight_devices,
    ),
    *(
        Option(f"{HOST}BlkioDevice{name}", flag, device_checks.throttle_devices, [], write)
        for name, flag, write in (
            ("ReadBps", "--device-read-bps", resources.write_read_bps),
            ("WriteBps", "--device-write-bps", resources.write_write_bps),
            ("ReadIOps", "--device-read-iops", resources.write_read_iops),
            ("WriteIOps", "--device-write-iops", resources.write_write_iops),
        )
    ),
    Option(HOST + "CgroupParent", "--cgroup-parent", checks.group_parent, ""),
    Option(HOST + "Devices", "--device", checks.devices, [], devices.write_devices),
    Option(
        HOST + "DeviceCgroupRules",
        "--device-cgroup-rule",
        device_checks.device_rules,
        [],
        devices.write_device_rules,
        since="1.28",
    ),
    # namespaces
    Option(
        HOST + "NetworkMode",
        "--network",
        checks.network_mode,
        "bridge",
        namespaces.write_network,
        absent=("", "default"),  # docker's command line says default; inspect answers what it stands for
        always=True,
    ),
    Option(HOST + "PidMode", "--pid", checks.pid_mode, "", namespaces.write_pid),
    Option(HOST + "UTSMode", "--uts", checks.namespace_mode("host", "private"), "", namespaces.write_uts),
    Option(
        HOST + "IpcMode",
        "--ipc",
        checks.ipc_mode,
        "",
        namespaces.write_ipc,
    ),
    Option(
        HOST + "CgroupnsMode",
        "--cgroupns",
        checks.one_of("host", "private"),
        "",
        namespaces.write_cgroup_namespace,
        since="1.41",
    ),
    Option(HOST + "UsernsMode", "--userns", checks.userns_mode, ""),
    Option(IDS, "", checks.only(None), None, namespaces.write_user),
    Option(HOST + "Sysctls", "--sysctl", checks.sysctls, {}, namespaces.write_sysctls),
    # mounts
    Option(HOST + "ShmSize", "--shm-size", _LIMIT, defaults.DEFAULT_SHM, mounts.write_shm, absent=(0,)),
    Option(HOST + "Tmpfs", "--tmpfs", mount_checks.tmpfs_mounts, {}, mounts.write_tmpfs),
    Option(HOST + "Binds", "--volume", mount_checks.bind_specs, [], mounts.write_binds),
    Option(HOST + "Mounts", "--mount", mount_checks.mount_specs, [], mounts.write_mounts, since="1.25"),
    Option(HOST + "VolumesFrom", "--volumes-from", volume_checks.volumes_from, []),
    Option(HOST + "VolumeDriver", "--volume-driver", checks.text, ""),
    Option(POINTS, "", checks.only([]), [], mounts.write_points, always=True),
    Option(HOST + "ReadonlyRootfs", "--read-only", checks.flag, False, mounts.write_read_only),
    Option("", "", checks.text, None, mounts.write_container_files, always=True),
    # networks
    Option(ENDPOINTS, "--network", network_checks.endpoints_config, None),
    Option(HOST + "Links", "--link", network_checks.links, []),
    Option(HOST + "PortBindings", "--publish", network_checks.port_bindings, {}),
    Option(HOST + "PublishAllPorts", "--publish-all", checks.flag, False),
    # names
    Option(HOST + "Dns", "--dns", network_checks.name_servers, []),
    Option(HOST + "DnsOptions", "--dns-option", checks.strings, []),
    Option(HOST + "DnsSearch", "--dns-search", checks.strings, []),
    Option(HOST + "ExtraHosts", "--add-host", checks.extra_hosts, []),
    # the engine's own
    Option(HOST + "Init", "--init", checks.flag, None, since="1.25"),  # None: as the engine is told
    Option(HOST + "Runtime", "--runtime", check_runtime, ""),
    Option("Runtime", "", check_runtime, ""),  # no field of the API: where docker-py's create_container puts it
    Option(HOST + "AutoRemove", "--rm", checks.flag, False, since="1.25"),
    Option(HOST + "ContainerIDFile", "--cidfile", checks.text, ""),
    Option(HOST + "ConsoleSize", "--tty", checks.size_pair, [0, 0]),
    Option(HOST + "LogConfig", "--log-driver", check_log_config, {"Type": "json-file", "Config": {}}),
    Option(HOST + "RestartPolicy", "--restart", check_policy, {"Name": "no", "MaximumRetryCount": 0}),
    Option(HOST + "Annotations", "--annotation", checks.annotations, {}, process.write_annotations, since="1.43"),
    # Podman's and ours: no fields of Docker's, so in an object of their own
    Option(OURS + "HealthOnFailure", "--health-on-failure", checks.one_of(*health.ACTIONS), "", absent=("none",)),
    Option(OURS + "Rootfs", "--rootfs", checks.rootfs, ""),
    Option(OURS + "Umask", "--umask", checks.umask, "", process.write_umask),
    Option(OURS + "Timeout", "--timeout", _LIMIT, 0),
    Option(OURS + "Timezone", "--tz", checks.timezone, "", mounts.write_timezone),
    # known, not built
    _unbuilt(HOST + "Cgroup", "", ""),
    _unbuilt(HOST + "DeviceRequests", "--gpus", None, []),
    Option(HOST + "StorageOpt", "--storage-opt", device_checks.storage_options, None, absent=({},)),
    Option(HOST + "Isolation", "--isolation", device_checks.isolation, ""),
    _unbuilt(HOST + "CpuCount", "--cpu-count", 0),
    _unbuilt(HOST + "CpuPercent", "--cpu-percent", 0),
    Option(HOST + "IOMaximumIOps", "--io-maxiops", device_checks.io_maximum, 0),
    Option(HOST + "IOMaximumBandwidth", "--io-maxbandwidth", device_checks.io_maximum, 0),
)
ROWS = {row.path: row for row in TABLE if row.path}
DEFAULTS = {row.path: row.default for row in TABLE if row.path}
_WRITERS = tuple(row for row in TABLE if row.write is not None)


def write_spec(config: "ContainerConfig", cgroups_path: str) -> Spec:
    """The OCI runtime spec of a container, but for what only its start knows (ids of users, joined namespaces)."""
    result = base_spec(cgroups_path)
    for row in _WRITERS:
        value = config[row.path] if row.path else None
        if row.always or value != row.default:
            assert row.write is not None
            row.write(result, value, config)
    return result
