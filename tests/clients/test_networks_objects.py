"""Networks as objects: what docker's command line and the PyPI package `docker` make, see, filter and remove.

What is expected was seen at Docker 28.5 beside.
"""

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest

import homes
from clients_shared import IMAGE, Command
from engines import TestEngine


@pytest.fixture(autouse=True)
def no_network_left(engine_with_image: TestEngine) -> Iterator[None]:
    yield
    engine_with_image.remove_containers()
    engine_with_image.client.request("POST", "/networks/prune")
    left = engine_with_image.client.call("GET", "/networks", query={"filters": '{"type":["custom"]}'})
    assert left == []


@pytest.fixture
def client(engine_with_image: TestEngine, engine_socket: str) -> Iterator[docker_py.DockerClient]:
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    yield connected
    connected.close()


def described(docker: Command, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker.out("network", "inspect", name))
    return found[0]


def links(name: str) -> list[dict[str, Any]]:
    done = subprocess.run(["ip", "-j", "address", "show", "dev", name], capture_output=True, text=True, timeout=20)
    return list(json.loads(done.stdout or "[]"))


def test_a_network_from_nothing(docker: Command) -> None:
    identity = docker.out("network", "create", "plain")
    assert re.fullmatch("[0-9a-f]{64}", identity)
    found = described(docker, "plain")
    assert found.pop("Id") == identity
    assert found.pop("Created").endswith("Z")
    (config,) = found.pop("IPAM")["Config"]
    assert config["Gateway"] == config["Subnet"].partition("/")[0].removesuffix("0") + "1"
    assert found == {
        "Name": "plain",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }
    (link,) = links(f"br-{identity[:12]}")
    assert [one["local"] for one in link["addr_info"] if one["family"] == "inet"] == [config["Gateway"]]
    assert docker.out("network", "rm", "plain") == "plain"
    assert links(f"br-{identity[:12]}") == []


def test_a_network_with_everything(docker: Command) -> None:
    docker(
        "network", "create", "--ipv6", "--internal", "--attachable", "--label", "a=b", "--label", "c",
        "--subnet", "10.231.5.0/24", "--ip-range", "10.231.5.128/25", "--gateway", "10.231.5.254",
        "--aux-address", "printer=10.231.5.129", "--subnet", "fd12:3456:5::/64", "--gateway", "fd12:3456:5::9",
        "-o", "com.docker.network.driver.mtu=1400", "-o", "com.docker.network.bridge.enable_icc=false", "whole",
    )  # fmt: skip
    found = described(docker, "whole")
    assert sorted(found["IPAM"]["Config"], key=lambda one: str(one["Subnet"])) == [
        {
            "Subnet": "10.231.5.0/24",
            "IPRange": "10.231.5.128/25",
            "Gateway": "10.231.5.254",
            "AuxiliaryAddresses": {"printer": "10.231.5.129"},
        },
        {"Subnet": "fd12:3456:5::/64", "Gateway": "fd12:3456:5::9"},
    ]
    assert (found["Internal"], found["Attachable"], found["EnableIPv6"]) == (True, True, True)
    assert found["Labels"] == {"a": "b", "c": ""}
    assert found["Options"]["com.docker.network.driver.mtu"] == "1400"
    (link,) = links(f"br-{found['Id'][:12]}")
    assert link["mtu"] == 1400
    assert {"10.231.5.254", "fd12:3456:5::9"} <= {one["local"] for one in link["addr_info"]}
    docker("run", "-d", "--name", "on-it", "--network", "whole", IMAGE, "sleep", "100")
    (attached,) = described(docker, "whole")["Containers"].values()
    assert attached["Name"] == "on-it"
    assert attached["IPv4Address"] == "10.231.5.128/24"
    assert attached["IPv6Address"] == "fd12:3456:5::1/64"


