"""The plan's process: namespaces, kernel settings of its own, identity, privileges, and exec."""

from typing import NamedTuple

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel import capabilities, namespaces, seccomp
from wardian.runtime import ops
from wardian.runtime.hostfacts import HostFacts
from wardian.runtime.inputs import ExecTarget, Placement
from wardian.runtime.ops import Step
from wardian.runtime.protocol import CHILD, HOST, PARENT
from wardian.runtime.rootfacts import RootFacts
from wardian.runtime.spec import CapabilitySets, IdMapping, Process, Spec

_MESSAGE_QUEUE_SYSCTLS = ("fs.mqueue.",)
_IPC_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced", "kernel.msg_next_id", "kernel.sem_next_id", "kernel.shm_next_id",
)  # fmt: skip
_UTS_SYSCTLS = ("kernel.domainname", "kernel.hostname")
_OPEN_FILES = ops.RLIMITS.index("NOFILE")


class NamespaceSteps(NamedTuple):
    """What is made anew by clone, and the steps that join the others. `user` is the handle of a user namespace that
    was made before: `first` opens it, and who clones is in it, so that the container joins it by no step of its own."""

    new: frozenset[str]
    flags: int
    first: tuple[Step, ...]
    host: tuple[Step, ...]
    child: tuple[Step, ...]
    descriptors: tuple[str, ...]
    user: str = ""

    @property
    def in_userns(self) -> bool:
        return bool(self.user) or "user" in self.new


def plan_namespaces(spec: Spec, placement: Placement) -> NamespaceSteps:
    """clone3 makes all but the cgroup namespace, which must see the group that the child is in: that is unshared later.

    The pid namespace is joined by the launcher (setns(2): it holds for children), the others by the child.
    """
    joins = dict(placement.joins)
    new: set[str] = set()
    first: list[Step] = []
    host: list[Step] = []
    child: list[Step] = []
    user = ""
    slots: list[str] = []
    flags = 0
    for row in (spec.get("linux") or {}).get("namespaces") or ():
        kind, path = row["type"], row.get("path", "")
        if kind not in namespaces.FLAGS:
            raise WardianError(INVALID, f"unknown namespace type {kind!r}", operation="plan")
        if kind == "time":
            raise WardianError(NOT_IMPLEMENTED, "time namespaces are not built yet", operation="plan", subject="time")
        flag = namespaces.FLAGS[kind]
        if not path and kind not in joins:
            new.add(kind)
            flags |= flag if kind != "cgroup" else 0
            continue
        handle = path if path.startswith("@") else f"{kind} namespace"
        opened = first if kind == "user" else host
        if path.startswith("@"):
            slots.append(path)
        elif path:
            opened.append(Step(ops.Open(handle, path, 0), HOST))
        else:
            opened.append(Step(ops.Pidfd(handle, joins[kind].pid, joins[kind].start_time), HOST))
        if kind == "user":
            user = handle
            continue
        steps = host if kind == "pid" else child
        steps.append(Step(ops.Join(handle, flag), HOST if kind == "pid" else CHILD))
    if "mount" not in new:
        raise WardianError(NOT_IMPLEMENTED, "a container without a mount namespace of its own is not built yet")
    return NamespaceSteps(frozenset(new), flags, tuple(first), tuple(host), tuple(child), tuple(slots), user)


def plan_id_maps(spec: Spec, new: frozenset[str]) -> tuple[Step, ...]:
    """The launcher writes the maps of a new user namespace, and the child becomes its root."""
    if "user" not in new:
        return ()
    linux = spec.get("linux") or {}
    steps = []
    for key, file in (("uidMappings", "uid_map"), ("gidMappings", "gid_map")):
        rows: list[IdMapping] = linux.get(key) or []  # type: ignore[assignment]
        if not rows:
            raise WardianError(INVALID, f"a user namespace needs linux.{key}", operation="plan")
        text = "".join(f"{row['containerID']} {row['hostID']} {row['size']}\n" for row in rows)
        steps.append(Step(ops.IdMap(file, text.encode()), PARENT))
    return (*steps, Step(ops.User(0, 0, ()), CHILD))


def plan_stdio_owner(uids: tuple[tuple[int, int, int], ...], uid: int, terminal: bool) -> tuple[Step, ...]:
    """Who in a user namespace opens /dev/stdout anew opens a pipe that the launcher made: it is given to the user."""
    outside = next((host + uid - first for first, host, size in uids if first <= uid < first + size), None)
    if outside is None or terminal:
        return ()
    return (Step(ops.StdioOwner(outside), HOST),)


