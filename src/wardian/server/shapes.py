"""The shape of each JSON body: its fields with their types, as Go's decoder sees Docker's structs (api.md of Docker).

Go matches a field's name in any case where none is exactly so. A null is "not said" for a field, and the zero value of
its type in a list or under a key that is data: no operation sees one. A value of another type is refused in Go's words.
What no shape knows is left to the operation, which refuses it or does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wardian.errors import INVALID, WardianError


class Leaf(NamedTuple):
    go: str
    kind: type


class Many(NamedTuple):
    """A list."""

    of: Shape
    go: str


class Table(NamedTuple):
    """An object whose keys are data. `pointers`: a null is none of its values, but nil, which is for its operation."""

    of: Shape
    go: str
    pointers: bool = False


class Fields(NamedTuple):
    """An object whose keys are names."""

    go: str
    known: dict[str, Shape]


class Words(NamedTuple):
    """A command: old clients send one string."""

    go: str = "[]string"


class Whatever(NamedTuple):
    go: str = ""


Shape = Leaf | Many | Table | Fields | Words | Whatever

TEXT, FLAG, NUMBER = Leaf("string", str), Leaf("bool", bool), Leaf("int64", int)
TEXTS, NUMBERS = Many(TEXT, "[]string"), Many(NUMBER, "[]uint")
TEXT_TABLE = Table(TEXT, "map[string]string")
EMPTY_TABLE = Table(Fields("struct {}", {}), "map[string]struct {}")


def _all(shape: Shape, names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), shape)


_HEALTH = Fields("HealthConfig", {"Test": TEXTS, **_all(NUMBER, "Interval Timeout StartPeriod StartInterval Retries")})
_CONFIG: dict[str, Shape] = {
    **_all(TEXT, "Hostname Domainname User Image WorkingDir MacAddress StopSignal Runtime"),
    **_all(FLAG, "AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce ArgsEscaped NetworkDisabled"),
    **_all(TEXTS, "Env OnBuild"),
    **_all(Words(), "Cmd Entrypoint Shell"),
    **_all(EMPTY_TABLE, "ExposedPorts Volumes"),
    "Labels": TEXT_TABLE,
    "StopTimeout": NUMBER,
    "Healthcheck": _HEALTH,
}
_POLICY = Fields("container.RestartPolicy", {"Name": TEXT, "MaximumRetryCount": NUMBER})
_DRIVER = Fields("mount.Driver", {"Name": TEXT, "Options": TEXT_TABLE})
_MOUNT = Fields(
    "mount.Mount",
    {
        **_all(TEXT, "Type Source Target Consistency"),
        "ReadOnly": FLAG,
        "BindOptions": Fields(
            "mount.BindOptions",
            {
                "Propagation": TEXT,
                **_all(FLAG, "NonRecursive CreateMountpoint ReadOnlyNonRecursive ReadOnlyForceRecursive"),
            },
        ),
        "VolumeOptions": Fields(
            "mount.VolumeOptions", {"NoCopy": FLAG, "Labels": TEXT_TABLE, "Subpath": TEXT, "DriverConfig": _DRIVER}
        ),
        "ImageOptions": Fields("mount.ImageOptions", {"Subpath": TEXT}),
        "TmpfsOptions": Fields(
            "mount.TmpfsOptions",
            {"SizeBytes": NUMBER, "Mode": NUMBER, "Options": Many(TEXTS, "[][]string")},
        ),
    },
)
_LIMITS: dict[str, Shape] = {
    **_all(NUMBER, "CpuShares Memory NanoCpus BlkioWeight CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime"),
    **_all(NUMBER, "KernelMemory KernelMemoryTCP MemoryReservation MemorySwap MemorySwappiness PidsLimit CpuCount"),
    **_all(NUMBER, "CpuPercent IOMaximumIOps IOMaximumBandwidth"),
    **_all(TEXT, "CgroupParent CpusetCpus CpusetMems"),
    "OomKillDisable": FLAG,
    "DeviceCgroupRules": TEXTS,
    "BlkioWeightDevice": Many(Fields("blkiodev.WeightDevice", {"Path": TEXT, "Weight": NUMBER}), "[]WeightDevice"),
    **_all(
        Many(Fields("blkiodev.ThrottleDevice", {"Path": TEXT, "Rate": NUMBER}), "[]ThrottleDevice"),
        "BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps",
    ),
    "Devices": Many(
        Fields("container.DeviceMapping", _all(TEXT, "PathOnHost PathInContainer CgroupPermissions")),
        "[]DeviceMapping",
    ),
    "DeviceRequests": Many(
        Fields(
            "container.DeviceRequest",
            {
                "Driver": TEXT,
                "Count": NUMBER,
                "DeviceIDs": TEXTS,
                "Capabilities": Many(TEXTS, "[][]string"),
                "Options": TEXT_TABLE,
            },
        ),
        "[]DeviceRequest",
    ),
    "Ulimits": Many(Fields("units.Ulimit", {"Name": TEXT, "Soft": NUMBER, "Hard": NUMBER}), "[]Ulimit"),
}
_BINDING = Fields("nat.PortBinding", _all(TEXT, "HostIp HostPort"))
_HOST = Fields(
    "container.HostConfig",
    {
        **_LIMITS,
        **_all(TEXT, "ContainerIDFile NetworkMode VolumeDriver CgroupnsMode IpcMode Cgroup PidMode UTSMode UsernsMode"),
        **_all(TEXT, "Runtime Isolation"),
        **_all(FLAG, "AutoRemove Privileged PublishAllPorts ReadonlyRootfs Init"),
        **_all(TEXTS, "Binds VolumesFrom Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt MaskedPaths"),
        "ReadonlyPaths": TEXTS,
        **_all(Words(), "CapAdd CapDrop"),
        **_all(TEXT_TABLE, "Annotations StorageOpt Tmpfs Sysctls"),
        **_all(NUMBER, "OomScoreAdj ShmSize"),
        "ConsoleSize": NUMBERS,
        "LogConfig": Fields("container.LogConfig", {"Type": TEXT, "Config": TEXT_TABLE}),
        "PortBindings": Table(Many(_BINDING, "[]nat.PortBinding"), "nat.PortMap"),
        "RestartPolicy": _POLICY,
        "Mounts": Many(_MOUNT, "[]mount.Mount"),
    },
)
_ENDPOINT = Fields(
    "network.EndpointSettings",
    {
        "IPAMConfig": Fields(
            "network.EndpointIPAMConfig", {"LinkLocalIPs": TEXTS, **_all(TEXT, "IPv4Address IPv6Address")}
        ),
        **_all(TEXTS, "Links Aliases DNSNames"),
        **_all(TEXT, "MacAddress NetworkID EndpointID Gateway IPAddress IPv6Gateway GlobalIPv6Address"),
        **_all(NUMBER, "GwPriority IPPrefixLen GlobalIPv6PrefixLen"),
        "DriverOpts": TEXT_TABLE,
    },
)
_NETWORKING = Fields(
    "network.NetworkingConfig",
    {"EndpointsConfig": Table(_ENDPOINT, "map[string]*network.EndpointSettings", pointers=True)},
)
_OWN = Fields("Wardian", _all(TEXT, "HealthOnFailure Rootfs Umask Timezone") | {"Timeout": NUMBER})
_CREATE = Fields("CreateRequest", _CONFIG | {"HostConfig": _HOST, "NetworkingConfig": _NETWORKING, "Wardian": _OWN})
_SUBNET = Fields("network.IPAMConfig", _all(TEXT, "Subnet IPRange Gateway") | {"AuxiliaryAddresses": TEXT_TABLE})
_NETWORK = Fields(
    "CreateRequest",
    {
        **_all(TEXT, "Name Driver Scope"),
        **_all(FLAG, "CheckDuplicate Internal Attachable Ingress ConfigOnly EnableIPv4 EnableIPv6"),
        "ConfigFrom": Fields("network.ConfigFrom", {"Network": TEXT}),
        "IPAM": Fields(
            "network.IPAM", {"Driver": TEXT, "Options": TEXT_TABLE, "Config": Many(_SUBNET, "[]network.IPAMConfig")}
        ),
        **_all(TEXT_TABLE, "Options Labels"),
    },
)

BODIES: Mapping[str, Fields] = {
    "containers:create": _CREATE,
    "own:plan": _CREATE,
    "containers:update": Fields("UpdateConfig", _LIMITS | {"RestartPolicy": _POLICY}),
    "archive:commit": Fields("Config", _CONFIG),
    "execs:create": Fields(
        "ExecCreateRequest",
        {
            **_all(TEXT, "User DetachKeys WorkingDir"),
            **_all(FLAG, "Privileged Tty AttachStdin AttachStderr AttachStdout Detach"),
            **_all(TEXTS, "Env Cmd"),
            "ConsoleSize": NUMBERS,
        },
    ),
    "execs:start": Fields("ExecStartRequest", _all(FLAG, "Detach Tty") | {"ConsoleSize": NUMBERS}),
    "networks:create": _NETWORK,
    "networks:connect": Fields("ConnectOptions", {"Container": TEXT, "EndpointConfig": _ENDPOINT}),
    "networks:disconnect": Fields("DisconnectOptions", {"Container": TEXT, "Force": FLAG}),
    "volumes:create": Fields(
        "CreateOptions",
        {"ClusterVolumeSpec": Whatever()} | _all(TEXT, "Name Driver") | _all(TEXT_TABLE, "DriverOpts Labels"),
    ),
    "registries:login": Fields(
        "AuthConfig", _all(TEXT, "username password auth email serveraddress identitytoken registrytoken")
    ),
}


def conform(handler: str, value: Any) -> dict[str, Any] | None:
    """The body of this operation, its fields by their exact names; None for null. Raises INVALID for one of another
    type."""
    if value is not None and not isinstance(value, dict):
        message = f"invalid JSON: the body must be an object, not {_ARTICLES[_kind(value)]}"
        raise WardianError(INVALID, message, operation="decode")
    shape = BODIES.get(handler)
    return value if shape is None or value is None else _fields(shape, value, shape.go)


def nothing(shape: Shape) -> Any:
    """Go's zero value: what null is where a value must be, in a list or under a key that is data."""
    if isinstance(shape, Leaf):
        return shape.kind()
    if isinstance(shape, Many | Words):
        return []
    return None if isinstance(shape, Whatever) else {}


