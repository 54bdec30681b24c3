"""Life by the PyPI package `docker`: restart policies, waits, top, prune; --rm over an engine's end."""

import os
import time

import docker as docker_py
import pytest

from clients_shared import IMAGE


@pytest.fixture
def client(engine_with_image, engine_socket):
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    yield connected
    connected.close()


def test_a_restart_policy(client, wait_until):
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    container = client.containers.run(IMAGE, ["sh", "-c", "exit 3"], detach=True, restart_policy=policy)

    def ended():
        container.reload()
        return container.status == "exited"

    wait_until(ended, "it is given up")
    assert container.attrs["RestartCount"] == 2
    assert container.attrs["HostConfig"]["RestartPolicy"] == policy
    container.update(restart_policy={"Name": "always"})
    container.start()
    wait_until(lambda: container.reload() or container.status == "restarting", "it waits")
    with pytest.raises(docker_py.errors.APIError, match="is restarting, wait until the container is running") as caught:
        container.pause()
    assert caught.value.status_code == 409
    with pytest.raises(docker_py.errors.APIError, match="container is restarting: stop the container before") as caught:
        container.remove()
    assert caught.value.status_code == 409
    container.stop()
    assert ended()


def test_what_is_no_policy(client):
    with pytest.raises(
        docker_py.errors.APIError, match="can't create 'AutoRemove' container with restart policy"
    ) as caught:
        client.containers.create(IMAGE, auto_remove=True, restart_policy={"Name": "always"})
    assert caught.value.status_code == 400


def test_top(client):
    container = client.containers.run(IMAGE, ["sleep", "1000"], detach=True)
    container.reload()
    found = container.top()
    assert found["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert [row[-1] for row in found["Processes"]] == ["sleep 1000"]
    found = container.top(ps_args="-o pid,args")
    assert found == {"Titles": ["PID", "COMMAND"], "Processes": [[str(container.attrs["State"]["Pid"]), "sleep 1000"]]}


@pytest.mark.parametrize("condition", ["not-running", "next-exit", "removed"])
def test_wait(client, condition):
    container = client.containers.run(IMAGE, ["sh", "-c", "sleep 0.5; exit 4"], detach=True, auto_remove=True)
    assert container.wait(condition=condition)["StatusCode"] == 4


def test_prune(client):
    kept = client.containers.create(IMAGE, labels={"keep": "yes"})
    gone = client.containers.create(IMAGE)
    assert client.containers.prune(filters={"until": "1h"})["ContainersDeleted"] is None
    assert client.containers.prune(filters={"label!": ["keep"]})["ContainersDeleted"] == [gone.id]
    assert [one.id for one in client.containers.list(all=True)] == [kept.id]
    with pytest.raises(docker_py.errors.APIError, match="more than one until filter specified"):
        client.containers.prune(filters={"until": ["1h", "2h"]})


def test_removal_takes_anonymous_volumes_though_no_engine_looked(client, engine):
    run = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, auto_remove=True, volumes=["/data"], name="goes")
    run.reload()
    volume = run.attrs["Mounts"][0]["Name"]
    assert [one.name for one in client.volumes.list()] == [volume]
    engine.kill()
    os.kill(run.attrs["State"]["Pid"], 9)
    time.sleep(0.3)
    engine.start()
    assert client.containers.list(all=True) == []
    assert client.volumes.list() == []


def test_our_own_run_is_told_the_code_by_the_next_engine(wardian, engine):
    """--rm, and all of it while no engine runs: the code is still the command's."""
    running = wardian.start("run", "--rm", "--name", "told", IMAGE, "sh", "-c", "echo up; sleep 1; exit 6")
    assert running.stdout.readline() == b"up\n"
    engine.kill()
    time.sleep(1.5)
    engine.start()
    running.communicate(timeout=20)
    assert running.returncode == 6
    assert wardian.out("ps", "-aq") == ""
