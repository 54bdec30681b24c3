"""Health checks by docker's command line and ours, docker-py, compose's depends_on, and an engine that is killed."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import needs
from clients_shared import IMAGE, Command
from engines import TestEngine
from images_made import busybox_image, docker_archive

docker_py = pytest.importorskip("docker")
HEALTH = "{{.State.Health.Status}}"
QUICK = ("--health-interval", "100ms", "--health-retries", "1")


def run_checked(docker: Command, name: str, test: str, *flags: str) -> None:
    docker("run", "-d", "--name", name, "--health-cmd", test, *QUICK, *flags, IMAGE, "sleep", "1000")


def test_it_is_seen_everywhere(docker, wait_until):
    run_checked(docker, "well", "test -e /dev/shm/ok")
    wait_until(lambda: docker.out("inspect", "-f", HEALTH, "well") == "unhealthy", "unhealthy")
    assert "(unhealthy)" in docker.out("ps", "--format", "{{.Status}}")
    docker("exec", "well", "touch", "/dev/shm/ok")
    wait_until(lambda: docker.out("inspect", "-f", HEALTH, "well") == "healthy", "healthy")
    assert docker.out("ps", "-q", "--no-trunc", "-f", "health=healthy") == docker.out("ps", "-q", "--no-trunc")
    assert docker.out("ps", "-q", "-f", "health=unhealthy", "-f", "health=starting") == ""
    assert b"invalid filter 'health=ill'" in docker("ps", "-f", "health=ill", status=1).stderr
    docker("stop", "-t", "0", "well")
    assert docker.out("inspect", "-f", HEALTH, "well") == "unhealthy"


def test_the_flags_are_in_inspect(docker):
    flags = "--health-cmd a --health-interval 2s --health-timeout 3s --health-start-period 4s --health-retries 5"
    docker("create", "--name", "asked", *flags.split(), "--health-start-interval", "6s", IMAGE)
    assert json.loads(docker.out("inspect", "-f", "{{json .Config.Healthcheck}}", "asked")) == {
        "Test": ["CMD-SHELL", "a"], "Interval": 2 * 10**9, "Timeout": 3 * 10**9, "StartPeriod": 4 * 10**9,
        "StartInterval": 6 * 10**9, "Retries": 5,
    }  # fmt: skip
    assert docker.out("inspect", "-f", "{{.Config.Healthcheck}}", "asked") == "{[CMD-SHELL a] 2s 3s 4s 6s 5}"
    docker("create", "--name", "little", "--health-cmd", "a", IMAGE)
    form = "{{.Config.Healthcheck}} {{with .Config.Healthcheck}}{{.Interval}} {{.Retries}} {{json .}}{{end}}"
    shown = docker.out("inspect", "-f", form, "little")
    assert shown == '{[CMD-SHELL a] 0s 0s 0s 0s 0} 0s 0 {"Test":["CMD-SHELL","a"]}'


def test_a_failure_says_its_words(docker, wait_until):
    run_checked(docker, "says", "echo out; echo err >&2; exit 3")
    wait_until(lambda: docker.out("inspect", "-f", HEALTH, "says") == "unhealthy", "unhealthy")
    shown = docker.out("inspect", "-f", "{{(index .State.Health.Log 0).ExitCode}} {{json .State.Health.Log}}", "says")
    code, _, log = shown.partition(" ")
    assert code == "3" and sorted(json.loads(log)[0]["Output"].split()) == ["err", "out"]


def test_an_image_s_own_check(docker, wait_until):
    image = busybox_image(Healthcheck={"Test": ["CMD-SHELL", "test -e /dev/shm/ok"], "Interval": 10**8, "Retries": 1})
    docker("load", stdin=docker_archive({"health/own:1": image}))
    docker("run", "-d", "--name", "own", "health/own:1", "sleep", "1000")
    wait_until(lambda: docker.out("inspect", "-f", HEALTH, "own") == "unhealthy", "unhealthy")
    docker("run", "-d", "--name", "changed", "--health-cmd", "true", "health/own:1", "sleep", "1000")
    wait_until(lambda: docker.out("inspect", "-f", HEALTH, "changed") == "healthy", "healthy")
    docker("run", "-d", "--name", "unchecked", "--no-healthcheck", "health/own:1", "sleep", "1000")
    assert docker.out("inspect", "-f", "{{.Config.Healthcheck.Test}} {{.State.Health}}", "unchecked") == "[NONE] <nil>"
    assert "health" not in docker.out("ps", "-f", "name=unchecked", "--format", "{{.Status}}")
    docker("rm", "-f", "own", "changed", "unchecked")
    docker("rmi", "health/own:1")


def test_events(docker, wait_until):
    since = str(time.time())
    run_checked(docker, "told", "true", "--label", "a=b")
    wait_until(lambda: docker.out("inspect", "-f", HEALTH, "told") == "healthy", "healthy")
    docker("rm", "-f", "told")
    until = ("--since", since, "--until", str(time.time()))
    said = docker.out("events", *until, "-f", "event=health_status", "--format", "{{.Action}} {{.Actor.Attributes.a}}")
    assert said == "health_status: healthy b"
    said = docker.out("events", *until, "-f", "container=told", "--format", "{{.Action}}").splitlines()
    assert said[2:6] == [
        "exec_create: /bin/sh -c true", "exec_start: /bin/sh -c true", "exec_die", "health_status: healthy",
    ]  # fmt: skip


@pytest.mark.parametrize(("action", "code"), [("kill", "137"), ("stop", "5")])
def test_podman_s_action_on_failure(wardian, wait_until, action, code):
    flags = ("--health-cmd", "false", *QUICK, "--health-on-failure", action)
    wardian("run", "-d", "--name", "ill", *flags, IMAGE, "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done")
    wait_until(
        lambda: wardian.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ill") == f"exited {code}", ""
    )
    says = wardian("create", "--health-on-failure", action, IMAGE, status=1).stderr
    assert f"cannot set on-failure action to {action} without a health check".encode() in says
    assert b"must be one of" in wardian("create", "--health-on-failure", "sing", IMAGE, status=1).stderr


def test_docker_py(engine_with_image: TestEngine, engine_socket: str, wait_until: Any) -> None:
    client = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    check = {"test": ["CMD-SHELL", "true"], "interval": 10**8, "timeout": 10**9, "retries": 3, "start_period": 10**9}
    container = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, healthcheck=check)

    def healthy() -> bool:
        container.reload()
        return bool(container.health == "healthy" and container.attrs["State"]["Health"]["Log"])

    wait_until(healthy, "healthy")
    assert client.containers.list(filters={"health": "healthy"}) == [container]
    client.close()


PROJECT = """
version: "2.4"
services:
  web:
    image: IMAGE
    command: ["sh", "-c", "date +%s%N > /dev/shm/at; sleep 1000"]
    depends_on: {db: {condition: service_healthy}}
    stop_grace_period: 0s
  db:
    image: IMAGE
    command: ["sh", "-c", "sleep 0.7; touch /dev/shm/ready; sleep 1000"]
    healthcheck: {test: test -e /dev/shm/ready, interval: 0.1s, retries: 100}
    stop_grace_period: 0s
