"""The plan's control groups: made, limited, opened and entered; version 1, version 2, and both side by side.

v1: every hierarchy gets a group; the child enters by writing `0` to each `tasks` (opened before clone): no RCU wait.
v2: CLONE_INTO_CGROUP. Hybrid hosts have the controllers in v1 and a bare v2 hierarchy; its group serves cgroup.kill.
"""

import functools
import re
from typing import Any, NamedTuple

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel import cgroups
from wardian.runtime import ops
from wardian.runtime.hostfacts import V2, HostFacts
from wardian.runtime.inputs import Placement
from wardian.runtime.ops import Step
from wardian.runtime.protocol import CHILD, HOST

_ALWAYS = frozenset({"cpu", "cpuset", "io", "memory", "pids"})  # for the counters, whatever is limited
_FILE = re.compile(r"[a-z_]+(\.[A-Za-z0-9_]+)+")
_CORE_LIMITS = frozenset({"cgroup.max.depth", "cgroup.max.descendants"})  # the other cgroup.* move, kill and freeze


def group_path(text: object) -> str:
    """The group that an OCI `linux.cgroupsPath` names, relative to each hierarchy's root. Raises WardianError.

    Names between slashes, with or without one at the front (config-linux.md, cgroupsPath). A `..` would leave the
    hierarchy. `SLICE:PREFIX:NAME` asks systemd for the group (runc's systemd driver): taken as a path it would make a
    group of that name where nobody looks for it.
    """
    if not isinstance(text, str):
        raise _not_a_group(text, "is no text")
    if not text.startswith("/") and text.count(":") == 2:
        raise WardianError(
            NOT_IMPLEMENTED, f"cgroupsPath {text!r} is systemd's form: give a path", operation="plan", subject=text
        )
    path = text.strip("/")
    names = path.split("/")
    if not path or "." in names or ".." in names or "" in names:
        raise _not_a_group(text, "has to be names between slashes, none of them . or ..")
    if "\0" in path or "\n" in path:
        raise _not_a_group(text, "has a character that no group's name may have")
    return path


def _not_a_group(text: object, why: str) -> WardianError:
    return WardianError(INVALID, f"cgroupsPath {text!r} {why}", operation="plan", subject=str(text))


class CgroupSteps(NamedTuple):
    """Steps of the launcher, steps of the child, the handle to clone into, and the groups' handles, made ones first."""

    host: tuple[Step, ...] = ()
    child: tuple[Step, ...] = ()
    clone_into: str = ""
    handles: tuple[str, ...] = ()


def plan_cgroups(resources: dict[str, Any], host: HostFacts, placement: Placement) -> CgroupSteps:
    """All steps for the group of `placement`, limited by the spec's linux.resources. Raises WardianError."""
    supervisor = _supervisor_steps(host, placement.supervisor_cgroup)
    if not placement.cgroup:
        return CgroupSteps(host=supervisor)
    placement = placement._replace(cgroup=group_path(placement.cgroup))
    if host.cgroup_layout == V2:
        return _version2(resources, host, placement, supervisor)
    steps = list(supervisor)
    child: list[Step] = []
    handles: list[str] = []
    for controllers, mount in host.cgroup_mounts:
        group = _group_steps(controllers)
        steps.append(Step(ops.CgroupMake(group.handle, f"{mount}/{placement.cgroup}", 0), HOST))
        steps += group.inherit
        steps += [_write(group.handle, setting) for setting in cgroups.v1_settings(resources, group.controllers)]
        steps.append(group.tasks)
        child.append(group.enter)
        handles.append(group.handle)
    clone_into = ""
    if host.cgroup2:
        clone_into = "group unified"
        steps.append(Step(ops.CgroupMake(clone_into, f"{host.cgroup2}/{placement.cgroup}", 0), HOST))
        handles.append(clone_into)
    _check_version1(resources, host)
    return CgroupSteps(tuple(steps), tuple(child), clone_into, tuple(handles))


class _GroupSteps(NamedTuple):
    """Of one hierarchy: its controllers, its group's handle, and the steps that are every container's."""

    controllers: frozenset[str]
    handle: str
    inherit: tuple[Step, ...]
    tasks: Step
    enter: Step


@functools.cache
def _group_steps(controllers: str) -> _GroupSteps:
    names, handle, tasks = frozenset(controllers.split(",")), f"group {controllers}", f"tasks {controllers}"
    return _GroupSteps(
        names,
        handle,
        _inherit(handle) if "cpuset" in names else (),
        Step(ops.CgroupTasks(tasks, handle, "tasks"), HOST),
        Step(ops.CgroupEnter(tasks), CHILD),
    )


def _inherit(handle: str) -> tuple[Step, ...]:
    """A new group of cpuset's has no processors and no memory, and nothing can enter it."""
    return tuple(Step(ops.CgroupInherit(handle, f"cpuset.{file}"), HOST) for file in ("cpus", "mems"))


def plan_enter(host: HostFacts, cgroup: str, supervisor_cgroup: str) -> CgroupSteps:
    """Steps by which a further process enters a group that exists."""
    steps = list(_supervisor_steps(host, supervisor_cgroup))
    child: list[Step] = []
    if not cgroup:
        return CgroupSteps(host=tuple(steps))
    cgroup = group_path(cgroup)
    if host.cgroup_layout != V2:
        for controllers, mount in host.cgroup_mounts:
            tasks = f"tasks {controllers}"
            steps.append(Step(ops.Open(tasks, f"{mount}/{cgroup}/tasks", ops.O_WRONLY), HOST))
            child.append(_group_steps(controllers).enter)
    clone_into = ""
    if host.cgroup2:
        clone_into = "group unified"
        steps.append(Step(ops.Open(clone_into, f"{host.cgroup2}/{cgroup}", ops.O_DIRECTORY), HOST))
    return CgroupSteps(tuple(steps), tuple(child), clone_into)


