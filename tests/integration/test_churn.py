"""Four clients that do anything to containers at random, for an hour: afterwards the engine holds what it held before.

WARDIAN_CHURN_SECONDS says for how long; the seed is printed, and WARDIAN_CHURN_SEED takes one. The time is cut in
parts, after each of which all containers are removed and the engine's memory is read. What Python holds was seen to be
flat (tracemalloc: 20.9 MB after three minutes, 21.0 MB after nine); what libc keeps in pieces is not at once.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest

import homes
from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client import Client, Target

SECONDS = float(os.environ.get("WARDIAN_CHURN_SECONDS", "3600"))
SEED = int(os.environ.get("WARDIAN_CHURN_SEED", "0")) or random.randrange(1, 1 << 32)
pytestmark = [pytest.mark.soak, pytest.mark.timeout(int(SECONDS * 2 + 600))]

IMAGE = "busybox:churn"
CLIENTS = 4
AT_ONCE = 24  # containers
WARM_UP = 20.0  # seconds until pools are filled and modules imported
PARTS = 6
GROWTH = 16 * 1024  # kB of private memory from the warm-up to the end: 9 MB seen, almost all of it in the first minutes
LATE_GROWTH = 2 * 1024  # from the middle on: half a MB seen in 28000 actions
EVENT_FILES = "/data/events"  # kept on purpose, up to a bound of their own
SPARE = "spare."  # directories made ahead; their names are random
PLACES = "/apart"  # where they are made, on ext4 without a journal
SETTLED = 330.0  # seconds at most: how an exec ended may be asked for 300 s
REFUSED = {304, 404, 409}  # another client was first
NOT_PAUSED = b"is not paused"  # with status 500, as Docker's
TALKS = "for i in $(seq 200); do echo line $i; done; exec sleep 1000"


class Held(NamedTuple):
    """What an engine without containers holds."""

    private: int  # kB
    descriptors: int
    threads: int
    files: frozenset[str]
    groups: frozenset[str]
    spares: int
    ports: int  # of its bridge
    processes: int


class Churner:
    """One client. What is not an answer that may come is kept in `wrong`."""

    def __init__(self, socket: str, seed: int, names: list[str], until: float) -> None:
        self.thread = threading.Thread(target=self._work, name=f"churn-{seed}")
        self._client = Client(Target(socket))
        self._random = random.Random(seed)
        self._names = names  # shared by all: they get into each other's way
        self._until = until
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    def _work(self) -> None:
        actions = (
            (self._create, 6), (self._run, 3), (self._start, 6), (self._exec, 6), (self._logs, 5), (self._remove, 6),
            (self._stop, 3), (self._pause, 2), (self._unpause, 4), (self._restart, 2), (self._look, 3),
        )  # fmt: skip
        chances = [weight for _, weight in actions]
        try:
            while time.monotonic() < self._until and len(self.wrong) < 10:
                action = self._random.choices(actions, chances)[0][0]
                action()
                self.done[action.__name__[1:]] += 1
        except Exception as error:
            self.wrong.append(repr(error))
        finally:
            self._client.close()

    def _ask(self, method: str, path: str, body: object = None, **query: object) -> Any:
        response = self._client.request(method, path, body, query)
        if response.status >= 300 and response.status not in REFUSED and NOT_PAUSED not in response.body:
            self.wrong.append(f"{method} {path}: {response.status} {response.body.decode(errors='replace')}")
        return response.json() if response.status in (200, 201) and response.body.startswith((b"{", b"[")) else None

    def _any(self) -> str:
        return self._random.choice(self._names or ["none"])

    def _made(self, *command: str) -> str:
        host = {
            "NetworkMode": self._random.choice(["bridge", "bridge", "none"]),
            "RestartPolicy": {"Name": self._random.choice(["no", "no", "on-failure"])},
        }
        body = {
            "Image": IMAGE, "Cmd": command, "HostConfig": host, "StopTimeout": 0, "Tty": self._random.random() < 0.2,
            "Volumes": {"/kept": {}} if self._random.random() < 0.3 else None,
        }  # fmt: skip
        made = self._ask("POST", "/containers/create", body)
        return str(made["Id"]) if made else "none"

    def _create(self) -> None:
        if len(self._names) < AT_ONCE:
            self._names.append(self._made("sh", "-c", TALKS))

    def _run(self) -> None:
        """As `run --rm` does: attach, wait, start, remove."""
        identity = self._made("sh", "-c", "echo said; exit 3")
        path = f"/containers/{identity}"
        attached = self._client.hijack("POST", f"{path}/attach", None, {"stream": True, "stdout": True})
        with closing(attached.sock) as sock:
            self._ask("POST", f"{path}/start")
            said = _to_the_end(sock)
        if b"said" not in said:
            self.wrong.append(f"run said {said!r}")
        if (status := self._ask("POST", f"{path}/wait")["StatusCode"]) != 3:
            self.wrong.append(f"run ended with {status}")
        self._ask("DELETE", path, force=True, v=True)  # a policy may have started it again

    def _exec(self) -> None:
        body = {"Cmd": ["sh", "-c", "echo executed"], "AttachStdout": True}
        if made := self._ask("POST", f"/containers/{self._any()}/exec", body):
            try:
                started = self._client.hijack("POST", f"/exec/{made['Id']}/start", {"Detach": False})
            except Exception as error:  # the container went between the two
                if getattr(error, "status", 0) not in REFUSED:
                    self.wrong.append(f"exec: {error!r}")
                return
            with closing(started.sock):
                _to_the_end(started.sock)

    def _logs(self) -> None:
        self._client.request("GET", f"/containers/{self._any()}/logs", None, {"stdout": True, "stderr": True})

    def _remove(self) -> None:
        name = self._any()
        self._ask("DELETE", f"/containers/{name}", force=True, v=True)
        if name in self._names:
            try:
                self._names.remove(name)
            except ValueError:
                return  # another client took it

    def _start(self) -> None:
        self._ask("POST", f"/containers/{self._any()}/start")

    def _stop(self) -> None:
        self._ask("POST", f"/containers/{self._any()}/stop", t=0)

    def _restart(self) -> None:
        self._ask("POST", f"/containers/{self._any()}/restart", t=0)

    def _pause(self) -> None:
        self._ask("POST", f"/containers/{self._any()}/pause")

    def _unpause(self) -> None:
        self._ask("POST", f"/containers/{self._any()}/unpause")

    def _look(self) -> None:
        self._ask("GET", f"/containers/{self._any()}/json")
        self._ask("GET", "/containers/json", all=True)


def _to_the_end(sock: Any) -> bytes:
    sock.settimeout(60)
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.fixture
def engine(new_engine: Callable[..., TestEngine]) -> Iterator[TestEngine]:
    running = new_engine()
    archive = docker_archive({IMAGE: busybox_image()})
    with running.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    yield running


def _churn(engine: TestEngine, seconds: float, seed: int) -> Counter[str]:
    names: list[str] = []
    until = time.monotonic() + seconds
    clients = [Churner(engine.socket, seed + number, names, until) for number in range(CLIENTS)]
    for client in clients:
        client.thread.start()
    for client in clients:
        client.thread.join(seconds + 120)
    hanging = [client.thread.name for client in clients if client.thread.is_alive()]
    assert not hanging, f"no answer: {hanging}\n{engine.log_text()}"
    wrong = [line for client in clients for line in client.wrong]
    assert not wrong, "\n".join(wrong)
    engine.remove_containers()
    return sum((client.done for client in clients), Counter())


def _held(engine: TestEngine) -> Held:
    proc = f"/proc/{engine.pid}"
    with open(f"{proc}/smaps_rollup") as file:
        private = sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    return Held(
        private,
        descriptors=len(os.listdir(f"{proc}/fd")),
        threads=len(os.listdir(f"{proc}/task")),
        files=_files(engine),
        groups=_groups(engine),
        spares=sum(
            name.startswith(SPARE) for _, names, _ in os.walk(f"{engine.home.data_root}/staging") for name in names
        ),
        ports=_ports(engine.home.bridge),
        processes=len(_processes(engine)),
    )


def _ports(bridge: str) -> int:
    directory = f"/sys/class/net/{bridge}/brif"
    return len(os.listdir(directory)) if os.path.exists(directory) else 0


def _files(engine: TestEngine) -> frozenset[str]:
    home = engine.home
    return frozenset(
        os.path.join(directory, name)
        for root in (home.data_root, home.run_root)
        for directory, below, names in os.walk(root)
        for name in (*below, *names)
        if not (directory.endswith(EVENT_FILES) or any(one in os.path.join(directory, name) for one in (SPARE, PLACES)))
    )


def _spares(directory: str) -> int:
    return sum(name.startswith(SPARE) for _, below, _ in os.walk(directory) for name in below)


def _groups(engine: TestEngine) -> frozenset[str]:
    bases = [os.path.join(mount, engine.home.cgroup_base) for mount in homes.cgroup_mounts()]
    return frozenset(directory for base in bases for directory, _, _ in os.walk(base))


def _processes(engine: TestEngine) -> list[str]:
    """Of its groups: the supervisors', and those of containers."""
    found: list[str] = []
    for group in _groups(engine):
        with open(f"{group}/cgroup.procs") as file:
            found += file.read().split()
    return sorted(set(found))