def _conform(shape: Shape, value: Any, where: str) -> Any:
    if value is None:
        return nothing(shape)
    if isinstance(shape, Whatever):
        return value
    if isinstance(shape, Leaf):
        if type(value) is not shape.kind:
            raise _misshapen(value, where, shape.go)
        return value
    if isinstance(shape, Words) and isinstance(value, str):
        return value
    if isinstance(shape, Many | Words):
        if not isinstance(value, list):
            raise _misshapen(value, where, shape.go)
        of = shape.of if isinstance(shape, Many) else TEXT
        return [_conform(of, one, where) for one in value]
    if not isinstance(value, dict):
        raise _misshapen(value, where, shape.go)
    if isinstance(shape, Table):
        return {
            key: None if one is None and shape.pointers else _conform(shape.of, one, f"{where}.{key}")
            for key, one in value.items()
        }
    return _fields(shape, value, where)


def _fields(shape: Fields, value: dict[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    folded: dict[str, str] = {}
    for key, one in value.items():
        name = key
        if key not in shape.known:
            folded = folded or {name.lower(): name for name in shape.known}
            name = folded.get(key.lower(), key)
            if name in value and name != key:
                continue  # the exact one counts
        of = shape.known.get(name)
        if one is None and of is not None:
            continue  # not said
        found[name] = one if of is None else _conform(of, one, f"{where}.{name}")
    return found


def _misshapen(value: object, where: str, go: str) -> WardianError:
    message = f"invalid JSON: json: cannot unmarshal {_kind(value)} into Go struct field {where} of type {go}"
    return WardianError(INVALID, message, operation="decode", subject=where)


_KINDS = ((bool, "bool"), (int, "number"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
_ARTICLES = {"bool": "a bool", "number": "a number", "string": "a string", "array": "an array"}


def _kind(value: object) -> str:
    return next(name for one, name in _KINDS if isinstance(value, one))
