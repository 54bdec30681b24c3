"""The OCI runtime spec 1.2 (config.md, config-linux.md) as types: plain JSON dicts. Only the keys that a plan reads."""

from typing import Any, TypedDict


class User(TypedDict, total=False):
    uid: int
    gid: int
    umask: int
    additionalGids: list[int]
    username: str


class ConsoleSize(TypedDict):
    height: int
    width: int


class Rlimit(TypedDict):
    type: str
    soft: int
    hard: int


class CapabilitySets(TypedDict, total=False):
    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class Process(TypedDict, total=False):
    terminal: bool
    consoleSize: ConsoleSize
    user: User
    args: list[str]
    env: list[str]
    cwd: str
    capabilities: CapabilitySets
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: int
    apparmorProfile: str
    selinuxLabel: str
    ioPriority: dict[str, Any]
    scheduler: dict[str, Any]
    execCPUAffinity: dict[str, Any]


class Root(TypedDict, total=False):
    path: str
    readonly: bool


class MountPoint(TypedDict, total=False):
    """Two keys are our own, as the spec lets a runtime have them: `subpath` of a bind's source, which others write, and
    `outside`: a file system that the host's side makes (a server is reached by the host's network)."""

    destination: str
    type: str
    source: str
    options: list[str]
    uidMappings: list[dict[str, int]]
    gidMappings: list[dict[str, int]]
    subpath: str
    outside: bool
    lowers: list[str]
    mapped: str


class Namespace(TypedDict, total=False):
    type: str
    path: str


class IdMapping(TypedDict):
    containerID: int
    hostID: int
    size: int


class Device(TypedDict, total=False):
    """`source` is our own key: the host's node, which a user namespace gets by a bind."""

    source: str
    type: str
    path: str
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int


class Linux(TypedDict, total=False):
    uidMappings: list[IdMapping]
    gidMappings: list[IdMapping]
    sysctl: dict[str, str]
    resources: dict[str, Any]
    cgroupsPath: str
    namespaces: list[Namespace]
    devices: list[Device]
    seccomp: dict[str, Any]
    rootfsPropagation: str
    maskedPaths: list[str]
    readonlyPaths: list[str]
    mountLabel: str
    intelRdt: dict[str, Any]
    personality: dict[str, Any]
    timeOffsets: dict[str, Any]


class Spec(TypedDict, total=False):
    ociVersion: str
    hostname: str
    domainname: str
    process: Process
    root: Root
    mounts: list[MountPoint]
    hooks: dict[str, Any]
    annotations: dict[str, str]
    linux: Linux
