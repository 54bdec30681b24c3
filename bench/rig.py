"""What the benches share: engines spoken to over their sockets, ours in a home of its own, interleaved timing."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

from leftovers import BENCH
from throwaway import own_engine

IMAGE = "wardian-bench/busybox:latest"
API = "/v1.41"  # what docker-py and most tools still ask for; both engines speak it
WARDIAN = os.path.join(os.path.dirname(sys.executable), "wardian")


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One engine's API. A connection is kept for each thread, as a client library does."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self._threads = threading.local()
        self._made: set[str] = set()
        self._made_image = False

    def call(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        for last_try in (False, True):
            connection = getattr(self._threads, "connection", None) or _Connection(self.path)
            self._threads.connection = connection
            try:
                connection.request(method, API + path, data, {"Content-Type": content})
                answer = connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, ConnectionError):
                self.hang_up()  # an idle connection may have been closed under us: once more on a new one
                if last_try:
                    raise
        if answer.status >= 400:
            raise RuntimeError(f"{self.name}: {method} {path}: {answer.status} {text[:300].decode(errors='replace')}")
        if answer.will_close:
            self.hang_up()
        return json.loads(text) if text[:1] in (b"{", b"[") and text.count(b"\n") < 2 else None

    def hang_up(self) -> None:
        if connection := getattr(self._threads, "connection", None):
            connection.close()
        self._threads.connection = None

    def process(self) -> int:
        """The engine's pid, as the kernel names the listener (unix(7), SO_PEERCRED)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(self.path)
            pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)

    def create(self, *command: str, **host: Any) -> str:
        body = {"Image": IMAGE, "Cmd": command, "HostConfig": host}
        container = str(self.call("POST", "/containers/create", body)["Id"])
        self.made(container)
        return container

    def made(self, container: str) -> None:
        """It is removed at the end, whatever comes."""
        self._made.add(container)

    def start(self, container: str) -> None:
        self.call("POST", f"/containers/{container}/start")

    def remove(self, container: str) -> None:
        self.call("DELETE", f"/containers/{container}?force=1&v=1")
        self._made.discard(container)

    def remove_all(self) -> None:
        """What this bench made in the engine and did not remove: an exception or a signal came between."""
        self.hang_up()
        for container in list(self._made):
            with contextlib.suppress(RuntimeError, OSError):
                self.remove(container)
        if self._made_image:
            with contextlib.suppress(RuntimeError, OSError):
                self.call("DELETE", f"/images/{IMAGE}?force=1")
        self.hang_up()

    def ensure_image(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.call("GET", f"/images/{IMAGE}/json")
            return
        self._made_image = True
        repository, tag = IMAGE.split(":")
        self.call(
            "POST", f"/images/create?fromSrc=-&repo={repository}&tag={tag}", busybox_archive(), "application/x-tar"
        )


def busybox_archive() -> bytes:
    """A root with one static busybox and its names, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        passwd = b"root:x:0:0:root:/root:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(passwd)
        tar.addfile(entry, io.BytesIO(passwd))
        busybox = shutil.which("busybox") or "/bin/busybox"
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if name != "busybox":
                entry = tarfile.TarInfo(f"bin/{name}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
    return buffer.getvalue()


@contextlib.contextmanager
def engines(docker: str) -> Iterator[list[Engine]]:
    """Ours, in a home of its own, and the Docker engine on the socket `docker` ("" for ours alone), image in place."""
    with own_engine(BENCH) as own, contextlib.ExitStack() as cleanup:
        both = [Engine("wardian", own.socket)]
        if docker:
            both.append(Engine("docker", docker.removeprefix("unix://")))
            cleanup.callback(both[1].remove_all)
        for engine in both:
            engine.ensure_image()
        yield both


def milliseconds(action: Callable[..., object], *arguments: Any) -> float:
    start = time.perf_counter()
    action(*arguments)
    return (time.perf_counter() - start) * 1e3


class Row(NamedTuple):
    """Median and best milliseconds of one case for each engine, in the order of the engines."""

    case: str
    medians: tuple[float, ...]
    bests: tuple[float, ...]

    def text(self, width: int = 24) -> str:
        cells = "".join(f"{value:10.2f}" for value in self.medians)
        return f"{self.case:{width}}{cells}   {self.ratio()}".rstrip()

    def ratio(self) -> str:
        """Ours in parts of Docker's; "1.3 ×" where we are slower."""
        if len(self.medians) != 2:
            return ""
        ours, theirs = self.medians
        return f"1/{theirs / ours:.1f}" if ours <= theirs else f"{ours / theirs:.1f} ×"


def interleaved(case: str, actions: Sequence[Callable[[], float]], count: int, gap: float = 0, warm: int = 2) -> Row:
    """Runs the actions in turn (A B A B …), so that the machine's drift falls on both; the first `warm` rounds do not
    count. An action returns its own milliseconds, so it can leave out what it prepares."""
    samples: list[list[float]] = [[] for _ in actions]
    for number in range(count + warm):
        for action, into in zip(actions, samples, strict=True):
            time.sleep(gap)
            value = action()
            if number >= warm:
                into.append(value)
    return Row(case, tuple(map(statistics.median, samples)), tuple(map(min, samples)))


def machine() -> str:
    with open("/proc/self/mounts") as file:
        kinds = {line.split()[2] for line in file}
    groups = "cgroup v1 split" if "cgroup" in kinds else "cgroup v2"
    return f"{os.cpu_count()} cores, Linux {os.uname().release.split('-')[0]}, {groups}"
