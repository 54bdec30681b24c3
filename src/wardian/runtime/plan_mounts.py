"""The plan's root and mounts: a detached root made by the launcher, and what the child attaches before pivot_root."""

import functools
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel import mounts
from wardian.runtime import ops
from wardian.runtime.hostfacts import V2, HostFacts
from wardian.runtime.ops import Step
from wardian.runtime.protocol import CHILD, CREATE, HOST
from wardian.runtime.spec import Device, MountPoint, Spec

ROOT = "root"
PROC = "proc"

# option → bits to set, bits to clear (mount(8); mount_setattr(2))
ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (mounts.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, mounts.MOUNT_ATTR_RDONLY),
    "nosuid": (mounts.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, mounts.MOUNT_ATTR_NOSUID),
    "nodev": (mounts.MOUNT_ATTR_NODEV, 0),
    "dev": (0, mounts.MOUNT_ATTR_NODEV),
    "noexec": (mounts.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, mounts.MOUNT_ATTR_NOEXEC),
    "noatime": (mounts.MOUNT_ATTR_NOATIME, mounts.MOUNT_ATTR_ATIME),
    "relatime": (mounts.MOUNT_ATTR_RELATIME, mounts.MOUNT_ATTR_ATIME),
    "strictatime": (mounts.MOUNT_ATTR_STRICTATIME, mounts.MOUNT_ATTR_ATIME),
    "nodiratime": (mounts.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, mounts.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (mounts.MOUNT_ATTR_NOSYMFOLLOW, 0),
}
RECURSIVE = {f"r{name}": bits for name, bits in ATTRIBUTES.items() if name != "relatime"}
PROPAGATION = {
    "private": (mounts.MS_PRIVATE, 0),
    "slave": (mounts.MS_SLAVE, 0),
    "shared": (mounts.MS_SHARED, 0),
    "unbindable": (mounts.MS_UNBINDABLE, 0),
    "rprivate": (mounts.MS_PRIVATE, 1),
    "rslave": (mounts.MS_SLAVE, 1),
    "rshared": (mounts.MS_SHARED, 1),
    "runbindable": (mounts.MS_UNBINDABLE, 1),
}
# said by fstab or by older tools, and nothing to the kernel's new mount calls
_IGNORED = frozenset({"defaults", "bind", "rbind", "async", "norelatime", "nostrictatime", "loud", "auto", "_netdev"})

DEVICES: tuple[Device, ...] = tuple(
    {"type": "c", "path": f"/dev/{name}", "major": major, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0}
    for name, major, minor in (
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    )
)  # fmt: skip
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)
_DEVICE_TYPES = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}


class Options(NamedTuple):
    """A mount's options, sorted by who takes them."""

    set: int = 0
    clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0
    propagation: tuple[tuple[int, int], ...] = ()
    own: tuple[str, ...] = ()
    bind: bool = False
    recursive_bind: bool = False


class MountSteps(NamedTuple):
    """Steps of the launcher, those of the child before pivot_root, and what the launching side brings for them."""

    host: tuple[Step, ...]
    child: tuple[Step, ...]
    descriptors: tuple[str, ...] = ()


def sort_options(options: Iterable[str]) -> Options:
    """The spec's mount options by kind; what is none of ours is the filesystem's own."""
    return _sorted_options(tuple(options))


@functools.lru_cache
def _sorted_options(options: tuple[str, ...]) -> Options:
    result = Options()
    for option in options:
        if option in ATTRIBUTES:
            bits, cleared = ATTRIBUTES[option]
            result = result._replace(set=result.set & ~cleared | bits, clear=result.clear & ~bits | cleared)
        elif option in RECURSIVE:
            bits, cleared = RECURSIVE[option]
            result = result._replace(
                recursive_set=result.recursive_set | bits, recursive_clear=result.recursive_clear | cleared
            )
        elif option in PROPAGATION:
            result = result._replace(propagation=(*result.propagation, PROPAGATION[option]))
        elif option in ("bind", "rbind"):
            result = result._replace(bind=True, recursive_bind=option == "rbind")
        elif option not in _IGNORED:
            result = result._replace(own=(*result.own, option))
    return result


