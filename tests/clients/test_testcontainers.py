"""testcontainers for Python against our socket: without its reaper, and with one that was built here in Ryuk's place.

It reads its settings when it is imported, so each test is a process of its own.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clients_shared import IMAGE
from engines import TestEngine
from images_made import Entry, MadeImage, docker_archive, layer_tar

REAPER = "reaper:test"
HEAD = f"""
import urllib.request
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs
IMAGE = "{IMAGE}"
WEB = "mkdir /www; cp /given/page /www/index.html; echo web is ready; exec httpd -f -h /www"

def fetch(container):
    url = f"http://{{container.get_container_host_ip()}}:{{container.get_exposed_port(80)}}/"
    return urllib.request.urlopen(url, timeout=5).read().decode()
"""
WHOLE = """
with Network() as network:
    web = DockerContainer(IMAGE).with_command(["sh", "-c", WEB]).with_exposed_ports(80).with_env("KEY", "value")
    web = web.with_volume_mapping(GIVEN, "/given").with_network(network).with_network_aliases("page")
    with web, DockerContainer(IMAGE).with_command("sleep 600").with_network(network) as other:
        wait_for_logs(web, "web is ready", timeout=10)
        print("fetched", fetch(web))
        print("env", web.exec(["sh", "-c", "echo $KEY"]).output.decode())
        print("other", other.exec("wget -qO- http://page/").output.decode())
        print("status", web.exec("false").exit_code, web.get_logs()[0].decode())
"""
LEFT = """
import os
web = DockerContainer(IMAGE).with_command(["sh", "-c", WEB]).with_exposed_ports(80).with_volume_mapping(GIVEN, "/given")
web.start()
wait_for_logs(web, "web is ready", timeout=10)
print("fetched", fetch(web), flush=True)
os._exit(0)  # without a chance to remove anything
"""


@pytest.fixture
def run(engine_with_image: TestEngine, engine_socket: str, tmp_path: Path) -> Callable[..., str]:
    """Runs a script with testcontainers on our engine."""
    (tmp_path / "page").write_text("from testcontainers")

    def script(text: str, **settings: str) -> str:
        settings |= {"DOCKER_HOST": f"unix://{engine_socket}", "TESTCONTAINERS_CONNECTION_MODE": "docker_host"}
        environment = {**os.environ, "HOME": str(tmp_path), "TC_POOLING_INTERVAL": "0.1", **settings}
        program = f"{HEAD}\nGIVEN = {str(tmp_path)!r}\n{text}"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return script


@pytest.fixture(scope="module")
def reaper(engine_with_image: TestEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image that stands in for Ryuk: one static program."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "c", "reaper.c")
    program = tmp_path_factory.mktemp("reaper") / "reaper"
    compiler = "musl-gcc" if shutil.which("musl-gcc") else "gcc"
    subprocess.run([compiler, "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    image = MadeImage([layer_tar({"reaper": Entry(program.read_bytes(), 0o755)})], {"Cmd": ["/reaper"]})
    with engine_with_image.client.stream("POST", "/images/load", docker_archive({REAPER: image})) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    return REAPER


def _check_whole(said: str) -> None:
    for line in ("fetched from testcontainers", "env value", "other from testcontainers", "status 1 web is ready"):
        assert line in said


def test_without_reaper(run: Callable[..., str], engine: TestEngine) -> None:
    _check_whole(run(WHOLE, TESTCONTAINERS_RYUK_DISABLED="true"))
    assert engine.containers() == []
    assert engine.client.call("GET", "/networks", query={"filters": '{"type":["custom"]}'}) == []


def test_with_a_reaper(run: Callable[..., str], engine: TestEngine, reaper: str) -> None:
    _check_whole(run(WHOLE, RYUK_CONTAINER_IMAGE=reaper))


def test_the_reaper_removes_what_a_killed_client_left(run: Callable[..., str], engine: TestEngine, reaper: str) -> None:
    """It has our socket mounted, its port published, and itself goes by --rm."""
    assert "fetched from testcontainers" in run(LEFT, RYUK_CONTAINER_IMAGE=reaper)
    end = time.monotonic() + 10
    while engine.containers():
        assert time.monotonic() < end, engine.containers()
        time.sleep(0.05)