def test_what_stands_in_the_way(docker: Command) -> None:
    docker("network", "create", "--subnet", "10.231.6.0/24", "taken")
    refused = [
        (("create", "taken"), "network with name taken already exists"),
        (("create", "host"), "operation is not permitted on predefined host network"),
        (("create", "-d", "null", "another"), 'only one instance of "null" network is allowed'),
        (("create", "-d", "nope", "another"), 'plugin "nope" not found'),
        (("create", "--subnet", "10.231.6.128/25", "another"), "Pool overlaps with other one on this address space"),
        (
            ("create", "--subnet", "10.231.7.5/24", "another"),
            "invalid subnet 10.231.7.5/24: it should be 10.231.7.0/24",
        ),
        (
            ("create", "-o", "com.docker.network.driver.mtu=x", "another"),
            "failed to parse com.docker.network.driver.mtu",
        ),
        (("rm", "bridge"), "bridge is a pre-defined network and cannot be removed"),
        (("rm", "nope"), "network nope not found"),
        (("inspect", "nope"), "network nope not found"),
        (("connect", "nope", "nobody"), "No such container: nobody"),
        (("disconnect", "taken", "nobody"), "No such container: nobody"),
    ]
    for words, text in refused:
        done = docker("network", *words, status=1)
        assert text in done.stderr.decode(), words
    docker("run", "-d", "--name", "holder", "--network", "taken", IMAGE, "sleep", "100")
    done = docker("network", "rm", "taken", status=1)
    assert re.search(r'network taken has active endpoints \(name:"holder" id:"[0-9a-f]{12}"\)', done.stderr.decode()), (
        done.stderr
    )
    docker("rm", "-f", "holder")
    docker("network", "rm", "taken")


def test_a_network_goes_while_a_stopped_container_names_it(docker: Command) -> None:
    """As in Docker: only who runs is on a network."""
    docker("network", "create", "gone")
    docker("create", "--name", "later", "--network", "gone", IMAGE, "true")
    docker("network", "rm", "gone")
    assert b"network gone not found" in docker("start", "later", status=1).stderr


def test_a_network_may_come_after_the_container_that_names_it(docker: Command) -> None:
    docker("create", "--name", "early", "--network", "comes", "--network-alias", "it", IMAGE, "sleep", "100")
    refused = docker("start", "early", status=1).stderr
    assert b"failed to set up container networking: network comes not found" in refused
    assert docker.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "early") == "created 128"
    docker("network", "create", "comes")
    docker("start", "early")
    assert "it" in docker.out("inspect", "-f", "{{json .NetworkSettings.Networks.comes.Aliases}}", "early")
    docker("rm", "-f", "early")
    docker("network", "rm", "comes")


def test_filters(docker: Command) -> None:
    docker("network", "create", "--label", "tier=front", "front")
    docker("network", "create", "--label", "tier=back", "--internal", "back")
    docker("run", "-d", "--name", "on-front", "--network", "front", IMAGE, "sleep", "100")
    identity = docker.out("network", "ls", "-q", "--no-trunc", "--filter", "name=^back$")

    def listed(*filters: str) -> set[str]:
        words = [word for one in filters for word in ("--filter", one)]
        return set(docker.out("network", "ls", "--format", "{{.Name}}", *words).split())

    assert listed() == {"bridge", "host", "none", "front", "back"}
    assert listed("type=custom") == listed("name=front", "name=back") == listed("label=tier") == {"front", "back"}
    assert listed("type=builtin") == {"bridge", "host", "none"}
    assert listed("label=tier=front") == {"front"}
    assert listed(f"id={identity[:12]}") == {"back"}
    assert listed("driver=null", "driver=host") == {"none", "host"}
    assert listed("dangling=true") == {"back"}
    assert listed("scope=swarm") == set()
    assert b"invalid filter 'colour'" in docker("network", "ls", "--filter", "colour=red", status=1).stderr


