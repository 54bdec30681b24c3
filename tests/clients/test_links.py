"""--link as Docker 28 has it: hosts and environment on the default bridge, names of one's own on other networks."""

import json
from collections.abc import Callable
from typing import Any

from clients_shared import IMAGE, Command
from engines import TestEngine

Wait = Callable[[Callable[[], bool], str], None]
SLEEP = (IMAGE, "sleep", "300")


def inspected(docker: Command, name: str, form: str) -> Any:
    return json.loads(docker.out("inspect", "-f", f"{{{{json {form}}}}}", name))


def address(docker: Command, name: str) -> str:
    return docker.out("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).strip()


def test_hosts_and_environment(docker: Command) -> None:
    """The set is what Docker 28.5.2 gave for these flags."""
    ports = ("--expose", "80", "--expose", "53/udp", "--expose", "8000-8002")
    docker("run", "-d", "--name", "the-db", "-e", "FOO=bar", "-e", "HOME=/x", "-e", "SPACE=a b", *ports, *SLEEP)
    at, short = address(docker, "the-db"), docker.out("inspect", "-f", "{{.Id}}", "the-db")[:12]
    show = ("sh", "-c", "env; cat /etc/hosts")
    said = docker.out("run", "--rm", "--name", "web", "--link", "the-db:d-b", "--link", "the-db", IMAGE, *show)
    lines = said.splitlines()
    assert f"{at}\td-b {short} the-db" in lines
    assert f"{at}\tthe-db {short}" in lines
    variables = dict(line.split("=", 1) for line in lines if line.startswith("D_B_"))
    assert variables == {
        "D_B_NAME": "/web/d-b",
        "D_B_ENV_FOO": "bar",
        "D_B_ENV_SPACE": "a b",
        "D_B_PORT": f"tcp://{at}:80",
        **_port(at, 80, "tcp"),
        **_port(at, 8000, "tcp"),
        **_port(at, 8001, "tcp"),
        **_port(at, 8002, "tcp"),
        **_port(at, 53, "udp"),
        "D_B_PORT_8000_TCP_START": f"tcp://{at}:8000",
        "D_B_PORT_8000_TCP_PORT_START": "8000",
        "D_B_PORT_8000_TCP_END": f"tcp://{at}:8002",
        "D_B_PORT_8000_TCP_PORT_END": "8002",
    }
    assert f"THE_DB_PORT=tcp://{at}:80" in lines


def _port(at: str, port: int, protocol: str) -> dict[str, str]:
    name = f"D_B_PORT_{port}_{protocol.upper()}"
    url = f"{protocol}://{at}:{port}"
    return {name: url, f"{name}_ADDR": at, f"{name}_PORT": str(port), f"{name}_PROTO": protocol}


def test_shown_renamed_and_taken_away(docker: Command, engine_with_image: TestEngine) -> None:
    docker("run", "-d", "--name", "db", "--expose", "80", *SLEEP)
    docker("run", "-d", "--name", "web", "-e", "X_NAME=mine", "--link", "db:x", *SLEEP)
    assert inspected(docker, "web", ".HostConfig.Links") == ["/db:/web/x"]
    assert "db,web/x" in docker.out("ps", "--no-trunc", "--format", "{{.Names}}").splitlines()
    assert "db" in docker.out("ps", "--format", "{{.Names}}").splitlines()
    environment = docker.out("exec", "web", "env").splitlines()
    assert f"X_PORT=tcp://{address(docker, 'db')}:80" in environment
    assert "X_NAME=mine" in environment
    engine_with_image.client.call("POST", "/containers/db/rename", query={"name": "store"})
    assert inspected(docker, "web", ".HostConfig.Links") == ["/store:/web/x"]
    docker("rm", "--link", "web/x")
    assert inspected(docker, "web", ".HostConfig.Links") is None
    again = docker("rm", "--link", "web/x", status=None)
    assert (again.returncode, "No such container: web/x" in again.stderr.decode()) == (1, True)
    plain = docker("rm", "--link", "web", status=None)
    assert "Conflict, cannot remove the default link name of the container" in plain.stderr.decode()
    # what inspect shows is taken back as it is: tools that make a container anew do so
    body = {"Image": IMAGE, "HostConfig": {"Links": ["/store:/web/x"]}}
    made = engine_with_image.client.call("POST", "/containers/create", body, query={"name": "copy"})
    assert inspected(docker, made["Id"], ".HostConfig.Links") == ["/store:/copy/x"]
    docker("rm", "-f", "store")
    assert inspected(docker, "copy", ".HostConfig.Links") is None


def test_the_other_comes_back_with_another_address(docker: Command) -> None:
    docker("run", "-d", "--name", "db", *SLEEP)
    docker("run", "-d", "--name", "web", "--link", "db:x", *SLEEP)
    docker("exec", "web", "sh", "-c", "echo 192.0.2.1 mine >> /etc/hosts")
    before = address(docker, "db")
    docker("stop", "-t", "0", "db")
    docker("run", "-d", "--name", "thief", *SLEEP)
    docker("start", "db")
    after = address(docker, "db")
    assert after != before
    hosts = docker.out("exec", "web", "cat", "/etc/hosts")
    assert f"{after}\tx " in hosts
    assert before not in hosts.split()
    assert "192.0.2.1 mine" in hosts


def test_what_cannot_be_linked(docker: Command) -> None:
    docker("create", "--name", "db", *SLEEP)
    refused = docker("run", "--rm", "--name", "web", "--link", "db:x", IMAGE, "true", status=None)
    assert refused.returncode == 125
    assert "Cannot link to a non running container: /db AS /web/x" in refused.stderr.decode()
    docker("create", "--name", "web", "--link", "db:x", *SLEEP)
    identity = docker.out("inspect", "-f", "{{.Id}}", "db").strip()
    docker("rm", "db")
    refused = docker("start", "web", status=None)
    assert f"Cannot link to a non running container: {identity[:12]} AS /web/x" in refused.stderr.decode()
    docker("rm", "web")
    docker("create", "--name", "db", *SLEEP)
    conflicting = "type networking can't be used with links. This would result in undefined behavior"
    for flags, message in (
        (("--link", "nosuch:x"), "could not get container for nosuch: No such container: nosuch"),
        (("--link", "a:b:c"), "bad format for links: a:b:c"),
        (("--network", "host", "--link", "db:x"), f"conflicting options: host {conflicting}"),
        (("--network", "container:db", "--link", "db:x"), "conflicting options: container type network can't be used"),
    ):
        refused = docker("run", "--rm", *flags, IMAGE, "true", status=None)
        assert (refused.returncode, message in refused.stderr.decode()) == (125, True), refused.stderr.decode()
    docker("network", "create", "elsewhere")
    docker("run", "-d", "--name", "far", "--network", "elsewhere", *SLEEP)
    refused = docker("run", "--rm", "--link", "far:x", IMAGE, "true", status=None)
    assert "not attached to default bridge network" in refused.stderr.decode()
    docker("rm", "-f", "far")
    docker("network", "rm", "elsewhere")


def test_a_name_of_ones_own_on_a_network(docker: Command, wait_until: Wait) -> None:
    docker("network", "create", "one-net")
    docker("network", "create", "two-net")
    try:
        docker("run", "-d", "--name", "web", "--network", "one-net", "--link", "db:x", "--link", "other:y", *SLEEP)
        docker("run", "-d", "--name", "near", "--network", "one-net", *SLEEP)
        docker("run", "-d", "--name", "db", "--network", "one-net", *SLEEP)  # after: it is looked up when asked for

        def answers(who: str, name: str) -> bool:
            return docker("exec", who, "nslookup", name, status=None).returncode == 0

        wait_until(lambda: answers("web", "x"), "the link's name")
        assert answers("web", "x.one-net")
        assert not answers("near", "x")
        assert not answers("web", "y")
        at = inspected(docker, "db", '(index .NetworkSettings.Networks "one-net").IPAddress')
        assert at in docker.out("exec", "web", "nslookup", "x")
        assert inspected(docker, "web", ".HostConfig.Links") is None
        networks = inspected(docker, "web", ".NetworkSettings.Networks")
        assert networks["one-net"]["Links"] == ["db:x", "other:y"]
        docker("network", "create", "alone-net")
        docker("network", "connect", "--link", "db:x", "--link", "db:both", "alone-net", "web")
        docker("network", "connect", "two-net", "db")
        docker("network", "connect", "--link", "db:later", "--link", "db:both", "two-net", "web")
        wait_until(lambda: answers("web", "both"), "the name of a link of two networks, of which the other is on one")
        wait_until(lambda: answers("web", "later"), "the name of a link made while it runs")
        assert not answers("near", "later")
        docker("network", "disconnect", "two-net", "web")
        wait_until(lambda: not answers("web", "later"), "the end of the link's name")
        assert answers("web", "x")
    finally:
        docker("rm", "-f", "web", "near", "db", status=None)
        docker("network", "rm", "one-net", "two-net", "alone-net")


def test_links_of_a_body_on_a_network(docker: Command, engine_with_image: TestEngine) -> None:
    """HostConfig.Links on a network that somebody created is the endpoint's."""
    docker("network", "create", "one-net")
    try:
        docker("run", "-d", "--name", "db", "--network", "one-net", *SLEEP)
        body = {
            "Image": IMAGE,
            "Cmd": ["nslookup", "x"],
            "HostConfig": {"NetworkMode": "one-net", "Links": ["db:x"]},
        }
        engine_with_image.client.call("POST", "/containers/create", body, query={"name": "web"})
        assert docker("start", "-a", "web").returncode == 0
    finally:
        docker("rm", "-f", "web", "db", status=None)
        docker("network", "rm", "one-net")


def test_links_outlive_the_engine(docker: Command, engine_with_image: TestEngine, wait_until: Wait) -> None:
    """Killed, so that it tells nobody: those that run keep their links, and hear of what comes later."""
    docker("network", "create", "one-net")
    docker("network", "create", "--config-only", "--subnet", "10.213.10.0/24", "conf")
    try:
        docker("run", "-d", "--name", "db", *SLEEP)
        docker("run", "-d", "--name", "web", "--link", "db:x", *SLEEP)
        docker("run", "-d", "--name", "far", "--network", "one-net", "--link", "later:y", *SLEEP)
        before = address(docker, "db")
        engine_with_image.kill()
        engine_with_image.start()
        hosts = docker.out("exec", "web", "cat", "/etc/hosts")
        assert f"{before}\tx " in hosts
        assert inspected(docker, "web", ".HostConfig.Links") == ["/db:/web/x"]
        docker("stop", "-t", "0", "db")
        docker("run", "-d", "--name", "thief", *SLEEP)
        docker("start", "db")
        assert address(docker, "db") != before
        assert f"{address(docker, 'db')}\tx " in docker.out("exec", "web", "cat", "/etc/hosts")
        docker("run", "-d", "--name", "later", "--network", "one-net", *SLEEP)
        wait_until(lambda: docker("exec", "far", "nslookup", "y", status=None).returncode == 0, "the link's name")
        assert docker.out("network", "inspect", "-f", "{{.ConfigOnly}}", "conf").strip() == "true"
    finally:
        docker("rm", "-f", *docker.out("ps", "-aq").split(), status=None)
        docker("network", "rm", "one-net", "conf")
