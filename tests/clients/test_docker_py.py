"""The PyPI package `docker` on our socket."""

import io
import threading
import time

import docker as docker_py
import pytest

from clients_shared import IMAGE
from images_made import busybox_image
from registry import Registry


@pytest.fixture
def client(engine_with_image, engine_socket):
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    yield connected
    connected.close()


def test_the_newest_and_the_default_version(engine_with_image, engine_socket, client):
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.51"
    older = docker_py.APIClient(base_url=f"unix://{engine_socket}", version="1.24")
    assert older.containers() == []
    older.close()


def test_run(client):
    assert client.containers.run(IMAGE, ["echo", "hi"], remove=True) == b"hi\n"
    with pytest.raises(docker_py.errors.ContainerError) as caught:
        client.containers.run(IMAGE, ["sh", "-c", "echo bad >&2; exit 7"], remove=True)
    assert caught.value.exit_status == 7
    assert caught.value.stderr == b"bad\n"
    with pytest.raises(docker_py.errors.ImageNotFound):
        client.images.get("no/such:image")


def test_life_of_a_container(client):
    container = client.containers.create(IMAGE, ["sleep", "100"], name="life", labels={"a": "b"})
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running"
    assert [one.name for one in client.containers.list(filters={"label": "a=b"})] == ["life"]
    assert container.exec_run(["sh", "-c", "echo in; exit 3"]) == (3, b"in\n")
    out, err = container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output
    assert (out, err) == (b"o\n", b"e\n")
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    container.remove()
    with pytest.raises(docker_py.errors.NotFound):
        client.containers.get("life")


def test_logs_stream(client):
    container = client.containers.run(IMAGE, ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"], detach=True)
    assert b"".join(container.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    assert container.logs(tail=1) == b"3\n"
    container.remove()


def test_attach_socket_carries_stdin(client):
    container = client.containers.create(IMAGE, ["cat"], stdin_open=True)
    sock = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    sock._sock.sendall(b"hello")
    sock._sock.shutdown(1)
    received = b""
    while piece := sock._sock.recv(4096):
        received += piece
    assert received == b"\x01\x00\x00\x00\x00\x00\x00\x05hello"
    sock.close()
    container.remove(force=True)


def test_exec_socket(client):
    container = client.containers.run(IMAGE, ["sleep", "100"], detach=True)
    sock = container.exec_run(["cat"], stdin=True, socket=True).output
    sock._sock.sendall(b"x" * 10)
    sock._sock.shutdown(1)
    received = b""
    while piece := sock._sock.recv(4096):
        received += piece
    assert received.endswith(b"x" * 10)
    sock.close()
    container.remove(force=True)


def test_events(client):
    seen = []

    def read() -> None:
        for event in client.events(decode=True, filters={"type": "container"}):
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                return

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.3)
    client.containers.run(IMAGE, ["true"], remove=True)
    thread.join(10)
    assert seen[0] == "create" and seen[-1] == "destroy"
    assert {"start", "die"} <= set(seen)


def test_pull_tag_remove(client, registry: Registry):
    reference = registry.push_image("py/app:1", busybox_image(Labels={"of": "this test"}))
    image = client.images.pull(reference)
    assert image.tags == [reference]
    assert image.tag("py/other", "2")
    assert "py/other:2" in client.images.get("py/other:2").tags
    assert image.history()
    client.images.remove("py/other:2")
    client.images.remove(reference)
    with pytest.raises((docker_py.errors.NotFound, docker_py.errors.APIError)):
        client.images.pull(f"{registry.address}/py/nothing", tag="1")


def test_load(client):
    from images_made import docker_archive

    images = client.images.load(io.BytesIO(docker_archive({"py/loaded:1": busybox_image()})))
    assert images[0].tags
    client.images.remove("py/loaded:1")


def test_networks_and_info(client):
    assert {"bridge", "host", "none"} <= {network.name for network in client.networks.list()}
    assert client.info()["OSType"] == "linux"
    assert client.df()


def test_what_is_wrong(client):
    with pytest.raises(docker_py.errors.APIError) as caught:
        client.containers.create(IMAGE, ["true"], name="bad name!")
    assert caught.value.status_code == 400
    with pytest.raises(docker_py.errors.APIError) as caught:
        client.api.build(fileobj=io.BytesIO(b"FROM scratch\n"), rm=True).__next__()
    assert caught.value.status_code == 501
    assert "not built yet" in caught.value.explanation
