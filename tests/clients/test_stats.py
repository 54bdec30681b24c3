"""stats: what a container uses is what the kernel says, by docker's command line, ours and docker-py."""

import json
import time

import docker as docker_py
import pytest

from clients_shared import IMAGE

COLUMNS = "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O"


@pytest.fixture
def client(engine_with_image, engine_socket):
    made = docker_py.DockerClient(base_url=f"unix://{engine_socket}")
    yield made
    made.close()


def test_a_table(docker):
    docker("run", "-d", "--name", "busy", "--cpus", "0.5", "-m", "64m", IMAGE, "sh", "-c", "while :; do :; done")
    docker("create", "--name", "idle", IMAGE, "true")
    head, line = docker.out("stats", "--no-stream").splitlines()
    assert head.startswith(COLUMNS) and head.endswith("BLOCK I/O   PIDS")
    assert line.split()[1] == "busy" and " / 64MiB " in line and line.rstrip().endswith(" 1")
    assert 0 < float(line.split()[2].rstrip("%")) < 80
    told = [json.loads(one) for one in docker.out("stats", "-a", "--no-stream", "--format", "json").splitlines()]
    assert [one["Name"] for one in told] == ["idle", "busy"]
    assert told[0]["MemUsage"] == "0B / 0B" and told[0]["PIDs"] == "0"
    whole = docker.out("inspect", "-f", "{{.Id}}", "busy")
    shown = docker.out("stats", "--no-stream", "--no-trunc", "--format", "{{.Container}} {{.ID}} {{.Name}}", "busy")
    assert shown == f"busy {whole} busy"
    assert b"No such container: nobody" in docker("stats", "--no-stream", "nobody", "busy", status=1).stderr


def test_as_it_changes(docker, wait_until):
    """Containers that come and go while it is shown."""
    docker("run", "-d", "--name", "first", IMAGE, "sleep", "1000")
    process = docker.start("stats", "--format", "{{.Name}}")
    seen = b""

    def has(name: bytes) -> bool:
        nonlocal seen
        seen += process.stdout.read1()
        return name in seen

    try:
        wait_until(lambda: has(b"first"), "the first container")
        docker("run", "-d", "--name", "second", IMAGE, "sleep", "1000")
        wait_until(lambda: has(b"second"), "the second container")
        docker("rm", "-f", "second")
        time.sleep(1.2)
        process.stdout.read1()
        time.sleep(0.7)
        assert b"second" not in process.stdout.read1()
    finally:
        process.kill()
        process.wait()


def test_only_ours_shows_cache_throttling_and_pressure(wardian, wait_until):
    script = "dd if=/dev/zero of=/f bs=1M count=20 2>/dev/null; while :; do :; done"
    wardian("run", "-d", "--name", "busy", "--cpus", "0.05", IMAGE, "sh", "-c", script)

    def shown() -> list[str]:
        said = wardian.out("stats", "--no-stream", "--format", "{{.PageCache}}|{{.Throttled}}|{{.Pressure}}", "busy")
        return said.split("|")

    def throttled() -> bool:
        cache, share, _ = shown()
        return cache.startswith("20") and cache.endswith("MiB") and float(share.rstrip("%")) > 50

    wait_until(throttled, "a container that is throttled more than half of the time")
    assert len(shown()[2].split(" / ")) == 3


def test_docker_py(client):
    container = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, name="told", pids_limit=7)
    found = container.stats(stream=False)
    assert (found["name"], found["id"]) == ("/told", container.id)
    assert found["pids_stats"] == {"current": 1, "limit": 7}
    assert found["preread"] > "2" and found["cpu_stats"]["system_cpu_usage"] > found["precpu_stats"]["system_cpu_usage"]
    assert found["networks"]["eth0"]["rx_bytes"] >= 0
    once = client.api.stats(container.id, stream=False, one_shot=True)
    assert once["preread"].startswith("0001") and once["memory_stats"]["usage"] > 0
    stream = container.stats(stream=True, decode=True)
    first, second = next(stream), next(stream)
    assert first["preread"].startswith("0001") and second["preread"] == first["read"]
    container.pause()
    assert client.api.stats(container.id, stream=False, one_shot=True)["pids_stats"]["current"] == 1
    container.unpause()
    container.kill()
    container.wait()
    assert next(one for one in stream if one["read"].startswith("0001"))["pids_stats"] == {}
    container.remove()
    assert [one["pids_stats"] for one in stream] in ([], [{}])  # it ends with the container
    with pytest.raises(docker_py.errors.NotFound):
        client.api.stats("nobody", stream=False)
    with pytest.raises(docker_py.errors.APIError, match="cannot have stream=true and one-shot=true"):
        next(client.api._stream_helper(client.api._get(client.api._url("/containers/x/stats?one-shot=1"), stream=True)))


def test_networks_are_those_of_its_namespace(client):
    other = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, name="owner")
    joined = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, network_mode="container:owner")
    hosts = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, network_mode="host")
    none = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, network_mode="none")
    told = {one.id: client.api.stats(one.id, stream=False, one_shot=True) for one in (other, joined, hosts, none)}
    assert list(told[other.id]["networks"]) == list(told[joined.id]["networks"]) == ["eth0"]
    assert "networks" not in told[hosts.id] and "networks" not in told[none.id]
