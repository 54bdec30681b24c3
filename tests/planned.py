"""Specs, facts and inputs for tests of plans: a host that is always the same, and specs that differ in one thing."""

import copy
from typing import Any

from wardian.kernel import capabilities
from wardian.kernel.mounts import Mount
from wardian.runtime import (
    ExecTarget,
    HostFacts,
    Placement,
    Plan,
    RootFacts,
    Supervision,
    defaults,
    plan,
    plan_exec,
)
from wardian.runtime.command import example_spec

HOST = HostFacts(
    kernel=(6, 18),
    architecture="x86_64",
    cgroup_layout="hybrid",
    cgroup_mounts=(
        ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
        ("cpuset", "/sys/fs/cgroup/cpuset"),
        ("memory", "/sys/fs/cgroup/memory"),
        ("devices", "/sys/fs/cgroup/devices"),
        ("pids", "/sys/fs/cgroup/pids"),
    ),
    cgroup2="/sys/fs/cgroup/unified",
    cgroup2_controllers=(),
    bounding=capabilities.ALL & ~capabilities.CAP_SYS_RESOURCE,
    rlimits=tuple((1024, 4096) for _ in range(16)),
    uid_map=((0, 0, 4294967295),),
    seccomp=True,
    apparmor=False,
    selinux=False,
    cpus=2,
    devices=(),
)
V2_HOST = HOST._replace(
    cgroup_layout="v2",
    cgroup_mounts=(),
    cgroup2="/sys/fs/cgroup",
    cgroup2_controllers=("cpuset", "cpu", "io", "memory", "pids"),
)
BLOCK_HOST = HOST._replace(cgroup_mounts=(("blkio", "/sys/fs/cgroup/blkio"),))
OLD_HOST = HOST._replace(kernel=(5, 15))
ROOT = RootFacts(0, 0, (0,), "/root", "/bin/sh", True)
ROOTFS = Mount("overlay", lowers=("/l/2/diff", "/l/1/diff"), upper="/c/upper", work="/c/work")
SUPERVISION = Supervision("c1", "/run/c1", "/var/c1", "c1-json.log")
PLACEMENT = Placement("wardian/containers/c1", "wardian/supervisors")


def spec(*arguments: str, **linux: Any) -> dict[str, Any]:
    """The example spec with other arguments, and `linux` keys replaced."""
    result = copy.deepcopy(example_spec())
    result["process"]["args"] = list(arguments or ("sh",))
    result["root"]["readonly"] = False
    result["linux"].update(linux)
    return result


def namespaces(*kinds: str, **paths: str) -> list[dict[str, str]]:
    return [{"type": kind} for kind in kinds] + [{"type": kind, "path": path} for kind, path in paths.items()]


def limited() -> dict[str, Any]:
    result = spec("true")
    result["linux"]["resources"] |= {
        "memory": {"limit": 1 << 26, "swap": 1 << 27},
        "cpu": {"quota": 50000, "period": 100000, "shares": 512, "cpus": "0"},
        "pids": {"limit": 64},
    }
    return result


def throttled() -> dict[str, Any]:
    """What names block devices, and what version 2 has too."""
    result = spec("true")
    device = {"major": 254, "minor": 0}
    result["linux"]["resources"]["blockIO"] = {
        "weight": 300,
        "weightDevice": [device | {"weight": 200}],
        "throttleReadBpsDevice": [device | {"rate": 1 << 20}],
        "throttleWriteIOPSDevice": [device | {"rate": 10}],
    }
    return result


def swapped() -> dict[str, Any]:
    """What only version 1 has."""
    result = spec("true")
    result["linux"]["resources"] |= {
        "memory": {"limit": 1 << 26, "swappiness": 0, "disableOOMKiller": True},
        "cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 950000},
    }
    return result


def shared_memory() -> dict[str, Any]:
    result = spec("true", namespaces=namespaces("mount", ipc="@ipc"))
    result["mounts"] = [mount for mount in result["mounts"] if mount["destination"] != "/dev/shm"]
    source = "@ipc-mounts:/dev/shm"
    result["mounts"].append({"destination": "/dev/shm", "type": "bind", "source": source, "options": ["bind"]})
    return result


