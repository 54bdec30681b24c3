"""What options write into a container's OCI runtime spec (runtime-spec 1.2, config.md and config-linux.md).

`base_spec` is a container with nothing asked for, with what Docker gives every one without saying so. Each writer below
changes it for one option; `options.TABLE` says which writer belongs to which option and the order they run in.
"""

import os
import stat
from typing import TYPE_CHECKING, Any

from wardian.engine.checks import size_bytes
from wardian.errors import INVALID, WardianError
from wardian.runtime import defaults

if TYPE_CHECKING:
    from wardian.engine.options import ContainerConfig

Spec = dict[str, Any]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHM = 64 << 20
# Docker's silent sysctls: unprivileged ports and ping need no capability in a network namespace of one's own
QUIET_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
NAMESPACES = ("mount", "network", "uts", "pid", "ipc")


def base_spec(cgroups_path: str) -> Spec:
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": [],
            "env": [],
            "cwd": "/",
            "capabilities": _capability_sets(defaults.DEFAULT_CAPABILITIES),
            "noNewPrivileges": False,
            "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "",
        "mounts": _base_mounts(),
        "linux": {
            "cgroupsPath": cgroups_path,
            "namespaces": [{"type": name} for name in NAMESPACES],
            "resources": {"devices": [dict(row) for row in defaults.DEVICE_RULES]},
            "maskedPaths": list(defaults.MASKED_PATHS),
            "readonlyPaths": list(defaults.READONLY_PATHS),
            "sysctl": dict(QUIET_SYSCTLS),
        },
    }


def _base_mounts() -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *quiet]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*quiet, "mode=1777", f"size={DEFAULT_SHM}"],
        },
    ]


def _capability_sets(names: "tuple[str, ...] | list[str]") -> dict[str, list[str]]:
    return {group: list(names) for group in ("bounding", "effective", "permitted")}


def _mount_at(spec: Spec, destination: str) -> dict[str, Any] | None:
    for mount in spec["mounts"]:
        if mount["destination"] == destination:
            return mount  # type: ignore[no-any-return]
    return None


def _drop_mount(spec: Spec, destination: str) -> None:
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != destination]


def _namespace(spec: Spec, kind: str, mode: str) -> None:
    """host: none of its own; container:ID: `joins` in start.py adds the path when it is known."""
    if mode == "host":
        spec["linux"]["namespaces"] = [item for item in spec["linux"]["namespaces"] if item["type"] != kind]


# --- process ---------------------------------------------------------------------------------------------------------


