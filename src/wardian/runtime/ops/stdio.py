"""Operations that say what the supervisor is to do, and what the process reads and writes (launcher/ops_stdio.c)."""

from typing import NamedTuple

from wardian.runtime import protocol


class Supervise(NamedTuple):
    """What the launcher does as the supervisor; its pipes are made here."""

    flags: int
    run_dir: str
    log_dir: str
    log_size: int
    log_files: int
    cgroups: tuple[str, ...]
    root: str
    identity: str
    log_name: str

    def describe(self) -> str:
        how = "a terminal" if self.flags & protocol.SUPERVISE_FLAGS["TTY"] else "pipes"
        log = f", log {self.log_name}" if self.log_dir else ", no log"
        return f"stdio by {how}{log}"


class Listener(NamedTuple):
    """The supervisor listens on this socket, RUN_DIR/supervisor.sock already, instead of one that it makes."""

    socket: str

    def describe(self) -> str:
        return "the supervisor's socket was made before"


class StdioOwner(NamedTuple):
    """fchown(2) of the supervisor's pipes: who a user namespace maps may then reopen them by /dev/stdout."""

    uid: int

    def describe(self) -> str:
        return f"the pipes of stdio belong to {self.uid}"


class Timeout(NamedTuple):
    """SIGKILL by the supervisor, so many seconds after the start; the exit's reason is then "timeout"."""

    seconds: int

    def describe(self) -> str:
        return f"ended after {self.seconds} s"


class LogAttributes(NamedTuple):
    """What each line of the log carries beside its text: a member of its JSON object, with the comma before it."""

    json: str

    def describe(self) -> str:
        return f"each line of the log with {self.json.removeprefix(',')}"


class Stdio(NamedTuple):
    def describe(self) -> str:
        return "stdin, stdout, stderr are the supervisor's pipes"


class Console(NamedTuple):
    """A pseudo-terminal of the container's own devpts: /dev/console, the controlling terminal, and 0, 1, 2 (pts(4))."""

    root: str
    rows: int
    columns: int

    def describe(self) -> str:
        size = f" of {self.rows}×{self.columns}" if self.rows else ""
        return f"a terminal{size} on stdin, stdout, stderr and /dev/console"


class Session(NamedTuple):
    """setsid(2)."""

    def describe(self) -> str:
        return "a session of its own"


Operation = Supervise | Listener | StdioOwner | Timeout | LogAttributes | Stdio | Console | Session