def with_seccomp() -> dict[str, Any]:
    result = spec("true", seccomp=defaults.default_seccomp(defaults.DEFAULT_CAPABILITIES))
    result["process"]["noNewPrivileges"] = False
    return result


def mounted() -> dict[str, Any]:
    result = spec("true", sysctl={"net.ipv4.ip_forward": "1", "kernel.msgmax": "1024"})
    result["mounts"] += [
        {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro", "rslave"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "noexec"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
    ]
    return result


def user_namespace() -> dict[str, Any]:
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    kinds = namespaces("pid", "network", "ipc", "uts", "mount", "user", "cgroup")
    return spec("true", namespaces=kinds, uidMappings=maps, gidMappings=maps)


def made_before() -> dict[str, Any]:
    """A user namespace, and a network namespace in it, that the launching side brings."""
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    kinds = [*namespaces(user="@user"), *namespaces("pid", "ipc", "uts", "mount"), *namespaces(network="@network")]
    result = spec("true", namespaces=kinds, uidMappings=maps, gidMappings=maps)
    result["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 3000, "hard": 8192}]
    return result


MAPPED = Mount("overlay", lowers=("/l/2/diff", "/l/1/diff"), upper="/c/upper", work="/c/work", mapped="/l")


def make(wanted: dict[str, Any], **changes: Any) -> Plan:
    inputs: dict[str, Any] = {
        "host": HOST,
        "root": ROOT,
        "rootfs": ROOTFS,
        "supervision": SUPERVISION,
        "placement": PLACEMENT,
    }
    return plan(wanted, **(inputs | changes))  # type: ignore[arg-type]


def process(**changes: Any) -> dict[str, Any]:
    return spec("true")["process"] | changes  # type: ignore[no-any-return]


def with_process(**changes: Any) -> dict[str, Any]:
    return spec("true") | {"process": process(**changes)}


NESTED = Mount("overlay", lowers=(Mount("overlay", lowers=("/a", "/b")), "/c"), upper="/u", work="/w")
CASES = {
    "plain": lambda: make(spec("sh", "-c", "exit 7")),
    "limits": lambda: make(limited()),
    "limits-v2": lambda: make(limited(), host=V2_HOST),
    "seccomp": lambda: make(with_seccomp()),
    "mounts": lambda: make(mounted()),
    "mounts-v2": lambda: make(mounted(), host=V2_HOST),
    "user-namespace": lambda: make(user_namespace()),
    "user-namespace-before": lambda: make(made_before(), rootfs=MAPPED),
    "user-namespace-before-6.1": lambda: make(made_before(), rootfs=MAPPED, host=HOST._replace(kernel=(6, 1))),
    "throttles": lambda: make(throttled(), host=BLOCK_HOST),
    "throttles-v2": lambda: make(throttled(), host=V2_HOST),
    "only-v1": lambda: make(swapped()),
    "shared-memory": lambda: make(shared_memory()),
    "init": lambda: make(spec("sleep", "1"), supervision=SUPERVISION._replace(init=True, timeout=90)),
    "log-attributes": lambda: make(spec(), supervision=SUPERVISION._replace(log_attributes='{"tag":"web"}')),
    "terminal": lambda: make(spec(), supervision=SUPERVISION._replace(terminal=True, console_size=(24, 80))),
    "old-kernel": lambda: make(spec(), host=OLD_HOST),
    "nested-root": lambda: make(spec(), rootfs=NESTED),
    "joined": lambda: make(spec(namespaces=namespaces("mount", "uts", network="@network", pid="/proc/9/ns/pid"))),
    "other-user": lambda: make(
        with_process(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 8192, "hard": 8192}], oomScoreAdj=-5, cwd="/new"),
        root=ROOT._replace(uid=7, gid=8, groups=(8, 9), cwd_exists=False),
    ),
    "exec": lambda: plan_exec(
        process(),  # type: ignore[arg-type]
        HOST,
        ROOT,
        ExecTarget(4711, 99, "wardian/containers/c1", "wardian/supervisors"),
        SUPERVISION,
    ),
}
