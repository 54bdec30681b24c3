"""Engines for tests: `python -m wardian.server` with a home of its own, and nothing left of it afterwards.

def test_something(engine):                # one engine for the module; `engine.socket`, `engine.url`, `engine.client`
    assert engine.client.call("GET", "/version")

def test_restart(new_engine): engine = new_engine(); engine.kill(); engine.start()
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import homes
from wardian.client import Client, Target
from wardian.client.start import server_arguments
from wardian.errors import WardianError
from wardian.home import Home

_ANONYMOUS = "com.docker.volume.anonymous"
_DEADLINE = float(os.environ.get("WARDIAN_TEST_DEADLINE", "20"))  # more in an emulated machine (tests/vm)


class TestEngine:
    """One engine process on one home. Its log is `DATA_ROOT/../engine.log`."""

    __test__ = False  # a tool, not a test class

    def __init__(self, home: Home, *arguments: str) -> None:
        """`arguments`: further words of the engine's command line."""
        self.home = home
        self.arguments = arguments
        self.log = os.path.join(os.path.dirname(home.data_root), "engine.log")
        self.client = Client(Target(home.socket))
        self.groups: list[str] = []  # directories of control groups that the next process is started in
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def socket(self) -> str:
        return self.home.socket

    @property
    def url(self) -> str:
        return f"unix://{self.home.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Starts the process, returns when its socket answers."""
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wardian.server", *server_arguments(self.home), *self.arguments, "--debug"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=self._enter_groups if self.groups else None,
            )
        end = time.monotonic() + _DEADLINE
        while not self._answers():
            if self._process.poll() is not None:
                pytest.fail(f"the engine ended with {self._process.returncode}:\n{self.log_text()}", pytrace=False)
            if time.monotonic() > end:
                self.kill()
                pytest.fail(f"the engine did not answer in {_DEADLINE} s:\n{self.log_text()}", pytrace=False)
            time.sleep(0.01)

    def _answers(self) -> bool:
        """To connect is not enough: what a killed engine was just starting has its listening socket, still."""
        try:
            self.client.request("GET", "/_ping")
        except (OSError, WardianError):
            return False
        return True

    def _enter_groups(self) -> None:
        for group in self.groups:
            with open(f"{group}/cgroup.procs", "w") as file:
                file.write("0")

    def kill(self) -> None:
        """SIGKILL to the engine's whole process group; containers must not notice."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM and the exit status."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> int:
        assert self._process is not None
        self.client.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        return self._process.wait(_DEADLINE)

    def log_text(self) -> str:
        with open(self.log, errors="replace") as file:
            return file.read()[-8000:]

    def containers(self) -> list[dict[str, Any]]:
        listed = self.client.call("GET", "/containers/json", query={"all": True})
        assert isinstance(listed, list)
        return listed

    def remove_containers(self) -> None:
        for container in self.containers():
            self.client.request("DELETE", f"/containers/{container['Id']}", query={"force": True, "v": True})

    def remove_networks(self) -> None:
        """All that were made; nothing may be on them any more."""
        listed = self.client.call("GET", "/networks", query={"filters": '{"type":["custom"]}'})
        assert isinstance(listed, list)
        for network in listed:
            self.client.call("DELETE", f"/networks/{network['Id']}")

    def _remove_volumes(self) -> list[str]:
        """Those with a name are a test's to leave: they go with its engine. What nobody named should have gone."""
        listed = self.client.call("GET", "/volumes")
        assert isinstance(listed, dict)
        for volume in listed["Volumes"]:
            self.client.request("DELETE", f"/volumes/{volume['Name']}")
        anonymous = [one["Name"] for one in listed["Volumes"] if one["Labels"] and _ANONYMOUS in one["Labels"]]
        return [f"anonymous volume {name}" for name in anonymous]

    def close(self) -> None:
        """Removes all containers, ends the engine, and fails when anything of it is left."""
        assert self._process is not None
        try:
            if self._process.poll() is not None:
                self.start()
            self.remove_containers()
            left = [f"container {container['Names']}" for container in self.containers()]
            left += self._remove_volumes()
        except BaseException:
            self.kill()  # it does not answer: what it held goes at the end of the session
            raise
        status = self.terminate()
        if status:
            left.append(f"exit status {status} of the engine:\n{self.log_text()}")
        end = time.monotonic() + 2
        while (remains := self.remains()) and time.monotonic() < end:
            time.sleep(0.02)  # links vanish about 40 ms after their namespace
        assert not left + remains, f"left behind by the engine on {self.home.data_root}: {left + remains}"

    def remains(self) -> list[str]:
        """Processes, cgroups, directories of containers, the socket: what must be gone with the last container."""
        left = [os.path.join(mount, self.home.cgroup_base) for mount in homes.cgroup_mounts()]
        left = [path for path in left if os.path.exists(path)]
        for root in (self.home.data_root, self.home.run_root):
            directory = os.path.join(root, "containers")
            left += [os.path.join(directory, name) for name in _names(directory)]
        left += [self.home.socket] if os.path.exists(self.home.socket) else []
        left += [f"process {pid}: {text}" for pid, text in _processes_naming(self.home.run_root)]
        return left


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _processes_naming(text: str) -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
                if f"{text} " in command or f"{text}/" in command:
                    found.append((int(name), command))
    return found


@pytest.fixture(scope="module")
def engine(new_home: Callable[[], Home]) -> Iterator[TestEngine]:
    """One engine for all tests of a module."""
    running = TestEngine(new_home())
    yield running
    running.close()


@pytest.fixture
def engine_socket(engine: TestEngine) -> Iterator[str]:
    """The socket of the module's engine; a test's containers are removed after it."""
    yield engine.socket
    engine.remove_containers()


@pytest.fixture
def new_engine(new_home: Callable[[], Home]) -> Iterator[Callable[..., TestEngine]]:
    """Starts engines for one test, each on a home of its own; `new_engine(bridge="x")` changes what that home says."""
    started: list[TestEngine] = []

    def new(**changes: Any) -> TestEngine:
        started.append(TestEngine(new_home()._replace(**changes)))
        return started[-1]

    with contextlib.ExitStack() as closing:  # each is closed, whatever ails the others
        yield new
        for running in started:
            closing.callback(running.close)
