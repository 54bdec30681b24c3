"""What `/metrics` tells of the engine: Docker's names (engine_daemon_…) for what Docker's daemon tells too, the
process under the names that all Prometheus clients use, and the rest as wardian_….

A counter counts from this engine's start. Nothing here waits or walks a tree.
"""

import os
import resource
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import wardian
from wardian.engine.life.state import State
from wardian.engine.observe.info import os_release
from wardian.engine.observe.stats import host_memory
from wardian.engine.parts import Parts
from wardian.kernel import procfs

GAUGE, COUNTER = "gauge", "counter"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# what happens to containers, by the event that says so
_COUNTED = {
    "create": "created",
    "start": "started",
    "die": "exited",
    "oom": "out of memory",
    "restart": "restarted",
    "destroy": "removed",
}


class Sample(NamedTuple):
    """`suffix` says which series of a histogram it is."""

    value: float
    labels: Mapping[str, str] = MappingProxyType({})
    suffix: str = ""


class Family(NamedTuple):
    """Samples of one name; `kind` is gauge, counter or histogram."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


def families(parts: Parts, identity: str) -> list[Family]:
    return [*_engine(parts, identity), *_things(parts), *_events(parts), *process_families()]


def _one(name: str, kind: str, text: str, value: float) -> Family:
    return Family(name, kind, text, [Sample(value)])


def _engine(parts: Parts, identity: str) -> list[Family]:
    uname = os.uname()
    labels = {
        "architecture": uname.machine,
        "commit": "",
        "daemon_id": identity,
        "graphdriver": "overlay2",
        "kernel": uname.release,
        "os": os_release("PRETTY_NAME") or "Linux",
        "os_type": "linux",
        "os_version": os_release("VERSION_ID"),
        "version": wardian.__version__,
    }
    return [
        Family("engine_daemon_engine_info", GAUGE, "This engine and its host.", [Sample(1, labels)]),
        _one("engine_daemon_engine_cpus_cpus", GAUGE, "Processors of the host.", parts.host.cpus),
        _one("engine_daemon_engine_memory_bytes", GAUGE, "Memory of the host.", host_memory()),
    ]


def _things(parts: Parts) -> list[Family]:
    states = Counter(container.state.state for container in parts.registry)
    docker = {"running": states[State.RUNNING], "paused": states[State.PAUSED]}
    docker["stopped"] = states.total() - sum(docker.values())
    return [
        Family(
            "engine_daemon_container_states_containers",
            GAUGE,
            "Containers, as Docker's daemon counts them.",
            [Sample(count, {"state": name}) for name, count in sorted(docker.items())],
        ),
        Family(
            "wardian_containers",
            GAUGE,
            "Containers by state.",
            [Sample(states[state], {"state": state.value}) for state in State],
        ),
        _one("wardian_images", GAUGE, "Images.", len(parts.images.list_images())),
        _one("wardian_networks", GAUGE, "Networks.", len(parts.networks.list({}))),
        _one("wardian_volumes", GAUGE, "Volumes.", len(parts.volumes.list())),
    ]


def _events(parts: Parts) -> list[Family]:
    counted = parts.events.counted
    actions = {action: counted["container", action] for action in _COUNTED}
    by_kind = [Sample(count, {"type": kind, "action": action}) for (kind, action), count in sorted(counted.items())]
    return [
        Family(
            "wardian_container_changes_total",
            COUNTER,
            "What happened to containers.",
            [Sample(actions[action], {"change": word}) for action, word in _COUNTED.items()],
        ),
        _one("engine_daemon_events_total", COUNTER, "Events.", counted.total()),
        _one(
            "engine_daemon_events_subscribers_total",
            GAUGE,
            "Clients that follow events now.",
            parts.events.listeners(),
        ),
        Family("wardian_events_total", COUNTER, "Events by type and action.", by_kind),
        _one("wardian_last_event", GAUGE, "Id of the newest event.", parts.events.last),
    ]


def process_families() -> list[Family]:
    """Of this process, under the names of Prometheus' client libraries."""
    fields = procfs.read("/proc/self/stat").rpartition(")")[2].split()
    boot = _boot_seconds(procfs.read("/proc/stat"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    times: Any = os.times()
    return [
        _one("process_cpu_seconds_total", COUNTER, "Processor time.", round(times.user + times.system, 2)),
        _one("process_resident_memory_bytes", GAUGE, "Resident memory.", int(fields[21]) * _PAGE),
        _one("process_virtual_memory_bytes", GAUGE, "Virtual memory.", int(fields[20])),
        _one("process_start_time_seconds", GAUGE, "When it began.", boot + int(fields[19]) / _TICKS),
        _one("process_open_fds", GAUGE, "Open descriptors.", len(os.listdir("/proc/self/fd"))),
        _one("process_max_fds", GAUGE, "Most open descriptors.", limit),
        _one("process_threads", GAUGE, "Threads.", threading.active_count()),
    ]


def _boot_seconds(stat: str) -> int:
    return next((int(line.split()[1]) for line in stat.splitlines() if line.startswith("btime ")), 0)
