"""From an OCI runtime spec to a plan: pure functions. They read and write nothing and need no privilege.

The order is the kernel's, not taste:

    HOST    the launcher's own group · the root, detached · groups and limits · binds · stdio · clone
    PARENT  maps of a new user namespace
    CHILD   group · joined namespaces · cgroup namespace · /proc, detached · names, sysctls · root attached, mounts,
            devices, masks (a user namespace may mount proc and sysfs only while the host's are visible) · pivot
            · limits · stdio · bounding set · filter · ids · capabilities · exec
"""

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel import mounts, namespaces
from wardian.kernel.mounts import Mount
from wardian.runtime import ops
from wardian.runtime.hostfacts import HostFacts
from wardian.runtime.inputs import ExecTarget, Placement, Supervision
from wardian.runtime.ops import Step
from wardian.runtime.plan import Plan
from wardian.runtime.plan_cgroups import CgroupSteps, plan_cgroups, plan_enter
from wardian.runtime.plan_mounts import PROC, ROOT, plan_mounts, plan_proc, plan_root
from wardian.runtime.plan_process import (
    plan_id_maps,
    plan_identity,
    plan_joins,
    plan_label,
    plan_namespaces,
    plan_oom_score,
    plan_rlimits,
    plan_settings,
    plan_stdio_owner,
)
from wardian.runtime.protocol import CHILD, HOST, SUPERVISE_FLAGS
from wardian.runtime.rootfacts import RootFacts
from wardian.runtime.spec import Linux, Process, Spec

RUN_DIRECTORY = "run directory"  # a handle


def plan(
    spec: Spec, host: HostFacts, root: RootFacts, rootfs: Mount, supervision: Supervision, placement: Placement
) -> Plan:
    """All steps that start the container of `spec`. Raises WardianError for what cannot be on this host."""
    _refuse_unbuilt(spec)
    process = spec.get("process") or {}
    linux = spec.get("linux") or {}
    spaces = plan_namespaces(spec, placement)
    groups = plan_cgroups(linux.get("resources") or {}, host, placement)
    layout = plan_mounts(spec, host, placement.cgroup, spaces.new, spaces.in_userns, spaces.user)
    limits, warnings = plan_rlimits(process, host, spaces.in_userns, host.open_files)
    joined = frozenset(row["type"] for row in linux.get("namespaces") or ()) - spaces.new
    shared_pid = "pid" not in spaces.new
    proc = plan_proc(spec)
    steps = [
        *groups.host,
        *spaces.first,
        *plan_root(rootfs, host, spaces.user),
        *layout.host,
        *spaces.host,
        *_supervise(supervision, groups, ROOT, shared_pid),
        *plan_stdio_owner(_ranges(linux) if spaces.user else (), root.uid, supervision.terminal),
        Step(ops.Clone(spaces.flags, groups.clone_into, spaces.user), HOST),
        *plan_id_maps(spec, spaces.new),
        *groups.child,
        *spaces.child,
        *([Step(ops.Unshare(namespaces.CLONE_NEWCGROUP), CHILD)] if "cgroup" in spaces.new else ()),
        *proc,
        *plan_settings(spec, spaces.new, joined, PROC if proc else ""),
        *plan_oom_score(process, spaces.in_userns),
        *plan_label(process, host),
        Step(ops.Propagation(mounts.MS_REC | _propagation(linux.get("rootfsPropagation", ""))), CHILD),
        Step(ops.AttachRoot(ROOT), CHILD),
        *layout.child,
        # root's, as Docker and runc make it: who may write into it is for the image to say
        *([] if root.cwd_exists else [Step(ops.Mkdir(ROOT, process.get("cwd") or "/", 0o755, 0, 0), CHILD)]),
        *_stdio(supervision, ROOT),
        *_read_only_root(spec),
        Step(ops.Pivot(ROOT), CHILD),
        *limits,
        *plan_identity(process, host, root, linux.get("seccomp"), init=supervision.init),
    ]
    return Plan(tuple(steps), (*spaces.descriptors, *layout.descriptors, *_brought(supervision)), warnings)


def plan_exec(process: Process, host: HostFacts, root: RootFacts, target: ExecTarget, supervision: Supervision) -> Plan:
    """All steps that start a further process in the container of `target`."""
    groups = plan_enter(host, target.cgroup, target.supervisor_cgroup)
    join_host, join_child = plan_joins(target)
    limits, warnings = plan_rlimits(process, host, target.user_namespace, target.open_files or host.open_files)
    steps = [
        *groups.host,
        *join_host,
        *_supervise(supervision, CgroupSteps(), "", shared_pid=False),
        *plan_stdio_owner(target.uids, root.uid, supervision.terminal),
        Step(ops.Clone(0, groups.clone_into), HOST),
        *groups.child,
        *plan_oom_score(process, False),
        *plan_label(process, host),
        *join_child,
        *_stdio(supervision, ""),
        *limits,
        *plan_identity(process, host, root, target.seccomp),
    ]
    return Plan(tuple(steps), _brought(supervision), warnings)