def plan_root(rootfs: mounts.Mount, host: HostFacts, userns: str = "") -> tuple[Step, ...]:
    """The detached root, under the handle "root"."""
    steps = _idmapped(rootfs, ROOT, host, userns) if rootfs.mapped and userns else _make(rootfs, ROOT, host)
    if rootfs.type == "bind":  # a copy of a shared mount is shared, and pivot_root refuses that
        steps.append(Step(ops.SetMount(ROOT, 0, 0, mounts.MS_PRIVATE, 1), HOST))
    return tuple(steps)


def _make(mount: mounts.Mount, handle: str, host: HostFacts) -> list[Step]:
    if mount.type == "bind":
        return [Step(ops.Tree(handle, mount.source, 1), HOST)]
    if mount.type == "overlay" and not mount.upper and len(mount.lowers) == 1:
        return _only_lower(mount.lowers[0], handle, host)
    if mount.type == "overlay" and not host.kernel_at_least(6, 5):
        return [_legacy_overlay(mount, handle)]
    steps: list[Step] = []
    fs = f"{handle}'s {mount.type}"
    steps.append(Step(ops.FsOpen(fs, mount.type), HOST))
    if mount.type == "overlay":
        steps.append(Step(ops.FsString(fs, "source", "overlay"), HOST))
    for number, lower in enumerate(mount.lowers):
        if isinstance(lower, mounts.Mount):
            below = f"{handle} layer {number}"
            steps += _make(lower, below, host)
            steps.append(Step(ops.FsHandle(fs, "lowerdir+", below), HOST))
        else:
            steps.append(_directory(fs, f"{handle} layer {number}", "lowerdir+", lower, host))
    steps += [_directory(fs, f"{handle} {key}", key, path, host) for key, path in _writable(mount)]
    for option in mount.options:
        key, equals, value = option.partition("=")
        steps.append(Step(ops.FsString(fs, key, value) if equals else ops.FsFlag(fs, key), HOST))
    steps.append(Step(ops.FsMount(fs, handle, 0), HOST))
    return steps


def _idmapped(mount: mounts.Mount, handle: str, host: HostFacts, userns: str) -> list[Step]:
    """An overlay whose layers are seen with the ids of a user namespace, all by one copy of the mount they are on. The
    overlay takes such layers since Linux 5.19, and those of a mount that is attached nowhere since 6.15."""
    if not host.kernel_at_least(5, 19):
        message = "image layers can be shown to a user namespace since Linux 5.19 (idmapped overlay layers)"
        kernel = ".".join(map(str, host.kernel))
        raise WardianError(NOT_IMPLEMENTED, f"{message}; this is {kernel}", operation="plan", subject="user namespace")
    below, fs = "layers" if handle == ROOT else f"{handle}'s layers", f"{handle}'s overlay"
    steps = [
        Step(ops.Tree(below, mount.mapped, 0), HOST),
        Step(ops.SetMount(below, mounts.MOUNT_ATTR_IDMAP, 0, mounts.MS_PRIVATE, 0, userns), HOST),
    ]
    if not host.kernel_at_least(6, 15):
        return [*steps, _legacy_overlay(mount, handle, below)]
    steps += [Step(ops.FsOpen(fs, "overlay"), HOST), Step(ops.FsString(fs, "source", "overlay"), HOST)]
    for number, lower in enumerate(mount.lowers):
        assert isinstance(lower, str), "a layer is a directory"
        layer, path = f"{handle} layer {number}", posixpath.relpath(lower, mount.mapped)
        steps.append(Step(ops.OpenIn(layer, below, path, ops.O_PATH | ops.O_DIRECTORY), HOST))
        steps.append(Step(ops.FsHandle(fs, "lowerdir+", layer), HOST))
    steps += [_directory(fs, f"{handle} {key}", key, path, host) for key, path in _writable(mount)]
    return [*steps, Step(ops.FsMount(fs, handle, 0), HOST)]