def plan_settings(spec: Spec, new: frozenset[str], joined: frozenset[str], proc: str = "") -> tuple[Step, ...]:
    """Names, lo, sysctls: by the child in its namespaces, before the root is moved in. `proc`: the handle of the
    container's own /proc, "" for the host's."""
    steps: list[Step] = []
    if "network" in new:
        steps.append(Step(ops.Loopback(), CHILD))
    if "uts" in new and spec.get("hostname"):
        steps.append(Step(ops.Hostname(spec["hostname"]), CHILD))
    if "uts" in new and spec.get("domainname"):
        steps.append(Step(ops.Domainname(spec["domainname"]), CHILD))
    for name, value in ((spec.get("linux") or {}).get("sysctl") or {}).items():
        steps.append(_sysctl(name, value, new | joined, proc))
    return tuple(steps)


def _sysctl(name: str, value: str, own: frozenset[str], proc: str) -> Step:
    """Only what belongs to a namespace of the container's; a slash within a name stands for a dot (sysctl(8))."""
    dotted = name.replace("/", ".") if "." not in name.partition("/")[0] else name
    kind = ""
    if dotted.startswith("net."):
        kind = "network"
    elif dotted in _IPC_SYSCTLS or dotted.startswith(_MESSAGE_QUEUE_SYSCTLS):
        kind = "ipc"
    elif dotted in _UTS_SYSCTLS:
        kind = "uts"
    if kind not in own:
        why = f"the container has no {kind} namespace of its own" if kind else "it is the whole host's"
        raise WardianError(INVALID, f"sysctl {name!r} is not allowed: {why}", operation="plan", subject=name)
    parts = name.replace(".", "\0").replace("/", ".").replace("\0", "/") if dotted == name else name
    if ".." in parts.split("/"):
        raise WardianError(INVALID, f"sysctl {name!r} is no name", operation="plan", subject=name)
    data = value.encode()
    return Step(ops.WriteIn(proc, f"sys/{parts}", data) if proc else ops.Write(f"/proc/sys/{parts}", data), CHILD)


def plan_oom_score(process: Process, in_userns: bool) -> tuple[Step, ...]:
    """In a user namespace /proc/self belongs to the real root: its parent writes. Lowering needs CAP_SYS_RESOURCE, and
    fails without it: a container that was to be spared and is not would be found out by the OOM killer."""
    value = process.get("oomScoreAdj")
    if not value:
        return ()
    data = str(value).encode()
    if in_userns:
        return (Step(ops.IdMap("oom_score_adj", data), PARENT),)
    return (Step(ops.Write("/proc/self/oom_score_adj", data), CHILD),)


