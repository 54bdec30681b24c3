"""A compose project on our socket: several networks, aliases, a static address, a published port, several of a service.

The same project with Debian's docker-compose 1.29 (Python, docker-py) and, where tests/peers/bring can bring it, with
the newest compose v2 (Go). No volumes and no restart policies: those are other issues.
"""

import json
import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import needs
from clients_shared import IMAGE, Command
from engines import TestEngine

PROJECT = """
services:
  front:
    image: IMAGE
    command: ["sh", "-c", "mkdir -p /www && echo from-front > /www/index.html && exec httpd -f -p 80 -h /www"]
    networks:
      outer: {aliases: [www]}
      inner: {}
    ports: ["127.0.0.1::80"]
    extra_hosts: ["elsewhere:192.0.2.9"]
    dns_search: [example.test]
    stop_grace_period: 0s
  back:
    image: IMAGE
    command: ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www"]
    networks:
      inner: {aliases: [db, database]}
    stop_grace_period: 0s
  fixed:
    image: IMAGE
    command: ["sleep", "600"]
    networks:
      inner: {ipv4_address: 10.87.33.40}
    links: ["back:store"]
    stop_grace_period: 0s
  lone:
    image: IMAGE
    command: ["sleep", "600"]
    networks: [outer]
    stop_grace_period: 0s
networks:
  outer:
    labels: {purpose: test}
  inner:
    internal: true
    driver_opts: {com.docker.network.driver.mtu: "1400"}
    ipam: {config: [{subnet: 10.87.33.0/24, gateway: 10.87.33.1}]}
""".replace("IMAGE", IMAGE)


class Project(NamedTuple):
    compose: Command
    docker: Command
    separator: str  # between the parts of a container's name: _ in 1.29, - in v2

    def container(self, service: str, number: int = 1) -> str:
        return self.separator.join(("woven", service, str(number)))

    def inside(self, service: str, *command: str, status: int | None = 0) -> str:
        done = self.docker("exec", self.container(service), *command, status=status)
        return (done.stdout + done.stderr).decode()


def _client(request: pytest.FixtureRequest) -> tuple[list[str], str]:
    """How a command line of compose begins, and the separator of its names."""
    if request.param == "v2":
        return request.getfixturevalue("peers").compose, "-"
    return [needs.program("docker-compose")], "_"


@pytest.fixture(scope="module", params=["1.29", pytest.param("v2", marks=pytest.mark.soak)])
def project(
    request: pytest.FixtureRequest, engine_with_image: TestEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The project, up; a test leaves it as it was."""
    prefix, separator = _client(request)
    directory = tmp_path_factory.mktemp("compose")
    file = directory / "compose.yaml"
    file.write_text(PROJECT)
    environment = {**os.environ, "DOCKER_HOST": engine_with_image.url, "DOCKER_CONFIG": str(directory)}
    docker = Command([needs.program("docker")], environment)
    compose = Command([*prefix, "-f", str(file), "-p", "woven"], environment)
    try:
        compose("up", "-d", timeout=60)
        yield Project(compose, docker, separator)
        compose("down", "-t", "0", timeout=60)
        assert docker.out("ps", "-aq") == ""
        assert docker.out("network", "ls", "-q", "-f", "name=woven") == ""
    finally:
        docker("rm", "-f", *docker.out("ps", "-aq").split(), "none", status=None)
        docker("network", "prune", "-f", status=None)


def test_names_of_services_and_aliases(project: Project) -> None:
    for name in ("back", "db", "database", project.container("back")):
        assert "from-front" not in project.inside("front", "wget", "-qO-", f"http://{name}/")
    assert project.inside("lone", "wget", "-qO-", "http://www/") == "from-front\n"
    assert project.inside("lone", "wget", "-qO-", "http://front/") == "from-front\n"


def test_a_link_is_a_name_for_one_service_alone(project: Project) -> None:
    assert project.inside("fixed", "wget", "-qO-", "http://store")
    project.inside("front", "nslookup", "store", status=1)


def test_names_end_at_the_network(project: Project) -> None:
    for name in ("back", "db", "fixed"):
        project.inside("lone", "nslookup", f"{name}.", status=1)
    assert "10.87.33.40" in project.inside("front", "nslookup", "fixed.")
    assert "192.0.2.9" in project.inside("front", "cat", "/etc/hosts")
    assert "example.test" in project.inside("front", "cat", "/etc/resolv.conf")


def test_networks_are_apart(project: Project) -> None:
    """An address of the other network is out of reach, and an internal network leads nowhere."""
    address = project.docker.out(
        "inspect", "-f", "{{.NetworkSettings.Networks.woven_inner.IPAddress}}", project.container("back")
    )
    assert address.startswith("10.87.33.")
    assert project.inside("lone", "timeout", "2", "wget", "-qO-", f"http://{address}/", status=143) == ""
    assert "default" not in project.inside("fixed", "ip", "route")
    assert "default" in project.inside("front", "ip", "route")


def test_front_is_on_both(project: Project) -> None:
    found = json.loads(project.docker.out("inspect", project.container("front")))[0]["NetworkSettings"]["Networks"]
    assert sorted(found) == ["woven_inner", "woven_outer"]
    assert "www" in found["woven_outer"]["Aliases"]
    links = project.inside("front", "ip", "-o", "link")
    assert "eth0" in links
    assert "eth1" in links
    assert "mtu 1400" in project.inside("fixed", "ip", "link", "show", "eth0")


def test_the_published_port_answers(project: Project) -> None:
    host, _, port = project.compose.out("port", "front", "80").rpartition(":")
    assert host == "127.0.0.1"
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"from-front" in connection.makefile("rb").read()


def test_several_of_a_service_share_its_name(project: Project) -> None:
    project.compose("up", "-d", "--scale", "back=3", timeout=60)
    assert project.inside("front", "nslookup", "db.").count("10.87.33.") >= 3
    project.compose("up", "-d", "--scale", "back=1", timeout=60)
    assert project.inside("front", "nslookup", "db.").count("10.87.33.") == 1


def test_up_again_changes_nothing(project: Project) -> None:
    before = project.docker.out("ps", "-q", "--no-trunc")
    project.compose("up", "-d", timeout=60)
    assert project.docker.out("ps", "-q", "--no-trunc") == before
    project.compose("stop", "-t", "0", timeout=60)
    project.compose("start", timeout=60)
    assert project.inside("lone", "wget", "-qO-", "http://www/") == "from-front\n"