def _writable(mount: mounts.Mount) -> list[tuple[str, str]]:
    return [(key, path) for key, path in (("upperdir", mount.upper), ("workdir", mount.work)) if path]


def _directory(fs: str, handle: str, key: str, path: str, host: HostFacts) -> Step:
    """By descriptor since 6.13: a path of any length. A string is at most 255 bytes (fsconfig(2))."""
    if host.kernel_at_least(6, 13):
        return Step(ops.FsPath(fs, handle, key, path), HOST)
    return Step(ops.FsString(fs, key, path), HOST)


def _only_lower(lower: "str | mounts.Mount", handle: str, host: HostFacts) -> list[Step]:
    """overlayfs wants two lower directories or an upper one: a lone one is a read-only copy of its mount."""
    made = _make(lower, handle, host) if isinstance(lower, mounts.Mount) else [Step(ops.Tree(handle, lower, 0), HOST)]
    return [*made, Step(ops.SetMount(handle, mounts.MOUNT_ATTR_RDONLY, 0, mounts.MS_PRIVATE, 0), HOST)]


def _legacy_overlay(mount: mounts.Mount, handle: str, over: str = "") -> Step:
    """mount(2) takes one page of options: paths relative to what all have in common."""
    paths = [lower for lower in mount.lowers if isinstance(lower, str)]
    if len(paths) != len(mount.lowers):
        raise WardianError(
            NOT_IMPLEMENTED, "an overlay over mounts needs Linux 6.5 or newer", operation="plan", subject="root"
        )
    every = [*paths, *(path for path in (mount.upper, mount.work) if path)]
    directory = posixpath.commonpath([posixpath.dirname(path) for path in every])
    short = [posixpath.relpath(path, directory).replace("\\", "\\\\").replace(":", "\\:") for path in paths]
    options = [f"lowerdir={':'.join(short)}"]
    for key, path in (("upperdir", mount.upper), ("workdir", mount.work)):
        if path:
            options.append(f"{key}={posixpath.relpath(path, directory)}")
    text = ",".join([*options, *mount.options])
    if len(text) > 4000:
        raise WardianError(INVALID, f"{len(paths)} layers are too many for mount(2)", operation="plan", subject="root")
    target, place = posixpath.relpath(every[-1], directory), mount.mapped if over else ""
    return Step(ops.LegacyOverlay(handle, directory, target, text, over, place), HOST)


def plan_mounts(
    spec: Spec, host: HostFacts, cgroup: str, new: frozenset[str], in_userns: bool = False, userns: str = ""
) -> MountSteps:
    """Everything of the spec that is attached below the root. `new` are the kinds of the container's own namespaces,
    `in_userns` says whether one of them, or one that was made for it, is a user namespace; `userns`: by which handle.

    A bind whose source is "@NAME:PATH" is of PATH in another mount namespace, whose descriptor the launching side
    brings as "@NAME".
    """
    host_steps: list[Step] = []
    child: list[Step] = []
    early = _early_proc(spec)
    for number, point in enumerate(spec.get("mounts") or ()):
        options = sort_options(point.get("options") or ())
        kind = point.get("type", "")
        _refuse_in_proc(point, options.bind or kind == "bind")
        if options.bind or kind == "bind":
            made, attached = _bind(point, options, f"mount {number}")
            host_steps += made
            child += attached
        elif kind in ("cgroup", "cgroup2"):
            made, attached = _cgroup_mount(point, options, host, cgroup, "cgroup" in new)
            host_steps += made
            child += attached
        elif point.get("lowers"):
            made, attached = _layers(point, options, f"mount {number}", host, userns)
            host_steps += made
            child += attached
        elif point.get("outside"):
            made, attached = _outside(point, options, f"mount {number}")
            host_steps += made
            child += attached
        elif point is early:
            child.append(Step(ops.Attach(PROC, ROOT, point["destination"], CREATE["DIRECTORY"]), CHILD))
        else:
            child += _filesystem(point, options)
    made, attached = _devices(spec, in_userns or not host.initial_user_namespace)
    brought = {_elsewhere(point)[0]: None for point in spec.get("mounts") or () if _elsewhere(point)[0]}
    return MountSteps((*host_steps, *made), (*child, *attached, *_covers(spec, host)), tuple(brought))