""".replace("IMAGE", IMAGE)


def test_compose_waits_for_the_healthy(engine_with_image: TestEngine, tmp_path: Path) -> None:
    environment = {**os.environ, "DOCKER_HOST": engine_with_image.url, "DOCKER_CONFIG": str(tmp_path)}
    docker = Command([needs.program("docker")], environment)
    (tmp_path / "compose.yaml").write_text(PROJECT)
    command = [needs.program("docker-compose"), "-f", str(tmp_path / "compose.yaml"), "-p", "waits"]
    compose = Command(command, environment)
    try:
        compose("up", "-d", timeout=60)
        assert docker.out("inspect", "-f", HEALTH, "waits_db_1") == "healthy"
        started, ready = (docker.out("inspect", "-f", text, name) for text, name in (
            ("{{.State.StartedAt}}", "waits_web_1"), ("{{(index .State.Health.Log 0).End}}", "waits_db_1"),
        ))  # fmt: skip
        assert started > ready
        assert "Up (healthy)" in compose("ps").stdout.decode()
    finally:
        compose("down", "-t", "0", timeout=60)


def test_an_engine_that_is_killed(engine_with_image: TestEngine, engine_socket: str, tmp_path: Path, wait_until: Any):
    """The next one knows the results and goes on; the probe that hung ends by itself, its time over."""
    docker = Command([needs.program("docker")], {**os.environ, "DOCKER_HOST": f"unix://{engine_socket}"})
    run_checked(docker, "lives", "true")
    docker("run", "-d", "--name", "hangs", "--health-cmd", "exec sleep 54321", "--health-interval", "100ms",
           "--health-timeout", "1s", IMAGE, "sleep", "1000")  # fmt: skip
    wait_until(lambda: docker.out("inspect", "-f", HEALTH, "lives") == "healthy", "healthy")

    wait_until(lambda: len(_sleepers()) == 1, "a probe that hangs")
    engine_with_image.kill()
    engine_with_image.start()
    assert docker.out("inspect", "-f", HEALTH, "lives") == "healthy"
    first = json.loads(docker.out("inspect", "-f", "{{json .State.Health.Log}}", "lives"))[-1]
    wait_until(lambda: first not in json.loads(docker.out("inspect", "-f", "{{json .State.Health.Log}}", "lives")), "")
    hung = docker.out("inspect", "-f", "{{len .State.Health.Log}}", "hangs")
    wait_until(lambda: docker.out("inspect", "-f", "{{len .State.Health.Log}}", "hangs") > hung, "another check")
    end = time.monotonic() + 12  # a second, and the supervisor's patience
    while len(_sleepers()) > 1:
        assert time.monotonic() < end, "what the killed engine started does not end"
        time.sleep(0.1)


def _sleepers() -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if file.read() == b"sleep\x0054321\0":
                    found.append(name)
        except OSError:
            continue
    return found
