"""OCI spec → plan → launcher: what a container is (`plan`), who carries it out (`launch`), the runc-like command."""

from wardian.runtime.exitrecord import SUPERVISOR_LOST, TIMEOUT, UNREADABLE, ExitRecord, read_exit
from wardian.runtime.group_files import Files, statistics_files
from wardian.runtime.hostfacts import V2, HostFacts, probe_host
from wardian.runtime.inputs import ExecTarget, Placement, Supervision
from wardian.runtime.launch import Launched, LaunchError, Record, launch
from wardian.runtime.live_group import Write, carry_out, freezer_directory, limit_writes, take_back
from wardian.runtime.lost import end_lost
from wardian.runtime.mould import Mould
from wardian.runtime.plan import Plan
from wardian.runtime.plan_cgroups import group_path
from wardian.runtime.planner import plan, plan_exec
from wardian.runtime.ready import keep_none, keep_ready, launcher_path
from wardian.runtime.rootfacts import NOT_AT_ONCE, RootFacts, read_root_facts, resolve_user
from wardian.runtime.supervisor import Attacher, Publication, SupervisorClient, has_ended, listen
from wardian.runtime.userns import UserSpaces, make_user_spaces

LAUNCHER = launcher_path()

__all__ = [
    "LAUNCHER",
    "NOT_AT_ONCE",
    "SUPERVISOR_LOST",
    "TIMEOUT",
    "UNREADABLE",
    "V2",
    "Attacher",
    "ExecTarget",
    "ExitRecord",
    "Files",
    "HostFacts",
    "LaunchError",
    "Launched",
    "Mould",
    "Placement",
    "Plan",
    "Publication",
    "Record",
    "RootFacts",
    "Supervision",
    "SupervisorClient",
    "UserSpaces",
    "Write",
    "carry_out",
    "end_lost",
    "freezer_directory",
    "group_path",
    "has_ended",
    "keep_none",
    "keep_ready",
    "launch",
    "launcher_path",
    "limit_writes",
    "listen",
    "make_user_spaces",
    "plan",
    "plan_exec",
    "probe_host",
    "read_exit",
    "read_root_facts",
    "resolve_user",
    "statistics_files",
    "take_back",
]
