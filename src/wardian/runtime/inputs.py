"""What a plan needs to know besides the spec, the host and the root: where the container goes and who watches it."""

from typing import Any, NamedTuple


class Supervision(NamedTuple):
    """How the launcher stays with the container. Directories are absolute; `log_dir` "" means no log."""

    container_id: str
    run_dir: str
    log_dir: str = ""
    log_name: str = ""
    log_max_size: int = 0  # bytes; 0: never rotated
    log_max_files: int = 1
    log_attributes: str = ""  # JSON of an object that each line of the log carries as its "attrs"
    terminal: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    streams_first: bool = False  # those who are attached hear of its end before who launched it
    console_size: tuple[int, int] = (0, 0)  # rows, columns
    init: bool = False  # process 1 is the launcher's own code, and the command its child
    listener: str = ""  # what the launching side brings: run_dir's socket; "": the launcher makes one
    timeout: int = 0  # seconds after which it is ended; 0: never
    tells_first: bool = False  # its end is told before its root and its groups are let go (SupervisorClient.wait_end)


class ExecTarget(NamedTuple):
    """A running process whose namespaces are joined, and its groups (as in `Placement`).

    The start time (field 22 of /proc/PID/stat) says that it is still that process.
    """

    pid: int
    start_time: int
    cgroup: str = ""
    supervisor_cgroup: str = ""
    user_namespace: bool = False  # it has one of its own
    uids: tuple[tuple[int, int, int], ...] = ()  # of it, as in uid_map(5): inside, outside, how many
    seccomp: dict[str, Any] | None = None  # the container's filter holds for what joins it
    open_files: tuple[int, int] | None = None  # soft and hard, when nothing is asked; None: as this host's


class Placement(NamedTuple):
    """Where the container goes.

    `cgroup` and `supervisor_cgroup` are relative to each hierarchy's root ("wardian/containers/ID",
    "wardian/supervisors"); "" leaves the process where the launcher is. `joins` are namespaces (OCI names) taken from a
    running process. A namespace path of the spec that begins with "@" is a descriptor that the launching side brings.
    """

    cgroup: str = ""
    supervisor_cgroup: str = ""
    joins: tuple[tuple[str, ExecTarget], ...] = ()
