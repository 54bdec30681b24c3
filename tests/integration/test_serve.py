"""The engine as a process: who may be it, how it ends, how a client starts it."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import TestEngine
from hanging import unread
from wardian.client import Client, Target
from wardian.client.start import engine_answers, engine_log, server_arguments, start_engine
from wardian.errors import WardianError
from wardian.home import Home


def serve(home: Home) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wardian.server", *server_arguments(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_one_engine_for_a_data_root(engine: TestEngine, tmp_path: Path) -> None:
    second = serve(engine.home._replace(run_root=str(tmp_path / "run"), socket=str(tmp_path / "s")))
    assert second.returncode == 1
    assert f"an engine already runs on {engine.home.data_root} (process {engine.pid})" in second.stderr
    assert engine.client.request("GET", "/_ping").status == 200


def test_a_living_socket_is_refused_a_stale_one_replaced(engine: TestEngine, home: Home) -> None:
    refused = serve(home._replace(socket=engine.socket))
    assert refused.returncode == 1
    assert f"something listens on {engine.socket} already" in refused.stderr
    engine.kill()
    assert os.path.exists(engine.socket)
    engine.start()
    mode = os.stat(engine.socket).st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o660)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told(engine: TestEngine, number: signal.Signals) -> None:
    watching = engine.client.stream("GET", "/events")
    os.kill(engine.pid, number)
    end = time.monotonic() + 5
    with pytest.raises(WardianError):
        watching.read()
    watching.close()
    while os.path.exists(engine.socket) and time.monotonic() < end:
        time.sleep(0.01)
    assert not os.path.exists(engine.socket)
    assert engine.terminate() == 0
    engine.start()


@pytest.mark.soak
def test_its_end_waits_for_no_thread_for_ever(new_engine: Callable[[], TestEngine]) -> None:
    """One that walks over a tree of which a part is on a file system that nobody answers for."""
    engine = new_engine()
    engine.client.call("POST", "/volumes/create", {"Name": "far"})
    with unread(Path(engine.home.data_root, "volumes", "far", "_data", "x")), socket.socket(socket.AF_UNIX) as asking:
        asking.connect(engine.socket)
        asking.sendall(b"GET /system/df HTTP/1.1\r\nHost: x\r\n\r\n")
        while "GET /system/df" not in engine.log_text():
            time.sleep(0.01)
        os.kill(engine.pid, signal.SIGTERM)
        assert engine.process.wait(30) == 0
        assert "the end waits no longer for asyncio_" in engine.log_text()
    engine.start()


def test_shutdown_by_the_api(engine: TestEngine) -> None:
    assert engine.client.request("POST", "/wardian/shutdown").status == 204
    assert engine.terminate() == 0
    engine.start()


def test_a_broken_database_is_said(home: Home) -> None:
    os.makedirs(home.data_root)
    Path(home.database).write_bytes(b"this is no database" * 100)
    done = serve(home)
    assert done.returncode == 1
    assert f"wardian serve: {home.database}: file is not a database (it is left as it is" in done.stderr
    assert "Traceback" not in done.stderr
    assert Path(home.database).read_bytes() == b"this is no database" * 100


def test_a_client_starts_the_engine_once(new_home: Callable[[], Home]) -> None:
    home = new_home()
    threads = [threading.Thread(target=start_engine, args=(home,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert engine_answers(home.socket)
        pid = int(Path(home.data_root, "engine.lock").read_text())
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        inherited = [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)]
        assert inherited == ["/dev/null", engine_log(home), engine_log(home)]
        assert Client(Target(home.socket, home)).call("GET", "/version")
        memory = Path(f"/proc/{pid}/smaps_rollup").read_text().split("Rss:")[1].split()[0]
        assert int(memory) < 60 * 1024
    finally:
        Client(Target(home.socket)).request("POST", "/wardian/shutdown")
        os.waitpid(pid, 0)


def test_the_caller_is_known(engine: TestEngine) -> None:
    """SO_PEERCRED is asked of every connection; a client that is gone at once harms nobody."""
    for _ in range(50):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(engine.socket)
        sock.close()
    assert engine.client.request("GET", "/_ping").status == 200
