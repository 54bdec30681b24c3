"""A container on several networks, connected and disconnected while it runs, its names and ports, as docker shows."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine

WEB = ("httpd", "-f", "-p", "80", "-h", "/etc")


@pytest.fixture
def net(docker: Command, engine: TestEngine) -> Iterator[Command]:
    """With two networks of our own, a-net and b-net."""
    for name, subnet in (("a-net", "10.213.7.0/24"), ("b-net", "10.213.8.0/24")):
        engine.client.call("POST", "/networks/create", {"Name": name, "IPAM": {"Config": [{"Subnet": subnet}]}})
    yield docker
    engine.remove_containers()
    engine.remove_networks()


def settings(docker: Command, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker.out("inspect", "-f", "{{json .NetworkSettings}}", name))
    return found


def said(docker: Command, name: str, *command: str) -> str:
    return docker.out("exec", name, *command)


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/hostname", timeout=5) as answer:
        text: str = answer.read().decode().strip()
        return text


def test_two_networks_from_the_start(net: Command) -> None:
    first = ("--network", "name=b-net,alias=db,ip=10.213.8.9,gw-priority=5", "--network", "a-net")
    net("run", "-d", "--name", "web", "-h", "host-1", *first, "--expose", "99", IMAGE, *WEB)
    shown = settings(net, "web")["Networks"]
    assert list(shown) == ["a-net", "b-net"]
    assert shown["b-net"]["IPAddress"] == "10.213.8.9"
    assert shown["b-net"]["IPAMConfig"] == {"IPv4Address": "10.213.8.9"}
    assert (shown["b-net"]["Gateway"], shown["b-net"]["GwPriority"]) == ("10.213.8.1", 5)
    short = net.out("inspect", "-f", "{{.Id}}", "web")[:12]
    assert shown["b-net"]["DNSNames"] == ["web", "db", short, "host-1"]
    assert shown["a-net"]["DNSNames"] == ["web", short, "host-1"]
    assert settings(net, "web")["IPAddress"] == "", "only the default bridge's stands at the top"
    routes = said(net, "web", "ip", "route")
    assert "default via 10.213.8.1 dev eth0" in routes
    assert "10.213.7.0/24 dev eth1" in routes
    hosts = said(net, "web", "cat", "/etc/hosts").splitlines()
    assert hosts[-2:] == ["10.213.8.9\thost-1", f"{shown['a-net']['IPAddress']}\thost-1"]
    assert "nameserver 127.0.0.11" in said(net, "web", "cat", "/etc/resolv.conf")


def test_names_are_those_of_shared_networks(net: Command, engine_with_image: TestEngine) -> None:
    net("run", "-d", "--name", "web", "--network", "a-net", "--network-alias", "api", IMAGE, *WEB)
    net("run", "-d", "--name", "near", "--network", "a-net", IMAGE, "sleep", "60")
    net("run", "-d", "--name", "far", "--network", "b-net", IMAGE, "sleep", "60")
    for name in ("web", "api", "web.a-net"):
        assert said(net, "near", "wget", "-qO-", f"http://{name}/hostname")
        assert net("exec", "far", "nslookup", name, status=None).returncode != 0
    engine_with_image.client.call("POST", "/containers/web/rename", query={"name": "shop"})
    assert said(net, "near", "wget", "-qO-", "http://shop/hostname")
    assert net("exec", "near", "nslookup", "web", status=None).returncode != 0
    net("rm", "-f", "shop")
    assert net("exec", "near", "nslookup", "shop", status=None).returncode != 0


def test_connect_and_disconnect_while_it_runs(net: Command) -> None:
    net("run", "-d", "--name", "web", "--network", "b-net", IMAGE, *WEB)
    net("run", "-d", "--name", "cli", IMAGE, "sleep", "60")
    assert "127.0.0.11" not in said(net, "cli", "cat", "/etc/resolv.conf"), "the default bridge has no names"
    said(net, "cli", "sh", "-c", "echo '192.0.2.7 mine' >> /etc/hosts")
    net("network", "connect", "--alias", "later", "--ip", "10.213.8.77", "b-net", "cli")
    assert "10.213.8.77" in said(net, "cli", "ip", "address", "show", "eth1")
    assert said(net, "cli", "wget", "-qO-", "http://web/hostname"), "the resolver came with the network"
    hosts = said(net, "cli", "cat", "/etc/hosts")
    assert "192.0.2.7 mine" in hosts and "10.213.8.77\t" in hosts
    assert said(net, "web", "nslookup", "later").endswith("10.213.8.77")
    again = net("network", "connect", "b-net", "cli", status=1).stderr.decode()
    assert "endpoint with name cli already exists in network b-net" in again
    net("network", "disconnect", "b-net", "cli")
    assert "eth1" not in said(net, "cli", "ip", "-o", "link")
    hosts = said(net, "cli", "cat", "/etc/hosts")
    assert "192.0.2.7 mine" in hosts and "10.213.8.77" not in hosts
    assert net("exec", "web", "nslookup", "later", status=None).returncode != 0
    gone = net("network", "disconnect", "b-net", "cli", status=1).stderr.decode()
    assert "is not connected to" in gone


def test_a_stopped_container_keeps_what_it_asks(net: Command) -> None:
    net("create", "--name", "c1", "--network", "a-net", IMAGE, "sleep", "60")
    net("network", "connect", "--ip", "10.213.8.50", "--alias", "x", "b-net", "c1")
    assert settings(net, "c1")["Networks"]["b-net"]["IPAMConfig"] == {"IPv4Address": "10.213.8.50"}
    assert settings(net, "c1")["Networks"]["a-net"]["IPAddress"] == ""
    net("start", "c1")
    assert settings(net, "c1")["Networks"]["b-net"]["IPAddress"] == "10.213.8.50"
    net("stop", "-t", "0", "c1")
    shown = settings(net, "c1")["Networks"]["b-net"]
    assert (shown["IPAddress"], shown["Aliases"], shown["DNSNames"][:2]) == ("", ["x"], ["c1", "x"])
    net("network", "disconnect", "a-net", "c1")
    net("start", "c1")
    assert list(settings(net, "c1")["Networks"]) == ["b-net"]
    assert "10.213.8.50" in said(net, "c1", "ip", "address", "show", "eth0")


def test_ports_lead_to_where_the_default_route_is(net: Command) -> None:
    net("run", "-d", "--name", "web", "-h", "served", "-p", "127.0.0.1::80", "--network", "a-net", IMAGE, *WEB)
    port = int(net.out("port", "web", "80").rpartition(":")[2])
    assert page(port) == "served"
    assert settings(net, "web")["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    assert f"127.0.0.1:{port}->80/tcp" in net.out("ps", "--format", "{{.Ports}}")
    net("network", "connect", "b-net", "web")
    net("network", "disconnect", "a-net", "web")
    assert net.out("port", "web", "80") == f"127.0.0.1:{port}", "the same port leads elsewhere"
    assert page(port) == "served"
    net("network", "disconnect", "b-net", "web")
    assert net.out("port", "web") == ""
    with pytest.raises(OSError):
        page(port)
    net("network", "connect", "a-net", "web")
    assert page(int(net.out("port", "web", "80").rpartition(":")[2])) == "served"


def test_publish_all_and_a_range(net: Command) -> None:
    net("run", "-d", "--name", "web", "-P", "--expose", "80", "--expose", "81/udp", "--network", "a-net", IMAGE, *WEB)
    ports = settings(net, "web")["Ports"]
    assert sorted(ports) == ["80/tcp", "81/udp"]
    assert page(int(ports["80/tcp"][0]["HostPort"]))
    assert {one["HostIp"] for one in ports["81/udp"]} == {"0.0.0.0", "::"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--ip", "172.17.0.99"), "user specified IP address is supported on user defined networks only"),
        (
            ("--network", "a-net", "--ip", "10.9.9.9"),
            "no configured subnet or ip-range contain the IP address 10.9.9.9",
        ),
        (("--network", "container:x", "-p", "80"), "conflicting options: port publishing and the container type"),
        (("--network", "nowhere"), "network nowhere not found"),
        (
            ("--network", "host", "--ip", "10.78.2.5"),
            "user specified IP address is supported on user defined networks only",
        ),
        (
            ("--network", "none", "--ip", "10.78.2.5"),
            "user specified IP address is supported on user defined networks only",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_dockers_words(net: Command, flags: tuple[str, ...], words: str) -> None:
    done = net("run", "--rm", *flags, IMAGE, "true", status=125)
    assert words in done.stderr.decode()


def test_an_address_that_is_taken_fails_the_start_and_leaves_nothing(net: Command) -> None:
    one = ("--network", "b-net", "--network", "name=a-net,ip=10.213.7.30")
    net("run", "-d", "--name", "one", *one, IMAGE, "sleep", "60")
    done = net("run", "-d", "--name", "two", *one, IMAGE, "sleep", "60", status=125)
    assert "Address already in use" in done.stderr.decode()
    assert json.loads(net.out("network", "inspect", "b-net"))[0]["Containers"].keys() == {
        net.out("inspect", "-f", "{{.Id}}", "one")
    }


def test_all_of_it_outlives_the_engine(net: Command, engine_with_image: TestEngine) -> None:
    flags = ("--network", "a-net", "--network", "name=b-net,alias=db")
    net("run", "-d", "--name", "web", "-h", "served", "-p", "127.0.0.1::80", *flags, IMAGE, *WEB)
    net("run", "-d", "--name", "cli", "--network", "b-net", IMAGE, "sleep", "60")
    net("run", "-d", "--name", "dead", "--network", "name=b-net,ip=10.213.8.88", "-p", "127.0.0.1::80", IMAGE, *WEB)
    before, port = settings(net, "web"), int(net.out("port", "web", "80").rpartition(":")[2])
    engine_with_image.kill()
    assert page(port) == "served", "without an engine"
    engine_with_image.start()
    assert settings(net, "web") == before
    assert page(port) == "served"
    assert said(net, "cli", "wget", "-qO-", "http://db/hostname") == "served"
    net("rm", "-f", "dead")
    net("run", "--rm", "--network", "b-net", "--ip", "10.213.8.88", IMAGE, "true")
    assert net("exec", "cli", "nslookup", "dead", status=None).returncode != 0


def test_ps_finds_by_published_and_exposed_ports(net: Command) -> None:
    net("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "--expose", "99/udp", IMAGE, *WEB)
    port = net.out("port", "web", "80").rpartition(":")[2]
    for query in ("publish=80", "publish=79-81/tcp", "expose=99/udp", "expose=80"):
        assert net.out("ps", "-q", "-f", query), query
    for query in ("publish=80/udp", "publish=99/udp", "expose=99", f"expose={port}"):
        assert not net.out("ps", "-q", "-f", query), query


def test_a_container_without_a_network_is_given_one_while_it_runs(net: Command) -> None:
    net("run", "-d", "--name", "lone", "--network", "a-net", IMAGE, "sleep", "60")
    net("network", "disconnect", "a-net", "lone")
    net("stop", "-t", "0", "lone")
    net("start", "lone")
    assert settings(net, "lone")["Networks"] == {}
    net("network", "connect", "a-net", "lone")
    assert "default via 10.213.7.1 dev eth0" in said(net, "lone", "ip", "route")
    net("run", "-d", "--name", "guest", "--network", "container:lone", IMAGE, "sleep", "60")
    assert said(net, "guest", "ip", "route") == said(net, "lone", "ip", "route")
    net("network", "connect", "b-net", "lone")
    assert "10.213.8.0/24" in said(net, "guest", "ip", "route"), "they share what comes later too"
    refused = net("network", "connect", "b-net", "guest", status=1).stderr.decode()
    assert "container sharing network namespace with another container or host" in refused


def test_its_own_published_port_is_reached_from_inside(net: Command) -> None:
    """Of whichever of its networks it leads to: the bridge port lets the packets back in."""
    net("run", "-d", "--name", "web", "-h", "served", "-p", "80", "--network", "a-net", IMAGE, *WEB)
    number = net.out("port", "web", "80").split()[0].rpartition(":")[2]
    net("network", "connect", "b-net", "web")
    assert said(net, "web", "wget", "-qO-", f"http://10.213.7.1:{number}/hostname") == "served"
    net("network", "disconnect", "a-net", "web")
    assert said(net, "web", "wget", "-qO-", f"http://10.213.8.1:{number}/hostname") == "served"


def test_files_that_the_container_edited_stay_so(net: Command) -> None:
    net("run", "-d", "--name", "web", "--network", "a-net", IMAGE, "sleep", "60")
    said(net, "web", "sh", "-c", "echo '192.0.2.7 mine' >> /etc/hosts; echo 'nameserver 192.0.2.53' > /etc/resolv.conf")
    net("network", "connect", "b-net", "web")
    net("stop", "-t", "0", "web")
    net("start", "web")
    assert said(net, "web", "cat", "/etc/resolv.conf") == "nameserver 192.0.2.53"
    hosts = said(net, "web", "cat", "/etc/hosts")
    assert "192.0.2.7 mine" in hosts
    assert hosts.count("\n10.213.7.") == hosts.count("\n10.213.8.") == 1


def test_plan_and_explain_show_the_networks(wardian: Command) -> None:
    planned = wardian.out("plan", "-p", "127.0.0.1:18077:80", IMAGE, "true")
    wardian("run", "--name", "web", "-p", "127.0.0.1:18077:80", IMAGE, "true")
    explained = wardian.out("explain", "web")
    for words in ("default route via", "knows 02:42:", "eth0"):
        assert words in planned and words in explained
    assert "18077 of 127.0.0.1 for 80/tcp" in planned
    assert "127.0.0.1:18077 leads to" in explained and "nft:" in explained