def write_command(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["args"] = config.command()


def write_environment(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Docker's order: PATH, HOSTNAME, TERM, then what was asked for, each name once at its first place."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": config.hostname()}
    if config["Tty"]:
        env["TERM"] = "xterm"
    for item in config["Env"]:
        name, sign, setting = item.partition("=")
        if sign:
            env[name] = setting
        else:  # docker run -e NAME with NAME unset in the client: takes it away
            env.pop(name, None)
    spec["process"]["env"] = [f"{name}={setting}" for name, setting in env.items()]


def write_terminal(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    process = spec["process"]
    process["terminal"] = True
    height, width = config["HostConfig.ConsoleSize"]
    if height or width:
        process["consoleSize"] = {"height": height, "width": width}


def write_working_directory(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["cwd"] = os.path.normpath(value) if value else "/"


def write_hostname(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if config["HostConfig.UTSMode"] == "host" or config.joins("network"):
        spec["hostname"] = ""
    else:
        spec["hostname"] = config.hostname()


def write_domainname(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["domainname"] = value


def write_ulimits(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["rlimits"] = [
        {
            "type": f"RLIMIT_{item['Name'].upper()}",
            "soft": _unlimited(item.get("Soft", 0)),
            "hard": _unlimited(item.get("Hard", 0)),
        }
        for item in value
    ]


def _unlimited(limit: int) -> int:
    return (1 << 64) - 1 if limit == -1 else limit


def write_oom_score(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["oomScoreAdj"] = value


# --- privileges ------------------------------------------------------------------------------------------------------


def write_privileged(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Everything the host has: all capabilities, all devices, writable /sys, nothing masked, no seccomp."""
    linux = spec["linux"]
    spec["process"]["capabilities"] = _capability_sets(defaults.ALL_CAPABILITIES)
    linux["maskedPaths"], linux["readonlyPaths"] = [], []
    linux["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    linux["devices"] = _host_devices()
    for destination in ("/sys", "/sys/fs/cgroup"):
        mount = _mount_at(spec, destination)
        if mount is not None:
            mount["options"] = [option for option in mount["options"] if option != "ro"]


def _host_devices() -> list[dict[str, Any]]:
    """The host's device nodes but terminals and what every container has anyway."""
    skip = {
        "console",
        "pts",
        "shm",
        "mqueue",
        "fd",
        "stdin",
        "stdout",
        "stderr",
        "core",
        "ptmx",
        "tty",
        *_COMMON_DEVICES,
    }
    return [device for device in _devices_below("/dev", skip) if not device["path"].startswith("/dev/tty")]


_COMMON_DEVICES = ("null", "zero", "full", "random", "urandom")


def _devices_below(directory: str, skip: "set[str] | frozenset[str]" = frozenset()) -> list[dict[str, Any]]:
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name in skip or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                found.extend(_devices_below(entry.path))
            elif (device := _device(entry.path, entry.path)) is not None:
                found.append(device)
    return found


def _device(path: str, inside: str) -> dict[str, Any] | None:
    status = os.stat(path)
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return None
    return {
        "path": inside,
        "type": "c" if stat.S_ISCHR(status.st_mode) else "b",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def write_capabilities(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Docker's rule. Privileged has them all, whatever else is said; an add of ALL is all but the drops, a drop of ALL
    only the adds; else the drops go first and the adds come after them.
    """
    add, drop = config["HostConfig.CapAdd"], config["HostConfig.CapDrop"]
    for path, names in (("CapAdd", add), ("CapDrop", drop)):
        for name in names:
            if name != "ALL" and name not in defaults.ALL_CAPABILITIES:
                message = f'invalid {path}: unknown capability: "{name}"'
                raise WardianError(INVALID, message, operation="create", subject=f"HostConfig.{path}")
    if config["HostConfig.Privileged"]:
        return
    base = defaults.ALL_CAPABILITIES if "ALL" in add else spec["process"]["capabilities"]["bounding"]
    if "ALL" in drop and "ALL" not in add:
        base = []
    kept = [name for name in base if name not in drop]
    if "ALL" not in add:
        kept += [name for name in add if name not in kept]
    spec["process"]["capabilities"] = _capability_sets(kept)


def write_seccomp(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """The default profile knows the capabilities of this container (a container with SYS_ADMIN may mount)."""
    choice = config.security("seccomp")
    if config["HostConfig.Privileged"] or choice == "unconfined":
        return
    capabilities = spec["process"]["capabilities"]["bounding"]
    if choice in ("", "builtin"):
        spec["linux"]["seccomp"] = defaults.default_seccomp(capabilities)
    else:
        from wardian.engine.profile import seccomp_from_profile

        spec["linux"]["seccomp"] = seccomp_from_profile(choice, capabilities)


def write_security(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["noNewPrivileges"] = config.security("no-new-privileges") in ("set", "true")
    if config.security("systempaths") == "unconfined":
        spec["linux"]["maskedPaths"], spec["linux"]["readonlyPaths"] = [], []


def write_masked(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["linux"]["maskedPaths"] = value


def write_readonly_paths(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["linux"]["readonlyPaths"] = value


# --- resources -------------------------------------------------------------------------------------------------------


def write_memory(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Docker: with a limit and no MemorySwap, as much swap again as memory."""
    memory: dict[str, int] = {}
    limit, swap, reservation = (config[f"HostConfig.{name}"] for name in ("Memory", "MemorySwap", "MemoryReservation"))
    if limit:
        memory["limit"] = limit
        memory["swap"] = swap or limit * 2
    if reservation:
        memory["reservation"] = reservation
    if memory:
        spec["linux"]["resources"]["memory"] = memory


def write_cpu(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    cpu: dict[str, Any] = {}
    if nano := config["HostConfig.NanoCpus"]:
        cpu["period"] = 100_000
        cpu["quota"] = max(1000, nano * 100_000 // 1_000_000_000)
    rows = {
        "shares": "CpuShares",
        "quota": "CpuQuota",
        "period": "CpuPeriod",
        "cpus": "CpusetCpus",
        "mems": "CpusetMems",
    }
    for key, name in rows.items():
        if setting := config[f"HostConfig.{name}"]:
            cpu[key] = setting
    if cpu:
        spec["linux"]["resources"]["cpu"] = cpu


def write_pids(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if value > 0:
        spec["linux"]["resources"]["pids"] = {"limit": value}


def write_devices(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    linux = spec["linux"]
    for item in value:
        source = item["PathOnHost"]
        inside = item.get("PathInContainer") or source
        try:
            found = _device(source, inside)
            devices = [found] if found else _devices_below(source)
        except OSError as error:
            reason = (error.strerror or "").lower()  # docker's clients read their exit code from the words
            message = f'error gathering device information while adding custom device "{source}": {reason}'
            raise WardianError(INVALID, message, operation="create", subject=source, errno=error.errno or 0) from None
        for device in devices:
            device["path"] = inside + device["path"].removeprefix(source) if device["path"] != inside else inside
            linux.setdefault("devices", []).append(device)
            rule = {"allow": True, "type": device["type"], "major": device["major"], "minor": device["minor"]}
            linux["resources"]["devices"].append(rule | {"access": item.get("CgroupPermissions") or "rwm"})


# --- namespaces ------------------------------------------------------------------------------------------------------


def write_network(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """The kernel keeps net.* in the network namespace: without one of our own the host's stay as they are."""
    _namespace(spec, "network", value)
    if value == "host" or config.joins("network"):
        spec["linux"]["sysctl"] = {}


def write_pid(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    _namespace(spec, "pid", value)


def write_uts(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    _namespace(spec, "uts", value)


def write_ipc(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """A shared ipc namespace shares /dev/shm and /dev/mqueue too; `none` has no /dev/shm (docker run reference)."""
    _namespace(spec, "ipc", value)
    if value == "host":
        for name in ("/dev/shm", "/dev/mqueue"):
            _drop_mount(spec, name)
            if os.path.isdir(name):
                spec["mounts"].append({"destination": name, "type": "bind", "source": name, "options": ["rbind", "rw"]})
    elif value == "none":
        _drop_mount(spec, "/dev/shm")


def write_cgroup_namespace(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if value == "private":
        spec["linux"]["namespaces"].append({"type": "cgroup"})


def write_annotations(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["annotations"] = dict(value)


def write_sysctls(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["linux"]["sysctl"].update(value)


# --- mounts ----------------------------------------------------------------------------------------------------------


def write_shm(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    mount = _mount_at(spec, "/dev/shm")
    if mount is not None and mount["type"] == "tmpfs":
        mount["options"] = [*mount["options"][:-1], f"size={value}"]


def write_binds(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Read-only is read-only with all that is mounted below (Docker's rule since 25)."""
    for item in value:
        source, target, *mode = item.split(":")
        words = mode[0].split(",") if mode else []
        unsaid = ("z", "Z", "nocopy", "consistent", "cached", "delegated")
        options = ["rro" if word == "ro" else word for word in words if word not in unsaid]
        _replace_mount(spec, _bind(source, target, ["rbind", *options]))


def _bind(source: str, target: str, options: list[str]) -> dict[str, Any]:
    """runtime-spec has no default propagation for a bind; Docker's is rprivate."""
    if not {"private", "rprivate", "shared", "rshared", "slave", "rslave"}.intersection(options):
        options = [*options, "rprivate"]
    return {"destination": os.path.normpath(target), "type": "bind", "source": source, "options": options}


def _replace_mount(spec: Spec, mount: dict[str, Any]) -> None:
    """The user's mount wins over one of ours at the same place."""
    _drop_mount(spec, mount["destination"])
    spec["mounts"].append(mount)


def write_mounts(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    for item in value:
        mode = ["ro"] if item.get("ReadOnly") else []
        if item["Type"] == "bind":
            options = item.get("BindOptions") or {}
            if mode and not options.get("ReadOnlyNonRecursive"):
                mode = ["rro"]
            words = ["bind" if options.get("NonRecursive") else "rbind", *mode]
            if options.get("Propagation"):
                words.append(options["Propagation"])
            _replace_mount(spec, _bind(item["Source"], item["Target"], words))
        else:
            options = item.get("TmpfsOptions") or {}
            words = ["nosuid", "nodev", "noexec", *mode]
            if options.get("SizeBytes"):
                words.append(f"size={options['SizeBytes']}")
            words.append(f"mode={options['Mode']:o}" if options.get("Mode") else "mode=1777")
            _replace_mount(spec, _tmpfs(item["Target"], words))


def _tmpfs(target: str, options: list[str]) -> dict[str, Any]:
    return {"destination": os.path.normpath(target), "type": "tmpfs", "source": "tmpfs", "options": options}


def write_tmpfs(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    for target, text in value.items():
        words = ["noexec", "nosuid", "nodev", *filter(None, text.split(","))]
        for index, word in enumerate(words):
            if word.startswith("size="):
                amount = word.removeprefix("size=")
                words[index] = word if amount.endswith("%") else f"size={size_bytes(amount, 'HostConfig.Tmpfs')}"
        for positive in ("exec", "suid", "dev"):  # what the user says last wins over ours
            if positive in words:
                words = [word for word in words if word not in (positive, f"no{positive}")]
        _replace_mount(spec, _tmpfs(target, words))


def write_read_only(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["root"]["readonly"] = True


def write_container_files(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """The three files that the engine keeps for a container, unless the user mounts something there."""
    taken = {mount["destination"] for mount in spec["mounts"]}
    mode = "ro" if config["HostConfig.ReadonlyRootfs"] else "rw"
    for name in ("resolv.conf", "hostname", "hosts"):
        target = f"/etc/{name}"
        if target not in taken:
            source = os.path.join(config.directory, name)
            spec["mounts"].append(
                {"destination": target, "type": "bind", "source": source, "options": ["rbind", mode, "rprivate"]}
            )