def _brought(supervision: Supervision) -> tuple[str, ...]:
    """The supervisor's socket, when it was made before."""
    return (supervision.listener,) if supervision.listener else ()


def _ranges(linux: Linux) -> tuple[tuple[int, int, int], ...]:
    return tuple((row["containerID"], row["hostID"], row["size"]) for row in linux.get("uidMappings") or ())


def _supervise(supervision: Supervision, groups: CgroupSteps, root: str, shared_pid: bool) -> list[Step]:
    flags = 0
    for name, wanted in (
        ("TTY", supervision.terminal),
        ("OPEN_STDIN", supervision.open_stdin),
        ("STDIN_ONCE", supervision.stdin_once),
        ("SHARED_PID", shared_pid),
        ("TELLS_FIRST", supervision.tells_first),
        ("STREAMS_FIRST", supervision.streams_first),
    ):
        flags |= SUPERVISE_FLAGS[name] if wanted else 0
    steps = [
        Step(ops.Open(handle, path, ops.O_DIRECTORY), HOST)
        for handle, path in ((RUN_DIRECTORY, supervision.run_dir), ("log directory", supervision.log_dir))
        if path
    ]
    op = ops.Supervise(
        flags,
        RUN_DIRECTORY if supervision.run_dir else "",
        "log directory" if supervision.log_dir else "",
        supervision.log_max_size,
        supervision.log_max_files,
        groups.handles,
        root,
        supervision.container_id,
        supervision.log_name,
    )
    if supervision.listener:
        steps.append(Step(ops.Listener(supervision.listener), HOST))
    limit = [Step(ops.Timeout(supervision.timeout), HOST)] if supervision.timeout else []
    attributes = supervision.log_attributes
    marks = [Step(ops.LogAttributes(f',"attrs":{attributes}'), HOST)] if attributes and supervision.log_dir else []
    return [*steps, Step(op, HOST), *marks, *limit]


def _stdio(supervision: Supervision, root: str) -> list[Step]:
    """A terminal is of the container's devpts, so it is opened once that is mounted; it brings a session of its own."""
    if supervision.terminal:
        return [Step(ops.Console(root, *supervision.console_size), CHILD)]
    return [Step(ops.Session(), CHILD), Step(ops.Stdio(), CHILD)]


def _propagation(name: str) -> int:
    """What the container's mount namespace gets from the host's, unless the spec says otherwise: unmounts reach it."""
    known = {"": mounts.MS_SLAVE, "slave": mounts.MS_SLAVE, "rslave": mounts.MS_SLAVE}
    known |= {"private": mounts.MS_PRIVATE, "rprivate": mounts.MS_PRIVATE}
    if name not in known:
        raise WardianError(
            NOT_IMPLEMENTED,
            f"rootfsPropagation {name!r} is not built yet",
            operation="plan",
            subject="rootfsPropagation",
        )
    return known[name]


def _read_only_root(spec: Spec) -> list[Step]:
    if not (spec.get("root") or {}).get("readonly"):
        return []
    return [Step(ops.SetMount(ROOT, mounts.MOUNT_ATTR_RDONLY, 0, 0, 0), CHILD)]


def _refuse_unbuilt(spec: Spec) -> None:
    """What the plan would silently leave out is refused by name."""
    linux, process = spec.get("linux") or {}, spec.get("process") or {}
    unbuilt = {
        "hooks": any((spec.get("hooks") or {}).values()),
        "linux.intelRdt": linux.get("intelRdt"),
        "linux.personality": linux.get("personality"),
        "linux.timeOffsets": linux.get("timeOffsets"),
        "linux.mountLabel": linux.get("mountLabel"),
        "process.ioPriority": process.get("ioPriority"),
        "process.scheduler": process.get("scheduler"),
        "process.execCPUAffinity": process.get("execCPUAffinity"),
        "mounts.uidMappings": any(point.get("uidMappings") for point in spec.get("mounts") or ()),
    }
    for name, present in unbuilt.items():
        if present:
            raise WardianError(
                NOT_IMPLEMENTED, f"{name} of the runtime spec is not built yet", operation="plan", subject=name
            )
    for point in spec.get("mounts") or ():
        if not point.get("destination", "").startswith("/"):
            raise WardianError(
                INVALID, f"mount destination {point.get('destination')!r} is not absolute", operation="plan"
            )