def _supervisor_steps(host: HostFacts, path: str) -> tuple[Step, ...]:
    """The launcher leaves the engine's group, so that the end of that group is not the end of the containers. Where the
    engine is in the root of a v1 hierarchy there is nothing to leave: nobody ends or limits that.

    Beside v1 the v2 hierarchy holds no controllers, and to enter it waits for an RCU grace period. It is left alone
    but where the engine has a group there, by which systemd kills: a unit of a host with both.
    """
    if not path:
        return ()
    path = group_path(path)
    steps: list[Step] = []
    mounts: tuple[tuple[str, str], ...] = ()
    if host.cgroup_layout != V2:
        mounts = tuple(row for row in host.cgroup_mounts if row[0] not in host.in_root_of)
    if host.cgroup2 and (host.cgroup_layout == V2 or host.own_group2 not in ("", "/")):
        mounts += (("unified", host.cgroup2),)
    for controllers, mount in mounts:
        handle, tasks = f"supervisors {controllers}", f"supervisors' tasks {controllers}"
        steps.append(Step(ops.CgroupMake(handle, f"{mount}/{path}", 1), HOST))
        if "cpuset" in controllers.split(","):
            steps += _inherit(handle)
        file = "cgroup.procs" if controllers == "unified" else "tasks"
        steps.append(Step(ops.CgroupTasks(tasks, handle, file), HOST))
        steps.append(Step(ops.CgroupEnter(tasks), HOST))
    return tuple(steps)


def _version2(
    resources: dict[str, Any], host: HostFacts, placement: Placement, supervisor: tuple[Step, ...]
) -> CgroupSteps:
    """Controllers are given to each group above (cgroup v2, top-down constraint) before the limits can be written."""
    settings = cgroups.v2_settings(resources)
    _check_version2(resources, settings, host)
    steps = list(supervisor)
    needed = _ALWAYS | {setting.file.partition(".")[0] for setting in settings}
    wanted = sorted(needed & set(host.cgroup2_controllers))
    enable = " ".join(f"+{name}" for name in wanted).encode()
    above = [host.cgroup2]
    for name in placement.cgroup.split("/")[:-1]:
        above.append(f"{above[-1]}/{name}")
    for path in above:
        handle = f"group above {path}"
        steps.append(Step(ops.CgroupMake(handle, path, 1), HOST))
        steps.append(Step(ops.CgroupWrite(handle, "cgroup.subtree_control", enable), HOST))
    handle = "group unified"
    steps.append(Step(ops.CgroupMake(handle, f"{host.cgroup2}/{placement.cgroup}", 0), HOST))
    steps += [_write(handle, setting) for setting in settings]
    program = cgroups.device_program(resources.get("devices") or [])
    if program:
        steps.append(Step(ops.CgroupDevices(handle, program), HOST))
    return CgroupSteps(tuple(steps), (), handle, (handle,))


def _write(handle: str, setting: cgroups.Setting) -> Step:
    return Step(ops.CgroupWrite(handle, setting.file, setting.value.encode()), HOST, setting.may_fail)


def _check_version1(resources: dict[str, Any], host: HostFacts) -> None:
    """A limit that no hierarchy of this host can hold is an error, not silence."""
    if resources.get("unified"):
        raise WardianError(
            INVALID,
            "resources.unified needs cgroup v2, this host's controllers are v1",
            operation="plan",
            subject="unified",
        )
    have = {name for controllers, _ in host.cgroup_mounts for name in controllers.split(",")}
    for key, controller in (("memory", "memory"), ("cpu", "cpu"), ("pids", "pids")):
        if resources.get(key) and controller not in have:
            raise _absent(controller, key)


def _check_version2(resources: dict[str, Any], settings: list[cgroups.Setting], host: HostFacts) -> None:
    """The same for version 2. `unified` names files: of a controller that is there, and in this group alone.

    Which files a controller has is the kernel's to say: the step that writes to one that it has not is ENOENT.
    """
    for path in cgroups.V1_ONLY:
        group, _, key = path.partition(".")
        if (resources.get(group) or {}).get(key):
            raise WardianError(
                NOT_IMPLEMENTED, f"cgroup v2 has no {path}: it is version 1's", operation="plan", subject=path
            )
    for name in resources.get("unified") or {}:
        if not _FILE.fullmatch(name) or (name.startswith("cgroup.") and name not in _CORE_LIMITS):
            raise WardianError(
                INVALID, f"resources.unified: {name!r} is no limit of cgroup v2", operation="plan", subject="unified"
            )
    for setting in settings:
        controller = setting.file.partition(".")[0]
        if controller not in (*host.cgroup2_controllers, "cgroup") and not setting.may_fail:
            raise _absent(controller, setting.file)


def _absent(controller: str, limit: str) -> WardianError:
    message = f"this host has no {controller} control group: {limit} cannot be limited"
    return WardianError(NOT_IMPLEMENTED, message, operation="plan", subject=limit)
