"""Published ports as asked for and as led: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import INVALID, WardianError
from wardian.network.ports import Target, held_of, leads, parse_bindings, publications, rules
from wardian.network.values import HeldPort, PortRule, PortWant
from wardian.runtime import protocol
from wardian.runtime.supervisor import batches

ONE = {"HostIp": "", "HostPort": "8080"}
BOTH = Target("10.0.0.2", "fd00::2", "br0", "br0")
FOUR = Target("10.0.0.2", "", "br0", "")
HELD = (
    HeldPort(7, "tcp", "0.0.0.0", 8080, 80),
    HeldPort(8, "tcp", "::", 8080, 80),
    HeldPort(9, "udp", "::1", 5353, 53),
)


def test_forms_of_a_binding() -> None:
    assert parse_bindings({"80/tcp": [ONE]}) == (PortWant(80, "tcp", "", 8080, 8080),)
    assert parse_bindings({"80": [ONE]}) == (PortWant(80, "tcp", "", 8080, 8080),)
    assert parse_bindings({"53/UDP": [{"HostIp": "127.0.0.1", "HostPort": ""}]}) == (PortWant(53, "udp", "127.0.0.1"),)
    assert parse_bindings({"5/sctp": [{"HostIp": "[::1]", "HostPort": "80-90"}]}) == (
        PortWant(5, "sctp", "::1", 80, 90),
    )
    assert parse_bindings({"80/tcp": [ONE, {"HostPort": "0"}]}) == (
        PortWant(80, "tcp", "", 8080, 8080),
        PortWant(80, "tcp"),
    )
    assert parse_bindings({"80/tcp": None, "81/tcp": []}) == (PortWant(80, "tcp"), PortWant(81, "tcp"))
    assert parse_bindings(None) == ()


def test_an_address_has_one_spelling() -> None:
    (want,) = parse_bindings({"80/tcp": [{"HostIp": "0::0001", "HostPort": "1"}]})
    assert want.host_ip == "::1"


def test_publish_all_takes_what_is_exposed_and_not_bound() -> None:
    exposed = {"90/udp": {}, "80/tcp": {}, "70/tcp": {}}
    assert parse_bindings({"80/tcp": [ONE]}, exposed, True) == (
        PortWant(70, "tcp"),
        PortWant(80, "tcp", "", 8080, 8080),
        PortWant(90, "udp"),
    )
    assert parse_bindings({"80/tcp": [ONE]}, exposed) == (PortWant(80, "tcp", "", 8080, 8080),)


@pytest.mark.parametrize("text", ["abc", "70000", "90-80", "-", "1-", "-2", "0-9", " 80", "８０", "+80", "1-2-3"])
def test_a_bad_host_port_in_dockers_words(text: str) -> None:
    with pytest.raises(WardianError) as raised:
        parse_bindings({"80/tcp": [{"HostPort": text}]})
    assert raised.value.kind == INVALID and raised.value.message == f'invalid port specification: "{text}"'


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("abc/tcp", 'invalid port specification: "abc"'),
        ("70000/tcp", 'invalid port specification: "70000"'),
        ("0/tcp", 'invalid port specification: "0"'),
        ("80-82/tcp", 'invalid port specification: "80-82"'),
        ("/tcp", 'invalid port specification: ""'),
        ("80/foo", "invalid proto: foo"),
    ],
)
def test_a_bad_port_in_dockers_words(key: str, said: str) -> None:
    with pytest.raises(WardianError) as raised:
        parse_bindings({key: [ONE]})
    assert raised.value.message == said


def test_a_bad_address_publishes_on_no_other() -> None:
    with pytest.raises(WardianError, match="invalid IP address: localhost"):
        parse_bindings({"80/tcp": [{"HostIp": "localhost", "HostPort": "80"}]})


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=20))
def test_whatever_is_asked_is_a_wish_or_invalid(key: str, number: str, address: str) -> None:
    try:
        (want,) = parse_bindings({key: [{"HostIp": address, "HostPort": number}]})
    except WardianError as error:
        assert error.kind == INVALID
    else:
        assert 0 < want.port < 65536 and 0 <= want.first <= want.last < 65536


def test_each_family_leads_to_its_own_address() -> None:
    assert [lead.address for lead in leads(HELD, BOTH)] == ["10.0.0.2", "fd00::2", "fd00::2"]
    assert rules(leads(HELD, BOTH)) == (
        PortRule("tcp", "0.0.0.0", 8080, "10.0.0.2", 80, "br0"),
        PortRule("tcp", "::", 8080, "fd00::2", 80, "br0"),
    )


def test_what_no_rule_can_lead_is_relayed() -> None:
    assert [lead.address for lead in leads(HELD, FOUR)] == ["10.0.0.2"] * 3
    assert rules(leads(HELD, FOUR)) == (PortRule("tcp", "0.0.0.0", 8080, "10.0.0.2", 80, "br0"),)
    assert [tuple(one) for one in publications(HELD, FOUR)] == [
        (0, 7, "10.0.0.2", 80),
        (1, 8, "10.0.0.2", 80),
        (2, 9, "10.0.0.2", 53),
    ]


def test_rows_bring_the_ports_back_under_their_keys() -> None:
    rows = leads(HELD, FOUR)
    assert held_of(rows) == tuple(port._replace(fd=-1) for port in HELD)
    before, after = publications(HELD, FOUR), publications(held_of(rows), BOTH)
    assert [one.key for one in before] == [one.key for one in after]


def test_a_message_takes_so_many_descriptors_and_no_more() -> None:
    """unix(7): SCM_MAX_FD is 253."""
    many = publications(HELD[:1] * 600, FOUR)
    assert [len(batch) for batch in batches(many)] == [250, 250, 100] and protocol.MAX_TARGETS <= 253


def test_an_address_with_a_scope_is_none() -> None:
    """It would be another text for an address that is given already, and no text for a firewall's rule."""
    with pytest.raises(WardianError, match="invalid IP address: fd77::5%zz"):
        parse_bindings({"80/tcp": [{"HostIp": "fd77::5%zz", "HostPort": "80"}]}, {}, False)
