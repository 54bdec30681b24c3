"""CVE-2019-14271: docker-tar changed its root into the container and loaded the container's libnss there. Here nothing
changes its root, and nothing of a container is mapped or run while its files are copied."""

import os
import threading
from collections.abc import Iterator

import pytest

from copied import Copied, member, tar_of
from engines import TestEngine

_LIBRARIES = ("lib/x86_64-linux-gnu/libnss_files.so.2", "usr/lib/libnss_files.so.2", "lib64/libc.so.6")


@pytest.fixture
def container(engine: TestEngine) -> Iterator[Copied]:
    made = Copied(engine, ["sleep", "1000"])
    planted = [member(name, b"\x7fELF planted", mode=0o755) for name in _LIBRARIES]
    switch = member("etc/nsswitch.conf", b"passwd: files\n")
    users = member("etc/passwd", b"u:x:7:8::/:/bin/sh\n")
    assert made.upload("/", tar_of(*planted, switch, users, member("big", bytes(30 << 20)))) == 200
    made.start()
    yield made
    made.remove()


def test_nothing_of_a_container_is_loaded_and_no_root_changed(engine: TestEngine, container: Copied) -> None:
    started = os.listdir(f"/proc/{engine.pid}/task")
    roots, children, mapped = set(), set(), set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for task in os.listdir(f"/proc/{engine.pid}/task"):
                try:
                    roots.add(os.readlink(f"/proc/{engine.pid}/task/{task}/root"))
                    with open(f"/proc/{engine.pid}/task/{task}/children") as file:
                        children.update(file.read().split())
                except OSError:
                    continue
            with open(f"/proc/{engine.pid}/maps") as file:
                mapped.update((line.split()[4], line.split()[-1]) for line in file if ".so" in line)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(5):
            assert container.download("/big")
            assert container.upload("/", tar_of(member("new", b"x")), copyUIDGID=True) == 200
    finally:
        done.set()
        watcher.join()
    assert started
    assert roots == {os.readlink(f"/proc/{os.getpid()}/root")}
    assert not [pid for pid in children if _is_new(pid)]
    # a file of the container has a path of the host's, and the number of another file
    assert not [path for inode, path in mapped if not os.path.exists(path) or os.stat(path).st_ino != int(inode)]


def _is_new(pid: str) -> bool:
    """Whether it is something else than the engine's own resolver and launchers."""
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return "wardian" not in file.read()
    except OSError:
        return False
