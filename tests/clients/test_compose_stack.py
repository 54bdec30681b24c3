"""What people bring up: a web server, a database and a cache, with volumes, networks, health checks and depends_on.

By Debian's docker-compose 1.29 (Python) and, where tests/peers/bring can bring it, the newest compose v2 (Go).
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import needs
from clients_shared import IMAGE, Command
from engines import TestEngine

# The database takes a moment to be healthy; web begins by asking it, and would end if it were started before.
PROJECT = f"""
services:
  database:
    image: {IMAGE}
    command:
      - sh
      - -c
      - >-
        mkdir -p /www && date +%N >> /data/starts && cp /data/starts /www/starts && sleep 0.5 &&
        echo serving && exec httpd -f -p 5432 -h /www
    volumes: ["data:/data"]
    networks: [inner]
    environment: {{MODE: test}}
    healthcheck:
      {{test: ["CMD", "wget", "-qO-", "http://127.0.0.1:5432/starts"], interval: 200ms, timeout: 5s, retries: 50}}
    stop_grace_period: 0s
  cache:
    image: {IMAGE}
    command: ["sh", "-c", "mkdir -p /tmp/www && echo cached > /tmp/www/key && exec httpd -f -p 6379 -h /tmp/www"]
    tmpfs: ["/tmp"]
    read_only: true
    networks: {{inner: {{aliases: [memory]}}}}
    stop_grace_period: 0s
  web:
    image: {IMAGE}
    command:
      - sh
      - -c
      - >-
        set -e; wget -qO /content/index.html http://database:5432/starts; wget -qO /content/key http://memory:6379/key;
        echo "web is up"; exec httpd -f -p 80 -h /content
    working_dir: /content
    volumes: ["/content"]
    networks: [inner, outer]
    ports: ["127.0.0.1::80"]
    depends_on:
      database: {{condition: service_healthy}}
      cache: {{condition: service_started}}
    healthcheck: {{test: "wget -qO- http://127.0.0.1/key", interval: 200ms, timeout: 5s, retries: 50}}
    labels: {{role: front}}
    init: true
    stop_grace_period: 0s
volumes:
  data:
networks:
  inner: {{internal: true}}
  outer:
"""


class Stack(NamedTuple):
    compose: Command
    docker: Command
    v2: bool

    def container(self, service: str) -> str:
        return ("-" if self.v2 else "_").join(("stack", service, "1"))

    def fetch(self, path: str) -> str:
        address = self.compose.out("port", "web", "80")
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
        return text


@pytest.fixture(params=["1.29", pytest.param("v2", marks=pytest.mark.soak)])
def stack(
    request: pytest.FixtureRequest, engine_with_image: TestEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    v2 = request.param == "v2"
    directory = tmp_path_factory.mktemp("stack")
    file = directory / "compose.yaml"
    file.write_text(PROJECT)
    environment = {**os.environ, "DOCKER_HOST": engine_with_image.url, "DOCKER_CONFIG": str(directory)}
    docker = Command([needs.program("docker")], environment)
    prefix = request.getfixturevalue("peers").compose if v2 else [needs.program("docker-compose")]
    compose = Command([*prefix, "-f", str(file), "-p", "stack"], environment)
    try:
        yield Stack(compose, docker, v2)
    finally:
        compose("down", "-v", "-t", "0", timeout=60, status=None)
        docker("rm", "-f", "-v", *docker.out("ps", "-aq").split(), "none", status=None)
        docker("volume", "prune", "-a", "-f", status=None)
        docker("network", "prune", "-f", status=None)


def test_a_stack_comes_up_and_goes_down(stack: Stack) -> None:
    compose, docker = stack.compose, stack.docker
    compose("up", "-d", timeout=90)
    assert stack.fetch("/key") == "cached\n"
    assert len(stack.fetch("/").splitlines()) == 1
    _order(stack)
    _seen(stack)
    _again(stack)
    compose("down", "-v", "-t", "0", timeout=60)
    assert docker.out("ps", "-aq") == ""
    assert docker.out("volume", "ls", "-q") == ""
    assert docker.out("network", "ls", "-q", "-f", "name=stack") == ""


def _order(stack: Stack) -> None:
    """web began when the database was healthy."""
    database, web = (
        json.loads(stack.docker.out("inspect", stack.container(name)))[0]["State"] for name in ("database", "web")
    )
    assert database["Health"]["Status"] == "healthy"
    passed = [one["End"] for one in database["Health"]["Log"] if one["ExitCode"] == 0]
    assert database["StartedAt"] < web["StartedAt"]
    assert passed


def _seen(stack: Stack) -> None:
    listed = stack.compose.out("ps")
    for service in ("web", "database", "cache"):
        assert stack.container(service) in listed
    assert "healthy" in listed
    assert stack.compose.out("ps", "-q", "web") == stack.docker.out("ps", "-q", "--no-trunc", "-f", "label=role=front")
    assert "web is up" in stack.compose.out("logs", "web")
    assert "serving" in stack.compose.out("logs", "--tail", "1", "database")
    assert stack.compose.out("exec", "-T", "database", "sh", "-c", "echo $MODE; wc -l < /data/starts") == "test\n1"
    assert stack.compose("exec", "-T", "cache", "touch", "/file", status=None).returncode == 1
    assert "httpd" in stack.compose.out("top", "web")
    assert IMAGE.partition(":")[0] in stack.compose.out("images")
    stack.compose("config")


def _again(stack: Stack) -> None:
    """The volume outlives its container; pause, kill, restart and run work by service."""
    stack.compose("pause", "cache")
    assert "aused" in stack.compose.out("ps", "cache")
    stack.compose("unpause", "cache")
    stack.compose("restart", "-t", "0", "database", timeout=60)
    assert stack.compose.out("exec", "-T", "database", "wc", "-l", "/data/starts") == "2 /data/starts"
    stack.compose("rm", "-s", "-f", "-v", "web", timeout=60)
    stack.compose("up", "-d", timeout=90)
    assert len(stack.fetch("/").splitlines()) == 2
    once = ("run", "--rm", "--no-deps", *(() if stack.v2 else ("-T",)), "web", "wget", "-qO-", "http://memory:6379/key")
    assert "cached" in stack.compose.out(*once)
    stack.compose("kill", "web")
    assert stack.container("web") not in stack.docker.out("ps", "--format", "{{.Names}}")
