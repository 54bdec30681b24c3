"""The engine's whole process group is killed with -9, at any moment: the next one has every container and no ghost."""

import glob
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker as docker_py
import pytest

import homes
from clients_shared import IMAGE
from engines import TestEngine
from images_made import busybox_image, docker_archive

WaitUntil = Callable[[Callable[[], bool], str], None]
MANY = 20
SLEEPER = ["sleep", "86399"]


@pytest.fixture
def own_engine(new_engine: Callable[[], TestEngine]) -> TestEngine:
    """An engine that may be killed in the midst of things."""
    made = new_engine()
    with made.client.stream(
        "POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}
    ) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    return made


@pytest.fixture
def connect(own_engine: TestEngine) -> Iterator[Callable[[], docker_py.DockerClient]]:
    made: list[docker_py.DockerClient] = []

    def new() -> docker_py.DockerClient:
        made.append(docker_py.DockerClient(base_url=own_engine.url, version="1.51", timeout=30, max_pool_size=MANY))
        return made[-1]

    yield new
    for client in made:
        client.close()


def _held(engine: TestEngine) -> dict[str, int]:
    """What containers of this engine hold in the kernel and on disk."""
    home = engine.home
    links = subprocess.run(["ip", "-o", "link", "show", "master", home.bridge], capture_output=True, text=True)
    groups = [
        path
        for mount in homes.cgroup_mounts()
        for path in glob.glob(f"{mount}/{home.cgroup_base}/**/", recursive=True)
        if len(os.path.basename(path.rstrip("/"))) == 64
    ]
    with open("/proc/self/mountinfo") as file:
        mounts = [line for line in file if home.data_root in line]
    return {
        "links": len([line for line in links.stdout.splitlines() if "veth" in line]),
        "groups": len({os.path.basename(path.rstrip("/")) for path in groups}),
        "mounts": len(mounts),
        "directories": len(os.listdir(f"{home.data_root}/containers")),
        "run directories": len(os.listdir(f"{home.run_root}/containers")),
    }


@pytest.mark.parametrize("doing", ["start", "remove", "exec"])
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_amid_twenty_at_once(own_engine, connect, doing, seed, wait_until: WaitUntil):
    """What was not done is not there, or can be done again; what runs is as it was; all of it can be taken away."""
    at_first = _held(own_engine)
    client = connect()

    def one(number: int) -> None:
        try:
            container = client.containers.run(IMAGE, SLEEPER, name=f"n{number}", detach=True)
            if doing == "remove":
                container.remove(force=True)
            elif doing == "exec":
                container.exec_run(["echo", "hi"])
        except (docker_py.errors.DockerException, OSError):
            return  # what an engine's end looks like from outside

    threads = [threading.Thread(target=one, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    time.sleep(random.Random(f"{doing}{seed}").uniform(0.05, 0.8))
    own_engine.kill()
    for thread in threads:
        thread.join(30)
    own_engine.start()
    client = connect()
    found = client.containers.list(all=True)
    running = [container for container in found if container.status == "running"]
    assert len({_address(container) for container in running}) == len(running)
    for container in running:
        assert container.exec_run(["echo", "hi"]).output == b"hi\n"
    wait_until(lambda: _held(own_engine)["groups"] == len(running), "a group for each that runs, and no other")
    assert _held(own_engine)["directories"] == len(found)
    names = {container.name for container in found}
    for number in range(MANY):  # a name that is not listed is free
        if f"n{number}" not in names:
            client.containers.create(IMAGE, ["true"], name=f"n{number}")
    for container in client.containers.list(all=True):
        if container.status == "running":
            container.stop(timeout=0)
            assert container.wait()["StatusCode"] == 137
        container.remove()
    wait_until(lambda: _held(own_engine) == at_first, f"nothing left: {_held(own_engine)} is {at_first}")


def _address(container: Any) -> str:
    return str(container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


def test_those_who_watch_and_those_who_wait(docker, engine):
    """An attach and an exec go on, their bytes never went through the engine; the log has no gap; wait works anew."""
    script = "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sleep 0.05; done; exit 5"
    docker("run", "-d", "--name", "rw", IMAGE, "sh", "-c", script)
    waited = docker.start("wait", "rw")
    commands = (("attach", "rw"), ("exec", "rw", "sh", "-c", "echo begun; sleep 1.5; echo done"), ("logs", "-f", "rw"))
    watchers = [docker.start(*command) for command in commands]
    attached, executed, followed = [watcher.stdout for watcher in watchers]
    for output in (attached, executed, followed):
        assert output.readline()  # it has begun
    engine.kill()
    time.sleep(0.3)
    engine.start()
    assert docker.out("wait", "rw") == "5"
    expected = [str(number).encode() for number in range(60)]
    assert attached.read().split()[-1] == b"59"
    assert executed.read() == b"done\n"
    seen = followed.read().split()  # this one ends with the engine, and has no gap until then
    assert seen == expected[1 : len(seen) + 1]
    said = waited.communicate(timeout=20)[0]  # docker's gives up with the engine; ours asks the next one
    assert waited.returncode or said == b"5\n"
    for process in watchers:
        process.communicate(timeout=20)
    assert docker("logs", "rw").stdout.split() == expected
    assert docker.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "rw") == "exited 5"


@pytest.mark.parametrize("engine_lives", [True, False])
def test_a_lost_supervisor_is_137(docker, engine, wait_until: WaitUntil, engine_lives):
    docker("run", "-d", "--name", "lost", IMAGE, *SLEEPER)
    pid = int(docker.out("inspect", "-f", "{{.State.Pid}}", "lost"))
    with open(f"/proc/{pid}/status") as file:
        supervisor = int(next(line for line in file if line.startswith("PPid:")).split()[1])
    if not engine_lives:
        engine.kill()
    os.kill(supervisor, signal.SIGKILL)
    if not engine_lives:
        engine.start()
    assert docker.out("wait", "lost") == "137"
    assert docker.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "lost") == "exited 137"
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "its process is gone with it")
    docker("start", "lost")
    assert docker.out("exec", "lost", "echo", "again") == "again"


def test_what_ended_while_no_engine_looked(docker, engine):
    docker("run", "-d", "--name", "ended", IMAGE, "sh", "-c", "sleep 0.5; exit 9")
    docker("run", "-d", "--rm", "--name", "removes", IMAGE, "sh", "-c", "sleep 0.5")
    engine.kill()
    time.sleep(1)
    engine.start()
    assert docker.out("ps", "-a", "--format", "{{.Names}} {{.State}}") == "ended exited"
    assert docker.out("wait", "ended") == "9"
    docker("rm", "ended")
