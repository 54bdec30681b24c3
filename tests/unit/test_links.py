"""--link: how it is written, and what a container is told of another. As Docker 28.5.2."""

import ipaddress

import pytest

from wardian.engine.life.state import RunState
from wardian.engine.links import names_by_links, settle_links
from wardian.engine.options.config import ContainerConfig
from wardian.engine.registry import Container, Registry
from wardian.engine.store import ContainerRecord
from wardian.errors import INVALID, WardianError
from wardian.network import EndpointWant, NetworkConfig, SandboxWant, check_links, read_link
from wardian.network.naming import view_of
from wardian.network.resolver import protocol
from wardian.network.resolver.sandbox import View
from wardian.network.values import Endpoint, Subnet

NETWORK = NetworkConfig("a" * 64, "one-net", "bridge", "now", (Subnet(ipaddress.ip_network("10.9.0.0/24"), None),))


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("db", ("db", "db")),
        ("db:x", ("db", "x")),
        ("/db:/web/x", ("db", "x")),
        ("db:x.y_z-1", ("db", "x.y_z-1")),
    ],
)
def test_how_it_is_written(text: str, link: tuple[str, str]) -> None:
    assert read_link(text) == link


@pytest.mark.parametrize("text", ["", "a:b:c", "a:", ":", "a:b c", "a:b\nc", "a:b\0", "a:b=c", "a:b/c", "a:é"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(WardianError) as refused:
        read_link(text)
    assert refused.value.kind == INVALID
    assert ("empty string specified for links" if not text else "bad format for links: ") in refused.value.message


def view(*links: str) -> dict[str, object]:
    want = EndpointWant(NETWORK.id, links=links)
    endpoint = Endpoint("e", "s", NETWORK, want, "eth0", "02:00:00:00:00:01", "10.9.0.2", 24)
    return view_of([endpoint], SandboxWant((want,)), True)._asdict()


def test_the_resolver_is_told_by_both_names() -> None:
    assert view("db:x")["links"] == ((NETWORK.id, "x", "db"), (NETWORK.id, "x.one-net", "db"))


def test_as_many_as_can_be_told() -> None:
    """In one message."""
    links = [f"project-service-{number}-1:service-{number}" for number in range(150)]
    check_links(links)
    told = protocol.pack(protocol.REGISTER, 1, {"sandbox": "s" * 64, **view(*links)})
    assert len(told) < protocol.MOST_BYTES
    with pytest.raises(WardianError, match="too many links"):
        check_links(links * 2)
    _, _, _, body = protocol.unpack(told)
    found = View(body)
    assert len(found.links) == 300


def test_what_is_no_link_is_not_told() -> None:
    for wrong in (5, [5], [["a", "b"]], [["a", "b", 5]], {"a": 1}):
        assert View({"links": wrong}).links == ()


def test_on_a_network_that_somebody_made_they_are_the_endpoints() -> None:
    values = {
        "HostConfig.NetworkMode": "one-net",
        "HostConfig.Links": ["db:x", "db:y"],
        "NetworkingConfig.EndpointsConfig": {"one-net": {"Links": ["db:y"]}, "two-net": {}},
    }
    settle_links(Registry(), values)
    config = ContainerConfig(values)
    assert config["HostConfig.Links"] == []
    assert config["NetworkingConfig.EndpointsConfig"] == {"one-net": {"Links": ["db:y", "db:x"]}, "two-net": {}}


def test_who_is_tied_to_another_is_found_without_a_look_at_all() -> None:
    registry = Registry()
    tied = {"b": {"HostConfig.Links": ["a:db"]}, "c": {"HostConfig.NetworkMode": "container:a"}}
    for name in "abcd":
        record = ContainerRecord(name, name, 1, "sha256:1", "bb", (), tied.get(name, {}))
        registry.add(Container(record, ContainerConfig(record.values, name), RunState()))
    assert [one.id for one in registry.tied] == ["b", "c"]
    assert names_by_links(registry) == {"a": ["/b/db"]}
    registry.discard(registry.find("b"))
    assert [one.id for one in registry.tied] == ["c"]
