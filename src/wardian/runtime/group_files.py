"""Where a group's accounts are on this host: pure, from its facts."""

from wardian.kernel.group_stats import PRESSURE_FILES, V1_FILES, V2_FILES
from wardian.runtime.hostfacts import V2, HostFacts

Files = tuple[tuple[str, str], ...]


def statistics_files(host: HostFacts, cgroup: str) -> Files:
    """(name, path) of every file that tells what the group `cgroup` uses. Version 2's hierarchy tells the pressure also
    where version 1 has the controllers: a container's group is in both."""
    found: list[tuple[str, str]] = []
    if host.cgroup_layout == V2:
        found += [(name, f"{host.cgroup2}/{cgroup}/{name}") for name in V2_FILES]
    for controllers, mount in host.cgroup_mounts:
        for controller in controllers.split(","):
            found += [(name, f"{mount}/{cgroup}/{name}") for name in V1_FILES.get(controller, ())]
    if host.cgroup2:
        found += [(name, f"{host.cgroup2}/{cgroup}/{name}") for name in PRESSURE_FILES]
    return tuple(found)
