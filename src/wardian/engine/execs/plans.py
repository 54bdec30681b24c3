"""The plan of an exec: in the mould of the last one like it, where there was one."""

from collections.abc import Mapping
from typing import Any, cast

from wardian.engine.execs.process import Template
from wardian.engine.life import create
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.engine.userns.choice import ids_of
from wardian.runtime import ExecTarget, Mould, Plan, RootFacts, Supervision, plan_exec

_MOST = 64
_moulds: dict[tuple[Any, ...], Mould] = {}


def plan_of(
    parts: Parts,
    container: Container,
    template: Template,
    options: Mapping[str, Any],
    process: Mapping[str, Any],
    root: RootFacts,
    supervision: Supervision,
) -> Plan:
    """`process` is made of the template and the options (`exec_process`). Raises WardianError."""
    alike = _alike(container, options, process, root, supervision)
    mould = _moulds.get(alike)
    if mould is not None:
        return mould.cast(cast(Any, process), root, supervision)
    plan = plan_exec(cast(Any, process), parts.host, root, _target(parts, container, template), supervision)
    if len(_moulds) >= _MOST:
        _moulds.clear()
    _moulds[alike] = Mould(plan)
    return plan


def _alike(
    container: Container,
    options: Mapping[str, Any],
    process: Mapping[str, Any],
    root: RootFacts,
    supervision: Supervision,
) -> tuple[Any, ...]:
    """What a plan depends on beside the steps that are each exec's own: of the process what the options change."""
    state = container.state
    return (
        container.config.directory,
        state.pid,
        state.start_time,
        state.open_files,
        process["terminal"],
        process["cwd"],
        bool(options.get("Privileged")),
        root.uid,
        root.gid,
        root.groups,
        supervision._replace(container_id="", run_dir=""),
    )


def _target(parts: Parts, container: Container, template: Template) -> ExecTarget:
    state, ids = container.state, ids_of(container.config)
    return ExecTarget(
        state.pid,
        state.start_time,
        cgroup=create.cgroup_of(parts, container.config),
        supervisor_cgroup=f"{parts.home.cgroup_base}/supervisors",
        user_namespace=bool(ids.uids),
        uids=ids.uids,
        seccomp=template.seccomp,
        open_files=state.open_files,
    )
