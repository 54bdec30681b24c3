"""An engine in a home of its own below /tmp, of which nothing stays.

A normal end, an exception, ctrl-C, SIGTERM and SIGHUP remove its containers and stop it; it takes its bridge, its
firewall table and its groups along. What a SIGKILL of the script leaves, the next script of the same family removes.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from types import FrameType

import leftovers
from wardian.client import Client, Target
from wardian.client.start import engine_answers

_DEADLINE = 20.0


class Failed(Exception):
    """The engine did not start."""


class OwnEngine:
    def __init__(self, family: leftovers.Family, tag: str) -> None:
        self.home = os.path.join(tempfile.gettempdir(), family.homes + tag)
        self.socket = os.path.join(self.home, "run", "wardian.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self._arguments = [
            sys.executable, "-m", "wardian.server",
            "--data-root", f"{self.home}/data", "--run-root", f"{self.home}/run",
            "--cgroup-base", family.groups + tag, "--bridge", family.links + tag,
        ]  # fmt: skip

    def start(self) -> None:
        """Starts the process, returns when its socket answers."""
        with open(os.path.join(self.home, "engine.log"), "ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        deadline = time.monotonic() + _DEADLINE
        while not engine_answers(self.socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Failed("the engine did not start:\n" + self.log())
            time.sleep(0.01)

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Removes all containers and stops the engine, which takes along what it made on this machine."""
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(Exception):  # whatever ails it: it is told to end, and then made to
                self._remove_containers()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_DEADLINE)

    def _remove_containers(self) -> None:
        client = Client(Target(self.socket))
        listed = client.call("GET", "/containers/json", query={"all": True})
        assert isinstance(listed, list)
        for container in listed:
            client.request("DELETE", f"/containers/{container['Id']}", query={"force": True, "v": True})
        client.close()

    def log(self) -> str:
        with open(os.path.join(self.home, "engine.log"), errors="replace") as file:
            return file.read()[-4000:]


@contextlib.contextmanager
def own_engine(family: leftovers.Family) -> Iterator[OwnEngine]:
    """A started engine."""
    tag = secrets.token_hex(4)
    leftovers.own(tag)
    leftovers.sweep(family)
    engine = OwnEngine(family, tag)
    os.mkdir(engine.home, 0o700)
    try:
        with _signals_as_exceptions():
            engine.start()
            yield engine
    finally:
        engine.close()
        leftovers.remove(family, tag)  # of an engine that did not end as it should
        shutil.rmtree(engine.home, ignore_errors=True)
        leftovers.disown(tag)


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
