"""Volumes by the PyPI package `docker`, in its newest and its oldest API."""

import docker as docker_py
import pytest

from clients_shared import IMAGE


@pytest.fixture(params=["auto", "1.24", "1.41"])
def client(request, engine_with_image, engine_socket):
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version=request.param, timeout=20)
    yield connected
    for volume in connected.volumes.list():
        volume.remove(force=True) if connected.api._version != "1.24" else volume.remove()
    connected.close()


def test_a_volume_s_life(client):
    volume = client.volumes.create("pyvol", driver="local", labels={"k": "v"})
    assert (volume.name, volume.attrs["Labels"], volume.attrs["Driver"]) == ("pyvol", {"k": "v"}, "local")
    assert client.volumes.create("pyvol").name == "pyvol"
    assert [one.name for one in client.volumes.list(filters={"label": "k=v"})] == ["pyvol"]
    assert client.volumes.list(filters={"name": "other"}) == []
    anonymous = client.volumes.create()
    assert len(anonymous.name) == 64
    anonymous.remove()
    volume.remove()
    with pytest.raises(docker_py.errors.NotFound):
        client.volumes.get("pyvol")
    with pytest.raises(docker_py.errors.APIError) as caught:
        client.volumes.create("..")
    assert caught.value.status_code == 400


def test_containers_with_volumes(client):
    said = client.containers.run(
        IMAGE, ["sh", "-c", "echo kept > /v/f; cat /v/f"], volumes={"pyvol": {"bind": "/v", "mode": "rw"}}, remove=True
    )
    assert said == b"kept\n"
    holder = client.containers.create(IMAGE, volumes={"pyvol": {"bind": "/v", "mode": "ro"}})
    with pytest.raises(docker_py.errors.APIError) as caught:
        client.volumes.get("pyvol").remove()
    assert caught.value.status_code == 409 and "volume is in use" in caught.value.explanation
    said = client.containers.run(IMAGE, ["cat", "/v/f"], volumes_from=[holder.id], remove=True)
    assert said == b"kept\n"
    holder.remove(v=True)
    assert [one.name for one in client.volumes.list()] == ["pyvol"]


def test_prune_by_version(client):
    client.volumes.create("pyvol")
    anonymous = client.volumes.create()
    if client.api._version == "1.24":
        return  # docker-py does not prune there
    gone = client.volumes.prune()["VolumesDeleted"]
    assert anonymous.name in gone
    assert ("pyvol" in gone) == (client.api._version == "1.41")


def test_mounts(client):
    if client.api._version == "1.24":  # Mounts came with 1.25
        return
    mount = docker_py.types.Mount("/m", "pymount", labels={"a": "b"}, no_copy=True, read_only=True)
    container = client.containers.create(IMAGE, ["true"], mounts=[mount])
    (found,) = container.attrs["Mounts"]
    assert (found["Name"], found["RW"], found["Mode"]) == ("pymount", False, "z")
    assert client.volumes.get("pymount").attrs["Labels"] == {"a": "b"}
    container.remove()
