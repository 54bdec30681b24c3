"""What the client tests name in common: the image that the module's engine has, a command line, a terminal."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from typing import Any

import pytest

IMAGE = "busybox:test"


class Terminal:
    """A command on a terminal of its own: what a person sees, types, and the size of the window."""

    def __init__(self, command: list[str], environment: dict[str, str], rows: int = 24, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self.first_settings = self.settings()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True, close_fds=True,
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        import termios

        termios.tcsetwinsize(self._master, (rows, columns))

    def settings(self) -> list[Any]:
        """What termios(3) knows of it: raw or not, echo."""
        import termios

        return termios.tcgetattr(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str, timeout: float = 10) -> None:
        """Reads until `text` was seen; what came before and with it is forgotten."""
        end = time.monotonic() + timeout
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(0, end - time.monotonic()))
            if not ready:
                pytest.fail(f"{text!r} did not come within {timeout} s; the terminal shows {self.seen!r}")
            try:
                self.seen += os.read(self._master, 65536).decode(errors="replace")
            except OSError:
                pytest.fail(f"{text!r} did not come before the end; the terminal shows {self.seen!r}")
        self.seen = self.seen.partition(text)[2]

    def wait(self, timeout: float = 30) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.process.args} did not end within {timeout} s:\n{_threads(self.process.pid)}")

    def hang_up(self) -> None:
        """The window is closed: the kernel sends SIGHUP (termios(3), tty_ioctl(4))."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master >= 0:
            self.hang_up()


def _threads(pid: int) -> str:
    """Where each thread of a process is in the kernel (proc(5))."""
    found = []
    for task in sorted(os.listdir(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/stack") as stack:
            found.append(f"{task}: {' '.join(line.split()[1] for line in stack)}")
    return "\n".join(found)


def _take_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored below nohup(1), and with that by who was started there
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Command:
    """A command line client with its environment: `docker("run", …)` is its finished process."""

    def __init__(self, prefix: list[str], environment: dict[str, str]) -> None:
        self.prefix = prefix
        self.environment = environment
        self._terminals: list[Terminal] = []

    def __call__(
        self, *arguments: str, stdin: bytes = b"", status: int | None = 0, timeout: float = 15
    ) -> "subprocess.CompletedProcess[bytes]":
        """Fails unless it exits with `status` (None: any)."""
        done = subprocess.run(
            [*self.prefix, *arguments], input=stdin, capture_output=True, env=self.environment, timeout=timeout
        )
        if status is not None and done.returncode != status:
            shown = f"stdout {done.stdout!r}\nstderr {done.stderr!r}"
            pytest.fail(f"{' '.join(arguments)}: exit status {done.returncode}, not {status}\n{shown}")
        return done

    def out(self, *arguments: str, stdin: bytes = b"") -> str:
        return self(*arguments, stdin=stdin).stdout.decode().strip()

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*self.prefix, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )

    def terminal(self, *arguments: str) -> Terminal:
        self._terminals.append(Terminal([*self.prefix, *arguments], self.environment))
        return self._terminals[-1]

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close()
