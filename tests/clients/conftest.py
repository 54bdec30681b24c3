"""What the client tests share: the engine with an image in it, and docker's own command line against it."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import needs
from clients_shared import IMAGE, Command
from engines import TestEngine
from images_made import busybox_image, docker_archive


@pytest.fixture(scope="module")
def engine_with_image(engine: TestEngine) -> TestEngine:
    archive = docker_archive({IMAGE: busybox_image()})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    return engine


def _environment(socket: str, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": f"unix://{socket}", "TERM": "xterm"}


@pytest.fixture(params=["docker", "wardian"])
def docker(
    request: pytest.FixtureRequest, engine_with_image: TestEngine, engine_socket: str, tmp_path: Path
) -> Iterator[Command]:
    """Docker's own command line, then ours, which must do the same: on the module's engine, which removes afterwards
    what it has made (`engine_socket`)."""
    prefix = [needs.program("docker")] if request.param == "docker" else [sys.executable, "-m", "wardian.cli"]
    command = Command(prefix, _environment(engine_socket, tmp_path))
    yield command
    command.close()


@pytest.fixture
def wardian(engine_with_image: TestEngine, engine_socket: str, tmp_path: Path) -> Iterator[Command]:
    """Our command line alone, for what only it has."""
    command = Command([sys.executable, "-m", "wardian.cli"], _environment(engine_socket, tmp_path))
    yield command
    command.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], str], None]:
    def wait(condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, f"not within 10 s: {what}"
            time.sleep(0.02)

    return wait
