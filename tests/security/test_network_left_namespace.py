"""An address that is given again is on no other link: who joined a namespace and outlives its owner loses the links."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from engines import TestEngine
from images_made import busybox_image, docker_archive

IMAGE = "left:latest"
ADDRESS = "10.213.9.10"


@pytest.fixture(scope="module")
def engine_with_image(engine: TestEngine) -> TestEngine:
    with engine.client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    return engine


@pytest.fixture
def left(engine_with_image: TestEngine) -> Iterator[TestEngine]:
    """An owner, who joined it, and who joined that one, which is gone by now; beside them an owner that stays."""
    engine = engine_with_image
    config = [{"Subnet": "10.213.9.0/24"}]
    engine.client.call("POST", "/networks/create", {"Name": "left-net", "IPAM": {"Config": config}})
    run(engine, "owner", "left-net", ADDRESS)
    run(engine, "middle", "container:owner")
    run(engine, "joiner", "container:owner")
    run(engine, "far", "container:middle")
    run(engine, "stays", "left-net")
    run(engine, "between", "container:stays")
    run(engine, "guest", "container:between")
    for name in ("middle", "between"):
        engine.client.call("DELETE", f"/containers/{name}", query={"force": "1"})
    yield engine
    engine.remove_containers()
    engine.client.call("DELETE", "/networks/left-net")


def run(engine: TestEngine, name: str, network: str, address: str = "") -> None:
    body = {"Image": IMAGE, "Cmd": ["sleep", "100"], "HostConfig": {"NetworkMode": network}}
    if address:
        asked = {"IPAMConfig": {"IPv4Address": address}}
        body["NetworkingConfig"] = {"EndpointsConfig": {network: asked}}
    engine.client.call("POST", "/containers/create", body, query={"name": name})
    engine.client.call("POST", f"/containers/{name}/start")


def pid(engine: TestEngine, name: str) -> int:
    return int(engine.client.call("GET", f"/containers/{name}/json")["State"]["Pid"])


def links(engine: TestEngine, name: str) -> list[str]:
    shown = ["nsenter", f"--net=/proc/{pid(engine, name)}/ns/net", "ip", "-j", "link"]
    return [link["ifname"] for link in json.loads(subprocess.run(shown, capture_output=True, check=True).stdout)]


def expect_taken_out(engine: TestEngine) -> None:
    assert links(engine, "joiner") == ["lo"]
    assert links(engine, "far") == ["lo"], "by way of one that is removed"
    assert links(engine, "guest") == ["lo", "eth0"], "its owner lives"
    run(engine, "next", "left-net", ADDRESS)
    assert links(engine, "next") == ["lo", "eth0"]


def test_the_owner_ends(left: TestEngine) -> None:
    assert links(left, "joiner") == links(left, "far") == ["lo", "eth0"]
    left.client.call("POST", "/containers/owner/kill")
    left.client.call("POST", "/containers/owner/wait")
    expect_taken_out(left)


def test_a_joiner_renamed_the_link(left: TestEngine) -> None:
    """As one with NET_ADMIN can."""
    inside = ["nsenter", f"--net=/proc/{pid(left, 'joiner')}/ns/net"]
    subprocess.run([*inside, "ip", "link", "set", "eth0", "down"], check=True)
    subprocess.run([*inside, "ip", "link", "set", "eth0", "name", "mine", "up"], check=True)
    left.client.call("POST", "/containers/owner/kill")
    left.client.call("POST", "/containers/owner/wait")
    expect_taken_out(left)


def test_the_owner_ends_while_no_engine_runs(left: TestEngine) -> None:
    owner = pid(left, "owner")
    left.kill()
    subprocess.run(["kill", "-9", str(owner)], check=True)
    left.start()
    left.client.call("POST", "/containers/owner/wait")
    expect_taken_out(left)


def test_a_start_that_joins_while_the_owner_ends(left: TestEngine) -> None:
    """Whichever comes first, nobody lives on with the links of one that has ended."""
    for turn in range(8):
        run(left, f"o{turn}", "left-net", "10.213.9.20")
        body = {"Image": IMAGE, "Cmd": ["sleep", "100"], "HostConfig": {"NetworkMode": f"container:o{turn}"}}
        left.client.call("POST", "/containers/create", body, query={"name": f"j{turn}"})
        killing = subprocess.Popen(["sh", "-c", f"sleep 0.0{turn}; kill -9 {pid(left, f'o{turn}')}"])
        status = left.client.request("POST", f"/containers/j{turn}/start").status
        killing.wait(10)
        left.client.call("POST", f"/containers/o{turn}/wait")
        if status == 204:
            assert links(left, f"j{turn}") == ["lo"]