def test_prune(docker: Command) -> None:
    for name, label in (("used", "x"), ("idle", "x"), ("kept", "keep")):
        docker("network", "create", "--label", label, name)
    docker("run", "-d", "--name", "user", "--network", "used", IMAGE, "sleep", "100")
    assert docker.out("network", "prune", "-f", "--filter", "until=1h") == ""
    assert docker.out("network", "prune", "-f", "--filter", "label!=keep") == "Deleted Networks:\nidle"
    assert docker.out("network", "prune", "-f") == "Deleted Networks:\nkept"
    assert b"invalid filter 'name'" in docker("network", "prune", "-f", "--filter", "name=x", status=1).stderr


def test_a_stopped_container_is_connected_and_disconnected(docker: Command) -> None:
    docker("network", "create", "--subnet", "10.231.8.0/24", "more")
    docker("create", "--name", "still", IMAGE, "sleep", "100")
    docker("network", "connect", "--alias", "other", "--ip", "10.231.8.77", "more", "still")
    (inspected,) = json.loads(docker.out("inspect", "still"))
    asked = inspected["NetworkSettings"]["Networks"]["more"]
    assert asked["Aliases"] == ["other"]
    assert asked["IPAMConfig"] == {"IPv4Address": "10.231.8.77"}
    docker("start", "still")
    assert described(docker, "more")["Containers"][inspected["Id"]]["IPv4Address"] == "10.231.8.77/24"
    assert "still" in str(described(docker, "bridge")["Containers"])
    docker("stop", "-t", "0", "still")
    docker("network", "disconnect", "more", "still")
    docker("start", "still")
    assert described(docker, "more")["Containers"] == {}
    done = docker("network", "connect", "--link-local-ip", "1.1.1.1", "more", "still", status=1)
    assert b"invalid link local IP address: 1.1.1.1" in done.stderr
    done = docker("network", "disconnect", "more", "still", status=1)
    assert f"container {inspected['Id']} is not connected to network more" in done.stderr.decode()


def test_events(client: docker_py.DockerClient) -> None:
    seen: list[dict[str, Any]] = []
    stream = client.events(decode=True, filters={"type": "network"})

    def follow() -> None:
        for event in stream:
            seen.append(event)
            if event["Action"] == "destroy":
                return

    follower = threading.Thread(target=follow)
    follower.start()
    network = client.networks.create("told")
    container = client.containers.run(IMAGE, ["sleep", "100"], detach=True, name="guest", network="told")
    network.disconnect(container)
    network.connect(container)
    container.remove(force=True)
    network.remove()
    follower.join(10)
    stream.close()
    plain, full = (network.name, "bridge"), (container.id, network.name, "bridge")
    assert [(one["Action"], tuple(one["Actor"]["Attributes"].values())) for one in seen] == [
        ("create", plain),
        ("connect", full),
        ("disconnect", full),
        ("connect", full),
        ("disconnect", full),
        ("destroy", plain),
    ]
    assert {one["Actor"]["ID"] for one in seen} == {network.id}
    assert list(seen[1]["Actor"]["Attributes"]) == ["container", "name", "type"]


def test_networks_of_docker_py(client: docker_py.DockerClient) -> None:
    pool = docker_py.types.IPAMPool(subnet="10.231.9.0/24", gateway="10.231.9.1", aux_addresses={"a": "10.231.9.2"})
    network = client.networks.create(
        "py", driver="bridge", ipam=docker_py.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"}, internal=True,
        enable_ipv6=True, check_duplicate=True, attachable=True,
    )  # fmt: skip
    assert client.networks.get(network.id[:12]) == client.networks.get("py") == network
    assert client.networks.list(filters={"label": "a=b"}) == client.networks.list(names=["py"]) == [network]
    container = client.containers.run(IMAGE, ["sleep", "100"], detach=True, network="py")
    assert client.networks.list(names=["py"], greedy=True)[0].containers == [container]
    network.reload()
    assert network.containers == [container]
    assert network.attrs["Containers"][container.id]["IPv4Address"] == "10.231.9.3/24"
    with pytest.raises(docker_py.errors.APIError) as caught:
        client.networks.create("py")
    assert caught.value.status_code == 409
    with pytest.raises(docker_py.errors.APIError) as caught:
        network.remove()
    assert caught.value.status_code == 403
    container.remove(force=True)
    assert client.networks.prune({"label": "a=b"}) == {"NetworksDeleted": ["py"]}
    with pytest.raises(docker_py.errors.NotFound):
        client.networks.get("py")


