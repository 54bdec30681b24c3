"""A compose project's volumes: named, of the image, without a name; kept when a service is made anew, gone by down -v.

By Debian's docker-compose 1.29 and, where tests/peers/bring can bring it, the newest compose v2.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import needs
from clients_shared import Command
from engines import TestEngine
from images_made import MadeImage, busybox_layer, docker_archive, layer_tar

IMAGE = "with-volume:test"
PROJECT = f"""
services:
  db:
    image: {IMAGE}
    command: ["sh", "-c", "date +%N >> /anon/log; date +%N >> /named/log; exec sleep 600"]
    volumes: ["data:/named", "/anon", "./given:/given:ro"]
    stop_grace_period: 0s
  reader:
    image: {IMAGE}
    command: ["sleep", "600"]
    volumes: [{{type: volume, source: data, target: /seen, read_only: true, volume: {{nocopy: true}}}}]
    stop_grace_period: 0s
volumes:
  data:
    labels: {{of: project}}
"""


@pytest.fixture(params=["1.29", pytest.param("v2", marks=pytest.mark.soak)])
def project(request: pytest.FixtureRequest, engine: TestEngine, tmp_path: Path) -> Iterator[tuple[Command, Command]]:
    image = MadeImage([busybox_layer(), layer_tar({"own/": None, "own/file": b"image"})], {"Volumes": {"/own": {}}})
    with engine.client.stream("POST", "/images/load", docker_archive({IMAGE: image}), {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    (tmp_path / "compose.yaml").write_text("version: '3.8'\n" + PROJECT)
    (tmp_path / "given").mkdir()
    environment = {**os.environ, "DOCKER_HOST": engine.url, "DOCKER_CONFIG": str(tmp_path)}
    old = request.param == "1.29"
    if old:  # it makes no service anew with API 1.45 and later, whoever the engine is
        environment["COMPOSE_API_VERSION"] = "1.44"
    prefix = [needs.program("docker-compose")] if old else request.getfixturevalue("peers").compose
    docker = Command([needs.program("docker")], environment)
    compose = Command([*prefix, "-f", str(tmp_path / "compose.yaml"), "-p", "kept"], environment)
    yield compose, docker
    compose("down", "-v", "-t", "0", timeout=60)
    assert docker.out("ps", "-aq") == ""
    assert "kept_data" not in docker.out("volume", "ls", "-q")
    left = engine.client.call("GET", "/volumes")  # of containers that `down` removed: without -v they stay
    for volume in left["Volumes"]:
        engine.client.call("DELETE", f"/volumes/{volume['Name']}")


def test_volumes_of_a_project(project: tuple[Command, Command]) -> None:
    compose, docker = project
    compose("up", "-d", timeout=60)
    assert docker.out("volume", "ls", "-q", "-f", "label=of=project") == "kept_data"
    assert docker.out("volume", "inspect", "-f", '{{index .Labels "com.docker.compose.volume"}}', "kept_data") == "data"

    def lines(service: str, path: str) -> int:
        return int(compose.out("exec", "-T", service, "wc", "-l", path).split()[0])

    assert compose.out("exec", "-T", "db", "cat", "/own/file") == "image"
    assert (lines("reader", "/seen/log"), lines("db", "/anon/log")) == (1, 1)
    compose("up", "-d", "--force-recreate", "-t", "0", timeout=60)
    assert (lines("reader", "/seen/log"), lines("db", "/anon/log")) == (2, 2)
    compose("down", "-t", "0", timeout=60)
    assert "kept_data" in docker.out("volume", "ls", "-q").split()
    compose("up", "-d", timeout=60)
    assert lines("reader", "/seen/log") == 3
