"""Who asked for an operation: what `inspect` and `explain` say of a signal that the engine sent."""

from typing import NamedTuple

from wardian.kernel import procfs


class Asker(NamedTuple):
    """`operation` is the API's word. The process is that at the other end of the socket (SO_PEERCRED), 0 for none."""

    operation: str
    pid: int = 0
    uid: int = 0

    def client(self) -> str:
        """`docker (process 12, user 0)`; the name is gone when the process is."""
        if not self.pid:
            return ""
        name = procfs.read(f"/proc/{self.pid}/comm").strip() or "a client"
        return f"{name} (process {self.pid}, user {self.uid})"


NOBODY = Asker("the engine")
