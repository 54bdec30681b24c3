"""`network …`, `port`, and the flags of run about networks: docker's command line and ours, which must say the same."""

import json
import re
import socket
from collections.abc import Iterator

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine


@pytest.fixture
def net(docker: Command, engine: TestEngine) -> Iterator[Command]:
    """Docker's command line, then ours; the networks that a test makes begin with n- and go with it."""
    yield docker
    engine.remove_containers()
    engine.remove_networks()


def _ours(docker: Command) -> list[str]:
    return [name for name in docker.out("network", "ls", "--format", "{{.Name}}").split() if name.startswith("n-")]


def _inspect(docker: Command, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(docker.out("network", "inspect", name))[0]
    return found


def _told(done: object) -> str:
    said: bytes = done.stderr  # type: ignore[attr-defined]
    return said.decode().replace("wardian", "docker")


def test_a_network_from_create_to_rm(net: Command) -> None:
    identity = net.out("network", "create", "--label", "of=test", "n-1")
    assert re.fullmatch("[0-9a-f]{64}", identity)
    assert net.out("network", "ls", "-q", "--no-trunc", "-f", "name=n-1") == identity
    found = _inspect(net, "n-1")
    assert (found["Id"], found["Driver"], found["Scope"], found["Labels"]) == (
        identity,
        "bridge",
        "local",
        {"of": "test"},
    )
    assert net.out("inspect", "--type", "network", "-f", "{{.Name}} {{.Internal}}", identity[:12]) == "n-1 false"
    assert net.out("network", "rm", "n-1") == "n-1"
    assert net("network", "inspect", "n-1", status=1).stdout == b"[]\n"


def test_create_says_what_is_wrong(net: Command) -> None:
    net("network", "create", "n-1")
    assert _told(net("network", "create", "n-1", status=1)) == (
        "Error response from daemon: network with name n-1 already exists\n"
    )
    for name in ("bridge", "host", "none"):
        assert _told(net("network", "create", name, status=1)) == (
            f"Error response from daemon: operation is not permitted on predefined {name} network\n"
        )
    assert "invalid" in _told(net("network", "create", "--subnet", "x/y", "n-2", status=1))
    assert "every ip-range or gateway" in _told(net("network", "create", "--gateway", "10.9.0.1", "n-2", status=1))
    assert _ours(net) == ["n-1"]


def test_subnets_do_not_overlap(net: Command) -> None:
    net("network", "create", "--subnet", "10.87.40.0/24", "n-1")
    said = _told(net("network", "create", "--subnet", "10.87.40.128/25", "n-2", status=1))
    assert "Pool overlaps with other one on this address space" in said


def test_what_was_asked_is_what_inspect_shows(net: Command) -> None:
    net(
        "network", "create", "--subnet", "10.87.41.0/24", "--gateway", "10.87.41.7", "--ip-range", "10.87.41.64/26",
        "--aux-address", "printer=10.87.41.65", "--subnet", "fd00:87:41::/64", "--ipv6", "--internal", "--attachable",
        "-o", "com.docker.network.driver.mtu=1380", "n-1",
    )  # fmt: skip
    found = _inspect(net, "n-1")
    pools = {pool["Subnet"]: pool for pool in found["IPAM"]["Config"]}  # type: ignore[index]
    assert pools["10.87.41.0/24"] == {
        "Subnet": "10.87.41.0/24",
        "IPRange": "10.87.41.64/26",
        "Gateway": "10.87.41.7",
        "AuxiliaryAddresses": {"printer": "10.87.41.65"},
    }
    assert pools["fd00:87:41::/64"]["Subnet"] == "fd00:87:41::/64"
    assert (found["EnableIPv6"], found["Internal"], found["Attachable"]) == (True, True, True)
    assert found["Options"] == {"com.docker.network.driver.mtu": "1380"}
    net("run", "-d", "--name", "c1", "--network", "n-1", IMAGE, "sleep", "600")
    shown = net.out("exec", "c1", "ip", "addr", "show", "eth0")
    assert "mtu 1380" in shown
    assert "inet 10.87.41.64/24" in shown  # the first of the range, though a /26 of its own would not have it
    assert "inet6 fd00:87:41::" in shown


def test_ls(net: Command) -> None:
    for name in ("n-10", "n-2"):
        net("network", "create", "--label", f"l={name}", name)
    listed = net.out("network", "ls", "--format", "{{.Name}}").split()
    assert [name for name in listed if name.startswith("n-")] == ["n-2", "n-10"]
    assert {"bridge", "host", "none"} <= set(listed)
    head = net.out("network", "ls").splitlines()[0].split()
    assert head == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert net.out("network", "ls", "-f", "label=l=n-2", "--format", "{{.Name}} {{.Driver}}") == "n-2 bridge"
    assert net.out("network", "ls", "-f", "driver=null", "--format", "{{.Name}}") == "none"
    custom = net.out("network", "ls", "-f", "type=custom", "--format", "{{.Name}}").split()
    assert custom == ["n-2", "n-10"]
    assert net.out("network", "ls", "-f", "dangling=true", "--format", "{{.Name}}").split() == ["n-2", "n-10"]
    assert json.loads(net.out("network", "ls", "-f", "name=n-10", "--format", "json"))["Labels"] == "l=n-10"


def test_rm(net: Command) -> None:
    net("network", "create", "n-1")
    net("network", "create", "n-2")
    net("run", "-d", "--name", "c1", "--network", "n-1", IMAGE, "sleep", "600")
    done = net("network", "rm", "n-1", "n-none", "n-2", status=1)
    assert done.stdout == b"n-2\n"
    said = _told(done).splitlines()
    assert said[0].startswith("Error response from daemon: error while removing network: network n-1 ")
    assert "has active endpoints" in said[0]
    assert said[1] == "Error response from daemon: network n-none not found"
    assert net("network", "rm", "-f", "n-none").stdout == b""
    assert "pre-defined" in _told(net("network", "rm", "bridge", status=1))


def test_prune(net: Command) -> None:
    for name in ("n-1", "n-2", "n-3"):
        net("network", "create", "--label", f"l={name}", name)
    net("run", "-d", "--name", "c1", "--network", "n-1", IMAGE, "sleep", "600")
    asked = net("network", "prune", stdin=b"n\n")
    assert asked.stdout.startswith(b"WARNING! This will remove all custom networks not used by at least one container.")
    assert net.out("network", "prune", "-f", "--filter", "label=l=n-2") == "Deleted Networks:\nn-2"
    assert net.out("network", "prune", "-f", "--filter", "until=1h") == ""
    yes = net("network", "prune", stdin=b"y\n").stdout.decode()
    assert yes.endswith("[y/N] Deleted Networks:\nn-3\n\n")
    assert _ours(net) == ["n-1"]


def test_connect_and_disconnect_while_it_runs(net: Command) -> None:
    net("network", "create", "--subnet", "10.87.42.0/24", "n-1")
    net("run", "-d", "--name", "c1", IMAGE, "sleep", "600")
    assert net("network", "connect", "--ip", "10.87.42.9", "--alias", "other", "n-1", "c1").stdout == b""
    assert "inet 10.87.42.9/24" in net.out("exec", "c1", "ip", "addr", "show", "eth1")
    found = json.loads(net.out("inspect", "c1"))[0]
    endpoint = found["NetworkSettings"]["Networks"]["n-1"]
    assert endpoint["IPAddress"] == "10.87.42.9"
    assert "other" in endpoint["Aliases"]
    assert found["Id"] in _inspect(net, "n-1")["Containers"]  # type: ignore[operator]
    said = _told(net("network", "connect", "n-1", "c1", status=1))
    assert "endpoint with name c1 already exists in network n-1" in said
    net("network", "disconnect", "n-1", "c1")
    assert "eth1" not in net.out("exec", "c1", "ip", "link")
    assert "is not connected to" in _told(net("network", "disconnect", "n-1", "c1", status=1))


def test_connect_and_disconnect_of_a_stopped_one(net: Command) -> None:
    net("network", "create", "n-1")
    net("create", "--name", "c1", IMAGE, "ip", "-o", "link")
    net("network", "connect", "n-1", "c1")
    out = net.out("start", "-a", "c1")
    assert "eth0" in out
    assert "eth1" in out
    net("network", "disconnect", "bridge", "c1")
    out = net.out("start", "-a", "c1")
    assert "eth0" in out
    assert "eth1" not in out


def test_what_has_no_place_on_a_network(net: Command) -> None:
    net("network", "create", "n-1")
    net("run", "-d", "--name", "c1", "--network", "host", IMAGE, "sleep", "600")
    said = _told(net("network", "connect", "n-1", "c1", status=1))
    assert "cannot be connected to" in said or "host mode" in said
    assert "No such container: nobody" in _told(net("network", "connect", "n-1", "nobody", status=1))
    assert "network n-9 not found" in _told(net("network", "connect", "n-9", "c1", status=1))


def test_run_on_several_networks(net: Command) -> None:
    for name, subnet in (("n-1", "10.87.43.0/24"), ("n-2", "10.87.44.0/24")):
        net("network", "create", "--subnet", subnet, name)
    net(
        "run", "-d", "--name", "c1", "--network", "name=n-1,ip=10.87.43.5,alias=first,mac-address=02:00:00:00:43:05",
        "--network", "name=n-2,alias=second,gw-priority=1", IMAGE, "sleep", "600",
    )  # fmt: skip
    shown = net.out("exec", "c1", "ip", "addr")
    assert "inet 10.87.43.5/24" in shown
    assert "02:00:00:00:43:05" in shown
    assert "default via 10.87.44.1" in net.out("exec", "c1", "ip", "route")
    out = net.out("run", "--rm", "--network", "n-2", IMAGE, "nslookup", "second")
    assert "10.87.44." in out


def test_names_flags(net: Command) -> None:
    out = net.out(
        "run", "--rm", "--dns", "192.0.2.53", "--dns-search", "example.test", "--dns-option", "ndots:2",
        "--add-host", "a:192.0.2.1", "--add-host", "b=2001:db8::1", IMAGE, "cat", "/etc/resolv.conf", "/etc/hosts",
    )  # fmt: skip
    assert "nameserver 192.0.2.53" in out
    assert "search example.test" in out
    assert "options ndots:2" in out
    assert re.search(r"^192\.0\.2\.1\s+a$", out, re.MULTILINE)
    assert re.search(r"^2001:db8::1\s+b$", out, re.MULTILINE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def test_port_and_ps(net: Command) -> None:
    first = _free_port()
    net(
        "run", "-d", "--name", "c1", "-p", f"127.0.0.1:{first}:80", "-p", "127.0.0.1::53/udp", "--expose", "90-91",
        IMAGE, "httpd", "-f", "-p", "80",
    )  # fmt: skip
    assert net.out("port", "c1", "80") == f"127.0.0.1:{first}"
    udp = net.out("port", "c1", "53/udp")
    assert net.out("port", "c1").splitlines() == [f"53/udp -> {udp}", f"80/tcp -> 127.0.0.1:{first}"]
    shown = net.out("ps", "--format", "{{.Ports}}")
    assert shown == f"90-91/tcp, {udp}->53/udp, 127.0.0.1:{first}->80/tcp"
    assert _told(net("port", "c1", "90", status=1)) == "Error: No public port '90' published for c1\n"
    with socket.create_connection(("127.0.0.1", first), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.")


def test_publish_all(net: Command) -> None:
    net("run", "-d", "--name", "c1", "-P", "--expose", "80", "--expose", "81/udp", IMAGE, "sleep", "600")
    lines = net.out("port", "c1").splitlines()
    assert {line.partition(" ")[0] for line in lines} == {"80/tcp", "81/udp"}
    assert any(" 0.0.0.0:" in line for line in lines)
    tcp = {line.rpartition(":")[2] for line in lines if line.startswith("80/tcp")}
    assert len(tcp) == 1  # the same number for both families


def test_a_port_in_use_is_refused(net: Command) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = net("run", "-d", "--name", "c1", "-p", f"127.0.0.1:{port}:80", IMAGE, "sleep", "600", status=125)
    assert str(port) in _told(done)
    assert net.out("inspect", "-f", "{{.State.Status}}", "c1") == "created"


def test_inspect_shows_the_ports(net: Command) -> None:
    net("run", "-d", "--name", "c1", "-p", "127.0.0.1::80", IMAGE, "sleep", "600")
    ports = json.loads(net.out("inspect", "-f", "{{json .NetworkSettings.Ports}}", "c1"))
    assert [binding["HostIp"] for binding in ports["80/tcp"]] == ["127.0.0.1"]
    asked = json.loads(net.out("inspect", "-f", "{{json .HostConfig.PortBindings}}", "c1"))
    assert asked == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}


def test_explain_shows_what_the_network_set_up(wardian: Command) -> None:
    wardian("network", "create", "--subnet", "10.87.45.0/24", "n-1")
    try:
        wardian(
            "run", "-d", "--name", "c1", "--network", "name=n-1,ip=10.87.45.4", "-p", "127.0.0.1::80", IMAGE,
            "sleep", "600",
        )  # fmt: skip
        shown = wardian.out("explain", "c1")
        assert "10.87.45.4" in shown
        assert wardian.out("port", "c1", "80").rpartition(":")[2] in shown
    finally:
        wardian("rm", "-f", "c1")
        wardian("network", "rm", "-f", "n-1")


def test_explain_shows_what_connect_and_disconnect_did_since(wardian: Command) -> None:
    wardian("network", "create", "--subnet", "10.87.45.0/24", "n-1")
    try:
        wardian("run", "-d", "--name", "c1", "-p", "127.0.0.1::80", IMAGE, "sleep", "600")
        port = wardian.out("port", "c1", "80").rpartition(":")[2]
        assert json.loads(wardian.out("explain", "-f", "json", "c1"))["Changes"] == []
        wardian("network", "connect", "--ip", "10.87.45.4", "--alias", "db", "--gw-priority", "1", "n-1", "c1")
        wardian("network", "disconnect", "bridge", "c1")
        wardian("network", "disconnect", "n-1", "c1")
        first, second, third = json.loads(wardian.out("explain", "-f", "json", "c1"))["Changes"]
        assert [(one["Action"], one["Network"]) for one in (first, second, third)] == [
            ("connect", "n-1"),
            ("disconnect", "bridge"),
            ("disconnect", "n-1"),
        ]
        said = [[f"{step['Kind']}: {step['Description']}" for step in one["Steps"]] for one in (first, second, third)]
        for words in (
            "10.87.45.4 given by",
            "name: c1, db",
            "eth1",
            "default route",
            f":{port} leads to 10.87.45.4:80",
        ):
            assert any(words in line for line in said[0]), words
        assert any("given back to network bridge" in line for line in said[1])
        for words in ("10.87.45.4 given back", "c1, db", f":{port} leads nowhere", "eth1"):
            assert any(words in line for line in said[2]), words
        shown = wardian.out("explain", "c1")
        assert "connect to n-1, 20" in shown and "10.87.45.4 given back" in shown
        wardian("stop", "-t", "0", "c1")
        assert len(json.loads(wardian.out("explain", "-f", "json", "c1"))["Changes"]) == 3, "of the last run"
        wardian("start", "c1")
        assert json.loads(wardian.out("explain", "-f", "json", "c1"))["Changes"] == [], "of this run"
    finally:
        wardian("rm", "-f", "c1")
        wardian("network", "rm", "-f", "n-1")
