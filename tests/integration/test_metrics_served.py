"""/metrics of an engine: on the API's socket, and alone on a loopback port."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client.start import engine_answers, server_arguments
from wardian.home import Home

IMAGE = "metrics/busybox:1"


def values(engine: TestEngine) -> dict[str, float]:
    response = engine.client.request("GET", "/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return read(response.body.decode())


def read(text: str) -> dict[str, float]:
    """Every line is one of the format's."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("# HELP ") and not line.startswith("# TYPE "):
            assert re.fullmatch(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? [0-9.e+-]+', line), line
            name, _, value = line.rpartition(" ")
            assert name not in found, line
            found[name] = float(value)
    return found


def test_what_happened_is_counted(new_engine: Callable[..., TestEngine]) -> None:
    engine = new_engine()
    with engine.client.stream(
        "POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}
    ) as said:
        said.read()
    before = values(engine)
    made = engine.client.call("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["sleep", "1000"]})
    assert isinstance(made, dict)
    engine.client.call("POST", f"/containers/{made['Id']}/start")
    now = values(engine)
    assert now['engine_daemon_container_states_containers{state="running"}'] == 1
    assert now['wardian_containers{state="running"}'] == 1
    for change in ("created", "started"):
        name = f'wardian_container_changes_total{{change="{change}"}}'
        assert (before[name], now[name]) == (0, 1)
    assert now["wardian_last_event"] > before["wardian_last_event"]
    assert now["engine_daemon_events_total"] - before["engine_daemon_events_total"] == 3  # create, connect, start
    engine.client.call("POST", f"/containers/{made['Id']}/kill")
    assert engine.client.request("GET", "/containers/nobody/json").status == 404
    after = values(engine)
    assert after['wardian_container_changes_total{change="exited"}'] == 1
    assert after['wardian_containers{state="exited"}'] == 1
    assert after['wardian_api_requests_total{method="GET",code="404"}'] == 1
    started = 'method="POST",operation="/containers/{id}/start"'
    assert after[f"wardian_api_request_seconds_count{{{started}}}"] == 1
    assert 0 < after[f"wardian_api_request_seconds_sum{{{started}}}"] < 5
    assert after["process_open_fds"] > 5 and after["process_resident_memory_bytes"] > 1 << 20


@pytest.fixture
def served(new_home: Callable[[], Home]) -> Iterator[tuple[Home, int]]:
    """An engine with --metrics-addr."""
    home = new_home()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "wardian.server", *server_arguments(home), "--metrics-addr", f"127.0.0.1:{port}"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while not engine_answers(home.socket):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    yield home, port
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not os.path.exists(home.socket)


def ask(port: int, method: str, path: str, host: str = "") -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.read()


def test_a_port_of_its_own(served: tuple[Home, int]) -> None:
    _, port = served
    status, body = ask(port, "GET", "/metrics")
    assert status == 200
    assert read(body.decode())["engine_daemon_engine_cpus_cpus"] >= 1
    assert ask(port, "HEAD", "/metrics") == (200, b"")
    for method, path in (("GET", "/containers/json"), ("POST", "/metrics"), ("GET", "/"), ("GET", "/v1.51/info")):
        assert ask(port, method, path)[0] == 404
    with socket.create_connection(("127.0.0.1", port)) as sock:  # nobody's request: it is let go, and others go on
        sock.sendall(b"\x00" * 20000)
        assert ask(port, "GET", "/metrics")[0] == 200


def test_a_page_whose_name_leads_here_is_told_nothing(served: tuple[Home, int]) -> None:
    """DNS rebinding: a browser on this host takes 127.0.0.1 for the page's own server, and names that in Host."""
    _, port = served
    for host in (f"127.0.0.1:{port}", "127.9.9.9", f"localhost:{port}", "LOCALHOST", "localhost.", f"[::1]:{port}"):
        assert ask(port, "GET", "/metrics", host)[0] == 200, host
    for host in (f"evil.example:{port}", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]:80"):
        status, body = ask(port, "GET", "/metrics", host)
        assert (status, b"engine_daemon" in body) == (421, False), host
    for request, status in (
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nhost: evil.example\r\n\r\n", b"421"),
    ):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(request)
            assert sock.makefile("rb").readline().split()[1] == status


def test_another_machines_view_is_refused(new_home: Callable[[], Home]) -> None:
    words = [sys.executable, "-m", "wardian.server", *server_arguments(new_home()), "--metrics-addr", "0.0.0.0:9323"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "metrics are served on a loopback address only, not on 0.0.0.0" in done.stderr