@pytest.fixture
def somebodys_bridge() -> Iterator[str]:
    name = f"wx{homes.RUN}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True, timeout=20)
    subprocess.run(["ip", "address", "add", "10.231.90.1/24", "dev", name], check=True, timeout=20)
    yield name
    subprocess.run(["ip", "link", "delete", name], check=True, timeout=20)


def test_somebodys_bridge_is_taken_for_its_own_subnet_only(
    client: docker_py.DockerClient, somebodys_bridge: str
) -> None:
    options = {"com.docker.network.bridge.name": somebodys_bridge}
    with pytest.raises(docker_py.errors.APIError) as caught:
        client.networks.create("grabbing", options=options)
    assert caught.value.status_code == 409
    assert f"the bridge {somebodys_bridge} has 10.231.90.0/24" in caught.value.explanation
    pool = docker_py.types.IPAMPool(subnet="10.231.90.0/24", gateway="10.231.90.1")
    network = client.networks.create("agreed", options=options, ipam=docker_py.types.IPAMConfig(pool_configs=[pool]))
    network.remove()
    (link,) = links(somebodys_bridge)
    assert link["ifname"] == somebodys_bridge, "it is not ours to remove"
    assert "10.231.90.1" in {one["local"] for one in link["addr_info"]}, "nor is its address"


@pytest.mark.parametrize("way", ["remove", "prune"])
def test_the_names_on_a_network_go_with_it(
    engine_with_image: TestEngine, client: docker_py.DockerClient, way: str
) -> None:
    network = client.networks.create("named")
    kept = Path(engine_with_image.home.run_root) / "resolver" / "networks" / f"{network.id}.json"
    container = client.containers.run(IMAGE, ["sleep", "100"], detach=True, network="named")
    assert kept.exists()
    container.remove(force=True)
    if way == "remove":
        network.remove()
    else:
        client.networks.prune()
    assert not kept.exists()


def test_older_versions(engine_with_image: TestEngine, client: docker_py.DockerClient) -> None:
    client.networks.create("aged")
    container = client.containers.run(IMAGE, ["sleep", "100"], detach=True, network="aged")
    old = docker_py.APIClient(base_url=engine_with_image.url, version="1.27")
    (listed,) = old.networks(names=["aged"])
    assert list(listed["Containers"]) == [container.id], "before 1.28 a list says who is on a network"
    old.close()
    newer = docker_py.APIClient(base_url=engine_with_image.url, version="1.28")
    assert newer.networks(names=["aged"])[0]["Containers"] == {}
    body = {"Name": "four", "EnableIPv4": False, "EnableIPv6": True}
    url = f"{newer.base_url}/v{{}}/networks/create"
    assert newer.post(url.format("1.46"), json=body).status_code == 201
    assert newer.inspect_network("four")["EnableIPv4"] is True, "1.47 brought networks without IPv4"
    newer.remove_network("four")
    assert newer.post(url.format("1.47"), json=body).status_code == 201
    assert newer.inspect_network("four")["EnableIPv4"] is False
    newer.close()


