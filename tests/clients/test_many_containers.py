"""Fifty at once, and containers that take all they can get: the others and the engine do not notice."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import docker as docker_py
import pytest

from clients_shared import IMAGE

MANY = 50


@pytest.fixture
def client(engine_with_image: Any, engine_socket: str) -> Iterator[docker_py.DockerClient]:
    url = f"unix://{engine_socket}"
    connected = docker_py.DockerClient(base_url=url, version="auto", timeout=60, max_pool_size=MANY + 10)
    yield connected
    connected.close()


def _at_once(work: Callable[[int], object]) -> list[object]:
    results: list[object] = [None] * MANY

    def one(number: int) -> None:
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_fifty_at_once_on_the_bridge(client):
    def run(number: int) -> Any:
        return client.containers.run(IMAGE, ["sleep", "1000"], detach=True, name=f"many{number}")

    containers: list[Any] = _at_once(run)
    assert not [error for error in containers if isinstance(error, Exception)]
    for container in containers:
        container.reload()
    places = [container.attrs["NetworkSettings"]["Networks"]["bridge"] for container in containers]
    for key in ("IPAddress", "MacAddress"):
        assert len({place[key] for place in places}) == MANY
    assert containers[0].exec_run(["ping", "-c", "1", "-W", "5", places[-1]["IPAddress"]]).exit_code == 0
    shown = containers[7].exec_run(["ip", "-4", "-o", "addr", "show", "eth0"]).output.decode()
    assert f" {places[7]['IPAddress']}/" in shown
    assert not [error for error in _at_once(lambda number: containers[number].stop(timeout=0)) if error]
    assert {container.wait()["StatusCode"] for container in containers} == {137}
    assert not [error for error in _at_once(lambda number: containers[number].remove()) if error]
    assert client.containers.list(all=True) == []


def test_out_of_memory_kills_this_container_only(docker):
    docker("run", "-d", "--name", "other", IMAGE, "sleep", "1000")
    docker("run", "--name", "eater", "-m", "32m", IMAGE, "tail", "/dev/zero", status=137)
    assert docker.out("inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", "eater") == "137 true"
    assert docker.out("exec", "other", "echo", "here") == "here"
    assert docker.out("inspect", "-f", "{{.State.OOMKilled}}", "other") == "false"


def test_a_fork_bomb_stays_in_its_limit(docker):
    script = "bomb() { bomb | bomb & }; bomb; sleep 1; echo survived"
    done = docker("run", "--rm", "--pids-limit", "30", IMAGE, "sh", "-c", script)
    assert done.stdout.endswith(b"survived\n")
    assert b"can't fork" in done.stderr
