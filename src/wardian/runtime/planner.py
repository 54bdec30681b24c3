"""From an OCI runtime spec to a plan: pure functions. They read and write nothing and need no privilege."""

from wardian.kernel.mounts import Mount
from wardian.runtime.hostfacts import HostFacts
from wardian.runtime.inputs import ExecTarget, Placement, Supervision
from wardian.runtime.plan import Plan
from wardian.runtime.rootfacts import RootFacts
from wardian.runtime.spec import Process, Spec


def plan(
    spec: Spec, host: HostFacts, root: RootFacts, rootfs: Mount, supervision: Supervision, placement: Placement
) -> Plan:
    """All steps that start the container of `spec`. Raises WardianError for what cannot be on this host."""
    raise NotImplementedError


def plan_exec(process: Process, host: HostFacts, root: RootFacts, target: ExecTarget, supervision: Supervision) -> Plan:
    """All steps that start a further process in the container of `target`."""
    raise NotImplementedError