def plan_proc(spec: Spec) -> tuple[Step, ...]:
    """The container's /proc, attached nowhere yet, under the handle "proc": sysctls are written there. Nothing when it
    has none to write, or when its /proc is not one for that.

    Not the host's: all network namespaces whose sysctls were opened there are in one chain of its names (the kernel's
    proc_sys_compare), which each open walks, 1 ms with 500 containers.
    """
    point = _early_proc(spec)
    if point is None:
        return ()
    fs, attributes = f"{PROC}'s filesystem", sort_options(point.get("options") or ()).set
    made = ops.FsOpen(fs, "proc"), ops.FsString(fs, "source", point.get("source") or "proc")
    return tuple(Step(op, CHILD) for op in (*made, ops.FsMount(fs, PROC, attributes)))


def _early_proc(spec: Spec) -> MountPoint | None:
    if not (spec.get("linux") or {}).get("sysctl"):
        return None
    for point in spec.get("mounts") or ():
        if point.get("type") == "proc" and posixpath.normpath("/" + point["destination"].lstrip("/")) == "/proc":
            options = sort_options(point.get("options") or ())
            plain = not options.own and not options.bind and not options.set & mounts.MOUNT_ATTR_RDONLY
            return point if plain else None
    return None


def _elsewhere(point: MountPoint) -> tuple[str, str]:
    """The namespace's descriptor and the path of a source that is not this host's; or nothing twice."""
    source = point.get("source", "")
    name, _, path = source.partition(":") if source.startswith("@") else ("", "", "")
    return name, path


# what lxcfs and CRIU cover (runc allows these too); a mount on any other would show the container a false /proc
_PROC_FILES = frozenset(
    f"/proc/{name}"
    for name in "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid".split()
)


def _refuse_in_proc(point: MountPoint, bind: bool) -> None:
    """A process writes its own labels and limits below /proc: what pretends to be it would swallow them
    (CVE-2019-16884). Docker's words."""
    target = posixpath.normpath("/" + point["destination"].lstrip("/"))
    if target == "/proc":
        if point.get("type") == "proc" or (bind and posixpath.normpath(point.get("source", "")) == "/proc"):
            return
        reason = "it is not of type proc"
    elif target.startswith("/proc/") and target not in _PROC_FILES:
        reason = "it is inside /proc"
    else:
        return
    message = f'error mounting "{point.get("source", "")}" to rootfs at "{target}": "{target}" cannot be mounted'
    raise WardianError(INVALID, f"{message} because {reason}", operation="plan", subject=target)


def _filesystem(point: MountPoint, options: Options) -> list[Step]:
    kind, source = point.get("type", ""), point.get("source", "")
    if not kind or kind == "none":
        raise WardianError(INVALID, f"mount on {point['destination']} has no type", operation="plan")
    # memory filesystems have no source: its name only shows in mountinfo
    mount = ops.Mount(ROOT, point["destination"], kind, source or kind, options.own, options.set)
    return [Step(mount, CHILD)]


def _bind(point: MountPoint, options: Options, handle: str) -> tuple[list[Step], list[Step]]:
    source, target = point.get("source", ""), point["destination"]
    if not (_elsewhere(point)[1] or source).startswith("/"):
        raise WardianError(INVALID, f"bind source {source!r} is not an absolute path", operation="plan", subject=target)
    made = _source(point, handle, int(options.recursive_bind))
    propagation = options.propagation or ((mounts.MS_PRIVATE, 1),)
    made += [Step(ops.SetMount(handle, 0, 0, flags, deep), HOST) for flags, deep in propagation]
    if options.set or options.clear:
        made.append(Step(ops.SetMount(handle, options.set, options.clear, 0, 0), HOST))
    if options.recursive_set or options.recursive_clear:
        made.append(Step(ops.SetMount(handle, options.recursive_set, options.recursive_clear, 0, 1), HOST))
    return made, [Step(ops.Attach(handle, ROOT, target, CREATE["LIKE"]), CHILD)]