def test_older_versions_of_a_containers_networks(engine_with_image: TestEngine, client: docker_py.DockerClient) -> None:
    client.networks.create("aged")
    client.networks.create("other")
    body = {
        "Image": IMAGE,
        "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "aged"},
        "NetworkingConfig": {"EndpointsConfig": {"aged": {"Aliases": ["a"], "GwPriority": 3}}},
    }
    api = docker_py.APIClient(base_url=engine_with_image.url, version="1.44")
    url = f"{api.base_url}/v{{}}/containers/create"
    identity = api.post(url.format("1.47"), json=body).json()["Id"]
    settings = {
        version: api.get(f"{api.base_url}/v{version}/containers/{identity}/json").json()["NetworkSettings"]["Networks"]
        for version in ("1.44", "1.45")
    }
    assert settings["1.45"]["aged"]["GwPriority"] == 0, "1.48 brought it"
    assert settings["1.45"]["aged"]["Aliases"] == ["a"]
    assert settings["1.44"]["aged"]["Aliases"] == ["a", identity[:12]]
    body["NetworkingConfig"]["EndpointsConfig"]["other"] = {}
    refused = api.post(url.format("1.43"), json=body)
    assert refused.status_code == 400
    assert refused.json()["message"] == "Container cannot be created with multiple network endpoints: aged, other"
    assert api.post(url.format("1.44"), json=body).status_code == 201
    del body["HostConfig"], body["NetworkingConfig"]["EndpointsConfig"]["aged"]
    body["MacAddress"] = "02:42:ac:11:99:99"
    assert api.post(url.format("1.44"), json=body).status_code == 400, "it is on no network of its mode"
    identity = api.post(url.format("1.43"), json=body).json()["Id"]
    [(name, found)] = api.inspect_container(identity)["NetworkSettings"]["Networks"].items()
    assert (name, found["MacAddress"]) == ("other", "02:42:ac:11:99:99")
    api.close()


def test_who_names_networks_is_on_these_alone(engine_with_image: TestEngine, client: docker_py.DockerClient) -> None:
    """In a body without a NetworkMode, as in Docker 28; its own eyes see no other link either."""
    for name in ("one", "two"):
        client.networks.create(name)
    body = {
        "Image": IMAGE,
        "Cmd": ["ls", "/sys/class/net"],
        "NetworkingConfig": {"EndpointsConfig": {"two": {}, "one": {}}},
    }
    api = client.api
    identity = api.post(f"{api.base_url}/v1.47/containers/create", json=body).json()["Id"]
    container = client.containers.get(identity)
    container.start()
    assert container.wait()["StatusCode"] == 0
    assert set(container.attrs["NetworkSettings"]["Networks"]) == {"one", "two"}
    assert container.logs().split() == [b"eth0", b"eth1", b"lo"]


def test_many_at_once_take_no_range_twice(client: docker_py.DockerClient) -> None:
    errors: list[Exception] = []

    def make(number: int) -> None:
        try:
            client.networks.create(f"many{number}", enable_ipv6=True)
        except Exception as error:  # told in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    subnets = [
        one["Subnet"] for network in client.networks.list(names=["many"]) for one in network.attrs["IPAM"]["Config"]
    ]
    assert len(subnets) == len(set(subnets)) == 24


def test_the_same_name_at_once(client: docker_py.DockerClient) -> None:
    said: list[int] = []

    def make() -> None:
        try:
            client.networks.create("once")
            said.append(201)
        except docker_py.errors.APIError as error:
            said.append(error.status_code)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(said) == [201] + [409] * 7


def test_pools_of_an_engine(new_engine: Callable[..., TestEngine]) -> None:
    engine = new_engine(address_pools=("base=10.231.64.0/24,size=26", "base=fd12:3456:7::/62,size=64"))
    client = docker_py.DockerClient(base_url=engine.url, timeout=20)
    made = [client.networks.create(f"n{number}", enable_ipv6=True) for number in range(3)]
    subnets = [[one["Subnet"] for one in client.networks.get(network.id).attrs["IPAM"]["Config"]] for network in made]
    assert client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"] == "10.231.64.0/26"
    assert subnets == [
        [f"10.231.64.{64 * number}/26", f"fd12:3456:7{tail}::/64"] for number, tail in ((1, ""), (2, ":1"), (3, ":2"))
    ]
    with pytest.raises(docker_py.errors.APIError) as caught:
        client.networks.create("one-too-many")
    assert "all predefined address pools have been fully subnetted" in caught.value.explanation
    for name in ("bridge", "n0", "n1", "n2"):
        assert f"the network {name}" in caught.value.explanation
    for network in made:
        network.remove()
    client.close()