def _more(before: Held, now: Held) -> list[str]:
    """What there is more of. Pools make a few descriptors and bridge ports of difference."""
    more = [f"{now.private - before.private} kB of memory"] if now.private > before.private + GROWTH else []
    for kind, room in (("descriptors", 6), ("threads", 2), ("spares", 8), ("ports", 6), ("processes", 0)):
        was, number = getattr(before, kind), getattr(now, kind)
        more += [f"{kind}: {was}, then {number}"] if number > was + room else []
    more += [f"file {path}" for path in sorted(now.files - before.files)]
    return more + [f"group {path}" for path in sorted(now.groups - before.groups)]


def test_churn(engine: TestEngine) -> None:
    print(f"seed {SEED}")
    _churn(engine, min(WARM_UP, SECONDS), SEED)
    time.sleep(2)
    before = _held(engine)
    done: Counter[str] = Counter()
    memory = []
    for part in range(1, PARTS + 1):
        done += _churn(engine, SECONDS / PARTS, SEED + part * CLIENTS)
        memory.append(_held(engine).private)
        print(f"part {part}: {memory[-1]} kB after {sum(done.values())} actions")
    end = time.monotonic() + SETTLED
    while (more := _more(before, now := _held(engine))) and time.monotonic() < end:
        time.sleep(0.5)
    print(f"settled after {SETTLED - end + time.monotonic():.0f} s; {sum(done.values())} actions: {dict(done)}")
    for kind in ("private", "descriptors", "threads", "spares", "ports", "processes"):
        print(f"{kind}: {getattr(before, kind)}, then {getattr(now, kind)}")
    assert not more, "\n".join(more)
    late = now.private - memory[PARTS // 2 - 1]
    assert late <= LATE_GROWTH, f"{late} kB of memory more from the middle to the end: {memory}, then {now.private}"