def _source(point: MountPoint, handle: str, recursive: int) -> list[Step]:
    """A detached copy of a bind's source."""
    namespace, path = _elsewhere(point)
    if namespace:
        return [Step(ops.TreeIn(handle, namespace, path), HOST)]
    source, subpath = point.get("source", ""), point.get("subpath", "")
    if not subpath:
        return [Step(ops.Tree(handle, source, recursive), HOST)]
    tree = f"{handle}'s source"
    return [
        Step(ops.Open(tree, source, ops.O_DIRECTORY), HOST),
        Step(ops.Subtree(handle, tree, subpath, recursive), HOST),
    ]


def _outside(point: MountPoint, options: Options, handle: str) -> tuple[list[Step], list[Step]]:
    """A file system that the host's side makes, attached nowhere, for the child to attach."""
    kind, fs = point.get("type", ""), f"{handle}'s {point.get('type', '')}"
    made = [Step(ops.FsOpen(fs, kind), HOST), Step(ops.FsString(fs, "source", point.get("source", "") or kind), HOST)]
    for option in options.own:
        key, equals, value = option.partition("=")
        made.append(Step(ops.FsString(fs, key, value) if equals else ops.FsFlag(fs, key), HOST))
    made.append(Step(ops.FsMount(fs, handle, options.set & ~options.clear), HOST))
    return made, [Step(ops.Attach(handle, ROOT, point["destination"], CREATE["LIKE"]), CHILD)]


def _layers(
    point: MountPoint, options: Options, handle: str, host: HostFacts, userns: str
) -> tuple[list[Step], list[Step]]:
    """An image's layers, or what is at `subpath` in them: an overlay that nothing is written to."""
    subpath, target = point.get("subpath", ""), point["destination"]
    mount = mounts.Mount("overlay", lowers=tuple(point["lowers"]), mapped=point.get("mapped", ""))
    if subpath and not host.kernel_at_least(6, 15):
        message = "a subpath of an image is a copy of a mount that is attached nowhere: since Linux 6.15"
        raise WardianError(NOT_IMPLEMENTED, message, operation="plan", subject=target)
    whole = f"{handle}'s image" if subpath else handle
    made = _idmapped(mount, whole, host, userns) if mount.mapped and userns else _make(mount, whole, host)
    if subpath:
        made.append(Step(ops.Subtree(handle, whole, subpath, 0), HOST))
    made.append(Step(ops.SetMount(handle, options.set, options.clear, mounts.MS_PRIVATE, 0), HOST))
    return made, [Step(ops.Attach(handle, ROOT, target, CREATE["LIKE"]), CHILD)]


def _cgroup_mount(
    point: MountPoint, options: Options, host: HostFacts, cgroup: str, own_namespace: bool
) -> tuple[list[Step], list[Step]]:
    """v2: the hierarchy. v1: a tmpfs with a mount of every hierarchy: in an own namespace new ones, else binds of the
    container's groups (the rest of the host's is not shown)."""
    target = point["destination"]
    if host.cgroup_layout == V2:
        if own_namespace:
            return [], [Step(ops.Mount(ROOT, target, "cgroup2", "cgroup", (), options.set), CHILD)]
        return _bind_group("groups", f"{host.cgroup2}/{cgroup}".rstrip("/"), target, options.set)
    made: list[Step] = []
    base = options.set & ~mounts.MOUNT_ATTR_RDONLY
    child: list[Step] = [
        Step(ops.FsOpen("groups' tmpfs", "tmpfs"), CHILD),
        Step(ops.FsString("groups' tmpfs", "mode", "755"), CHILD),
        Step(ops.FsMount("groups' tmpfs", "groups", base), CHILD),
        Step(ops.Attach("groups", ROOT, target, CREATE["DIRECTORY"]), CHILD),
    ]
    for controllers, mount in host.cgroup_mounts:
        name = posixpath.basename(mount)
        where = f"{target}/{name}"
        if own_namespace:
            fields = tuple(controllers.split(","))
            child.append(Step(ops.Mount(ROOT, where, "cgroup", "cgroup", fields, options.set), CHILD))
        else:
            bound, attached = _bind_group(
                f"groups of {controllers}", f"{mount}/{cgroup}".rstrip("/"), where, options.set
            )
            made += bound
            child += attached
        child += [
            Step(ops.Symlink(ROOT, f"{target}/{alias}", name), CHILD)
            for alias in controllers.split(",")
            if "," in controllers and alias != name
        ]
    if options.set & mounts.MOUNT_ATTR_RDONLY:
        child.append(Step(ops.SetMount("groups", mounts.MOUNT_ATTR_RDONLY, 0, 0, 0), CHILD))
    return made, child