def test_a_name_with_a_slash(docker: Command) -> None:
    docker.out("network", "create", "a b/c")
    assert described(docker, "a b/c")["Name"] == "a b/c"
    docker.out("create", "--name", "c1", "--network", "none", IMAGE)
    docker.out("network", "disconnect", "none", "c1")
    docker.out("network", "connect", "a b/c", "c1")
    docker.out("network", "disconnect", "a b/c", "c1")
    assert docker.out("network", "rm", "a b/c") == "a b/c"


@pytest.mark.parametrize("running", [True, False])
def test_from_none_to_a_network(docker: Command, running: bool) -> None:
    docker.out("network", "create", "n")
    docker.out(*(("run", "-d") if running else ("create",)), "--name", "c1", "--network", "none", IMAGE, "sleep", "600")
    docker.out("network", "disconnect", "none", "c1")
    docker.out("network", "connect", "n", "c1")
    for _ in range(2):
        if not running:
            docker.out("start", "c1")
        address = docker.out("inspect", "-f", "{{.NetworkSettings.Networks.n.IPAddress}}", "c1")
        assert address and f"inet {address}/" in docker.out("exec", "c1", "ip", "address")
        docker.out("stop", "-t", "0", "c1")
        running = False


def test_a_network_of_anothers_configuration(docker: Command) -> None:
    """As Docker 28.5.2 does it, texts too."""
    conf = ("--subnet", "10.231.11.0/24", "--gateway", "10.231.11.9", "--label", "a=b")
    docker("network", "create", "--config-only", *conf, "-o", "com.docker.network.bridge.enable_icc=false", "conf")
    try:
        shown = described(docker, "conf")
        assert (shown["Driver"], shown["ConfigOnly"], shown["ConfigFrom"]) == ("null", True, {"Network": ""})
        assert shown["IPAM"]["Config"] == [{"Subnet": "10.231.11.0/24", "Gateway": "10.231.11.9"}]
        docker("network", "create", "--config-from", "conf", "--internal", "real")
        shown = described(docker, "real")
        assert (shown["Driver"], shown["ConfigOnly"], shown["ConfigFrom"]) == ("bridge", False, {"Network": "conf"})
        assert (shown["Internal"], shown["Labels"]) == (True, {"a": "b"})
        assert shown["Options"] == {"com.docker.network.bridge.enable_icc": "false"}
        assert shown["IPAM"]["Config"] == [{"Subnet": "10.231.11.0/24", "Gateway": "10.231.11.9"}]
        docker("run", "--rm", "--network", "real", IMAGE, "true")
        for command, message in (
            (("network", "rm", "conf"), 'error while removing network: configuration network "conf" is in use'),
            (
                ("run", "--rm", "--network", "conf", IMAGE, "true"),
                "cannot create endpoint on configuration-only network",
            ),
            (("network", "create", "--config-from", "real", "x"), 'configuration network "real" does not exist'),
            (
                ("network", "create", "--config-from", "conf", "--ipv6", "x"),
                "user specified configurations are not supported if the network depends on a configuration network",
            ),
        ):
            assert message in docker(*command, status=None).stderr.decode()
        docker("network", "rm", "real")
        docker("network", "prune", "-f")
        assert described(docker, "conf")["ConfigOnly"], "prune leaves it"
    finally:
        docker("network", "rm", "-f", "real", "conf", status=None)