def plan_rlimits(
    process: Process, host: HostFacts, in_userns: bool, open_files: tuple[int, int]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Steps and warnings: without CAP_SYS_RESOURCE no hard limit can be raised, and the step will fail. In a user
    namespace nobody has it (getrlimit(2)): there the launcher raises its child's.

    Open files are limited in any case, to `open_files` when nothing is asked: the launcher has the engine's own limit,
    which is a high one.
    """
    steps: list[Step] = []
    warnings: list[str] = []
    limited: set[int] = set()

    def limit(number: int, soft: int, hard: int, may_fail: bool = False) -> None:
        by_parent = in_userns and hard > host.rlimits[number][1]
        steps.append(Step(ops.Rlimit(number, soft, hard), PARENT if by_parent else CHILD, may_fail=may_fail))

    may_raise = bool(host.bounding & capabilities.CAP_SYS_RESOURCE)
    for row in process.get("rlimits") or ():
        name = row["type"].removeprefix("RLIMIT_")
        if name not in ops.RLIMITS:
            raise WardianError(INVALID, f"unknown limit {row['type']!r}", operation="plan", subject=row["type"])
        number = ops.RLIMITS.index(name)
        soft, hard = row["soft"] & ops.INFINITY, row["hard"] & ops.INFINITY
        have = host.rlimits[number][1]
        if hard > have and not may_raise:
            warnings.append(
                f"limit {name}: hard {hard} is above the host's {have} and cannot be raised without SYS_RESOURCE"
            )
        limit(number, soft, hard)
        limited.add(number)
    if _OPEN_FILES not in limited:
        limit(_OPEN_FILES, *open_files, may_fail=True)  # ours may have been lowered since: prlimit(1)
    return tuple(steps), tuple(warnings)


def plan_identity(
    process: Process, host: HostFacts, root: RootFacts, profile: dict[str, object] | None, *, init: bool = False
) -> tuple[Step, ...]:
    """From the last step as root to exec. An init comes right before it, and has what the command has.

    A filter without no_new_privs needs CAP_SYS_ADMIN and goes in before the capabilities go; with it, last of all, so
    that the profile need not allow what the launcher does.
    """
    sets = _capability_sets(process.get("capabilities"), host)
    filter_steps: tuple[Step, ...] = ()
    if profile:
        flags, program = seccomp.compile_filter(profile, host.architecture)
        filter_steps = (Step(ops.Seccomp(flags, program), CHILD),)
    quiet = bool(process.get("noNewPrivileges"))
    user = process.get("user") or {}
    steps = [
        Step(ops.Chdir(process.get("cwd") or "/"), CHILD),
        Step(ops.Umask(user.get("umask", 0o022)), CHILD),
        Step(ops.Bounding(sets["bounding"]), CHILD),
    ]
    if not quiet:
        steps += filter_steps
    steps.append(Step(ops.User(root.uid, root.gid, root.groups), CHILD))
    steps.append(_capabilities(sets, root.uid))
    if quiet:
        steps += [Step(ops.NoNewPrivileges(), CHILD), *filter_steps]
    arguments = tuple(process.get("args") or ())
    if not arguments:
        raise WardianError(INVALID, "the process has no arguments", operation="plan", subject="process.args")
    if init:
        steps.append(Step(ops.Init(), CHILD))
    return (*steps, Step(ops.Exec(root.command, arguments, environment_of(process, root)), CHILD))


def _capabilities(sets: dict[str, int], uid: int) -> Step:
    """Ambient ones must be permitted and inheritable (capabilities(7)). A user that is not root has them only so."""
    return Step(ops.Capabilities(sets["effective"], sets["permitted"], sets["inheritable"], sets["ambient"]), CHILD)


def _capability_sets(wanted: CapabilitySets | None, host: HostFacts) -> dict[str, int]:
    """All five, without what the launcher's own bounding set lacks: nobody can be given that."""
    result: dict[str, int] = {}
    for name in ("bounding", "effective", "permitted", "inheritable", "ambient"):
        try:
            names: list[str] = (wanted or {}).get(name) or []  # type: ignore[assignment]
            result[name] = capabilities.mask(names) & host.bounding
        except ValueError as error:
            raise WardianError(INVALID, str(error), operation="plan", subject="process.capabilities") from None
    result["effective"] &= result["permitted"]
    result["ambient"] &= result["permitted"] & result["inheritable"]
    return result


def environment_of(process: Process, root: RootFacts) -> tuple[str, ...]:
    """HOME comes from the root's passwd file unless it is said."""
    env, home = process.get("env") or [], root.home
    return tuple(env) if not home or any(item.startswith("HOME=") for item in env) else (*env, f"HOME={home}")


def plan_label(process: Process, host: HostFacts) -> tuple[Step, ...]:
    """The AppArmor profile or SELinux label for the next exec (apparmor(7), /proc/PID/attr)."""
    profile = process.get("apparmorProfile", "")
    if profile and not host.apparmor:
        raise WardianError(INVALID, f"AppArmor profile {profile!r}: this host has no AppArmor", operation="plan")
    if process.get("selinuxLabel"):
        raise WardianError(
            NOT_IMPLEMENTED, "SELinux labels are not built yet", operation="plan", subject="selinuxLabel"
        )
    if not profile:
        return ()
    return (Step(ops.Write("/proc/self/attr/apparmor/exec", f"exec {profile}".encode()), CHILD),)


def plan_joins(target: ExecTarget) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """All namespaces of a process at once, by its pidfd: (of the launcher, of the child)."""
    flags = sum(namespaces.FLAGS[kind] for kind in ("mount", "network", "uts", "ipc", "cgroup"))
    flags |= namespaces.CLONE_NEWUSER if target.user_namespace else 0
    host = (
        Step(ops.Pidfd("container", target.pid, target.start_time), HOST),
        Step(ops.Join("container", namespaces.CLONE_NEWPID), HOST),
    )
    return host, (Step(ops.Join("container", flags), CHILD),)
