"""The engine looks into a running container's root before an exec: whose processes make a file or the root itself slow
to answer hold up that exec, and nobody else."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client import Client, Target
from wardian.engine.execs.facts import _refuse_changed_root
from wardian.runtime import resolve_user

IMAGE = "busybox:held"
PATIENCE = 8.0  # of one answer, on a busy machine; who opens a file under a lease waits for 45 s (fcntl(2))
# The container's root may do this to what is its own; here it is done from outside, as busybox has no such command.
_LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print(flush=True)
signal.pause()
"""


@pytest.fixture
def loaded(engine: TestEngine) -> TestEngine:
    archive = docker_archive({IMAGE: busybox_image()})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    return engine


def _run(client: Client, *command: str) -> tuple[str, int]:
    """The container's id and its process."""
    body = {"Image": IMAGE, "Cmd": command, "StopTimeout": 0, "HostConfig": {"NetworkMode": "none"}}
    made: Any = client.call("POST", "/containers/create", body)
    client.call("POST", f"/containers/{made['Id']}/start")
    found: Any = client.call("GET", f"/containers/{made['Id']}/json")
    return made["Id"], found["State"]["Pid"]


def _exec(engine: TestEngine, identity: str) -> int:
    """The status of its start."""
    client = Client(Target(engine.socket))
    made: Any = client.call("POST", f"/containers/{identity}/exec", {"Cmd": ["/script"]})
    status = client.request("POST", f"/exec/{made['Id']}/start", {"Detach": True}).status
    client.close()
    return int(status)


@contextlib.contextmanager
def _under_a_lease(path: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", _LEASE, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        try:
            yield
        finally:
            holder.kill()


@pytest.mark.parametrize("file", ["etc/passwd", "script"])
def test_a_lease_holds_up_its_own_exec_alone(loaded: TestEngine, file: str) -> None:
    identity, pid = _run(loaded.client, "sleep", "1000")
    with open(f"/proc/{pid}/root/script", "w") as script:
        script.write("#!/bin/sh\n")
        os.fchmod(script.fileno(), 0o755)
    statuses: list[int] = []
    with _under_a_lease(f"/proc/{pid}/root/{file}"):
        asked = threading.Thread(target=lambda: statuses.append(_exec(loaded, identity)))
        asked.start()
        end = time.monotonic() + 1  # the exec is under way at some time of that
        while time.monotonic() < end:
            begun = time.monotonic()
            loaded.client.call("GET", "/_ping")
            assert time.monotonic() - begun < PATIENCE
    asked.join(30)
    assert statuses == [200]


def test_a_root_that_was_changed_is_known(loaded: TestEngine) -> None:
    """Where chroot(2) leads may be on another mount: its files are read by a thread."""
    script = "mkdir -p /sub/bin && cp /bin/busybox /sub/bin && touch /made && exec chroot /sub /bin/busybox sleep 1000"
    for identity, pid in (_run(loaded.client, "sleep", "1000"), _run(loaded.client, "sh", "-c", script)):
        changed = loaded.client.call("GET", f"/containers/{identity}/json")["Path"] == "sh"  # type: ignore[index,call-overload]
        end = time.monotonic() + 20
        while changed and os.readlink(f"/proc/{pid}/root") == "/":
            assert time.monotonic() < end
            time.sleep(0.01)
        root = os.open(f"/proc/{pid}/root", os.O_PATH)
        if changed:
            with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
                _refuse_changed_root(root)
        else:
            _refuse_changed_root(root)
        os.close(root)


@pytest.mark.parametrize("rows", [1, 1 << 21])
def test_a_large_database_is_not_for_the_loop(tmp_path: Path, rows: int) -> None:
    """Rows that mean nothing, as many as are read of them at all: seconds of one processor."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("\n" * rows + "root:x:0:0::/root:/bin/sh\n")
    root = os.open(tmp_path, os.O_PATH)
    try:
        if rows == 1:
            assert resolve_user(root, "root", at_once=True)[3] == "/root"
        else:
            with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                resolve_user(root, "root", at_once=True)
    finally:
        os.close(root)