def _bind_group(handle: str, path: str, target: str, attributes: int) -> tuple[list[Step], list[Step]]:
    private, attached = _bound_group_steps(handle, target, attributes)
    return [Step(ops.Tree(handle, path, 0), HOST), private], [attached]


@functools.lru_cache
def _bound_group_steps(handle: str, target: str, attributes: int) -> tuple[Step, Step]:
    """Those of a bound group that are every container's."""
    private = Step(ops.SetMount(handle, attributes, 0, mounts.MS_PRIVATE, 0), HOST)
    return private, Step(ops.Attach(handle, ROOT, target, CREATE["DIRECTORY"]), CHILD)


def _devices(spec: Spec, in_userns: bool) -> tuple[list[Step], list[Step]]:
    """The default devices and those of the spec, into a /dev of the container's own. A bound /dev is the user's.

    mknod(2) of a device needs CAP_MKNOD in the initial user namespace: elsewhere the host's nodes are bound.
    """
    kinds = {point["destination"]: point for point in spec.get("mounts") or ()}
    if "/dev" not in kinds or "bind" in {kinds["/dev"].get("type"), *(kinds["/dev"].get("options") or ())}:
        return [], []
    more = (spec.get("linux") or {}).get("devices") or ()
    if not more and not in_userns:
        return [], list(_own_nodes())
    by_path = {device["path"]: device for device in (*DEVICES, *more)}
    made: list[Step] = []
    child: list[Step] = []
    for path, device in by_path.items():
        if in_userns:
            made.append(Step(ops.Tree(f"device {path}", device.get("source") or path, 0), HOST))
            child.append(Step(ops.Attach(f"device {path}", ROOT, path, CREATE["FILE"]), CHILD))
        else:
            child.append(Step(_node(device), CHILD))
    return made, child + _links()


@functools.cache
def _own_nodes() -> tuple[Step, ...]:
    """What nearly every container's /dev gets, and nothing else."""
    return (*(Step(_node(device), CHILD) for device in DEVICES), *_links())


def _links() -> list[Step]:
    return [Step(ops.Symlink(ROOT, path, target), CHILD) for path, target in LINKS]


def _node(device: Device) -> ops.Mknod:
    kind = _DEVICE_TYPES.get(device["type"])
    if kind is None:
        raise WardianError(INVALID, f"device {device['path']} has unknown type {device['type']!r}", operation="plan")
    major, minor = device.get("major", 0), device.get("minor", 0)
    number = (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32
    mode = kind | device.get("fileMode", 0o666) & 0o7777
    return ops.Mknod(ROOT, device["path"], mode, number, device.get("uid", 0), device.get("gid", 0))


def _covers(spec: Spec, host: HostFacts) -> tuple[Step, ...]:
    """Masked and read-only paths. Docker masks each CPU's thermal_throttle: those are facts of the host."""
    linux = spec.get("linux") or {}
    return _cover_steps(tuple(linux.get("maskedPaths") or ()), tuple(linux.get("readonlyPaths") or ()), host.devices)


@functools.lru_cache
def _cover_steps(masked: tuple[str, ...], read_only: tuple[str, ...], devices: tuple[str, ...]) -> tuple[Step, ...]:
    if masked:
        masked += tuple(path for path in devices if path not in masked)
    steps = [Step(ops.ReadOnly(ROOT, path), CHILD) for path in read_only]
    return (*steps, *(Step(ops.Mask(ROOT, path), CHILD) for path in masked))
