"""What run, create and the verbs of network send: recorded from docker's CLI 28.2.2 by a socket that answers nothing.

In the record, fields of an endpoint and of a create body that are zero are left out; the bodies of network's verbs are
whole. `said` is the first paragraph of what docker's CLI told where it refused the words itself.
"""

import json
from pathlib import Path

import pytest

from wardian.cli import networks
from wardian.cli.command import Failure, count_failure
from wardian.cli.create_body import BodyError, create_body
from wardian.cli.natural_order import natural_key
from wardian.cli.network_body import connection_body, network_body
from wardian.cli.pflag import FlagError, parse
from wardian.cli.port import port_lines
from wardian.cli.run_flags import CREATE_FLAGS

RECORD = json.loads((Path(__file__).parent / "golden" / "docker_cli_network_requests.json").read_text())
OF_HOST = "NetworkMode PortBindings PublishAllPorts Dns DnsOptions DnsSearch ExtraHosts Links".split()


def words_of(row):
    return " ".join(row.get("create") or row["typed"])


@pytest.mark.parametrize("row", RECORD["create"], ids=words_of)
def test_create(row):
    try:
        body = create_body(CREATE_FLAGS, parse(CREATE_FLAGS, row["create"], False))
    except (BodyError, FlagError) as error:
        assert str(error) == row.get("said")
        return
    sent = {"ExposedPorts": body.get("ExposedPorts"), **{name: body["HostConfig"][name] for name in OF_HOST}}
    sent = {name: value for name, value in sent.items() if value}
    endpoints = body["NetworkingConfig"]["EndpointsConfig"]
    sent["NetworkingConfig"] = {
        "EndpointsConfig": {
            name: {field: value for field, value in endpoint.items() if value not in (None, "", 0)}
            for name, endpoint in endpoints.items()
        }
    }
    assert sent == row.get("sent")


@pytest.mark.parametrize("row", RECORD["network"], ids=words_of)
def test_network(row):
    verb, *words = row["typed"]
    if verb == "disconnect":
        return  # no flags that a body is made of: tests/clients
    command, read = {"create": (networks.CREATE, network_body), "connect": (networks.CONNECT, connection_body)}[verb]
    try:
        parsed = parse(command.flags, words)
        wrong = count_failure(f"network {verb}", command, len(parsed.args))
        if wrong:
            assert wrong.message.replace("wardian", "docker") == row["said"]
            return
        sent = read(parsed)
    except (Failure, FlagError) as error:
        assert str(error).strip() == row.get("said")
        return
    # Docker keeps the subnets in a map: they go in any order.
    for body in (sent, row.get("sent", {})):
        body.get("IPAM", {}).get("Config", []).sort(key=lambda pool: pool["Subnet"])
    assert sent == row.get("sent")


PUBLISHED = {
    "443/tcp": None,
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    "9/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9"}],
    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
    "81/tcp": [],
}


def test_port():
    assert port_lines(PUBLISHED, "c") == [
        "9/tcp -> 0.0.0.0:9", "53/udp -> 127.0.0.1:53", "80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080",
    ]  # fmt: skip
    assert port_lines(PUBLISHED, "c", "80") == ["0.0.0.0:8080", "[::]:8080"]
    assert port_lines(PUBLISHED, "c", "53/udp") == ["127.0.0.1:53"]


@pytest.mark.parametrize("text", ["443", "81", "80/udp", "1"])
def test_port_that_is_not_published(text):
    with pytest.raises(Failure, match=f"^Error: No public port '{text}' published for c$"):
        port_lines(PUBLISHED, "c", text)


def test_port_that_is_none():
    for text, why in (("foo", "invalid syntax"), ("70000", "value out of range")):
        with pytest.raises(Failure) as caught:
            port_lines(PUBLISHED, "c", text)
        assert caught.value.message == f'Error: invalid port ({text}): strconv.ParseUint: parsing "{text}": {why}'


def test_natural_order():
    names = ["n10", "n2", "bridge", "N1", "n", "n02", "a1b3", "a1b20"]
    assert sorted(names, key=natural_key) == ["N1", "a1b3", "a1b20", "bridge", "n", "n2", "n02", "n10"]
