"""Namespaces (namespaces(7)): flags for clone3, unshare and setns, and their names in /proc and the OCI spec."""

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

FLAGS = {
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "network": CLONE_NEWNET,
    "pid": CLONE_NEWPID,
    "mount": CLONE_NEWNS,
    "time": CLONE_NEWTIME,
}  # OCI names
FILES = {"network": "net", "mount": "mnt"}  # /proc/PID/ns names that differ from the OCI ones


def file_name(kind: str) -> str:
    """The name in /proc/PID/ns of a namespace by its OCI name."""
    return FILES.get(kind, kind)


def text(flags: int) -> str:
    """The kinds in a set of flags, for a person: "pid, network and mount namespace", or ""."""
    kinds = [kind for kind, flag in FLAGS.items() if flags & flag]
    if not kinds:
        return ""
    words = kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
    return f"{words} namespace{'s' if len(kinds) > 1 else ''}"
