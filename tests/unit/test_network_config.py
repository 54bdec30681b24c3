"""Bodies of POST /networks/create: Docker's checks and texts, and what a network is when it is complete. Pure."""

import ipaddress
from typing import Any

import pytest

from wardian.errors import CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, UNAVAILABLE, WardianError
from wardian.network import filters
from wardian.network.addresses import Taken, engine_pools
from wardian.network.asked import check_network, configured, read_network
from wardian.network.config import Beside, check_addresses, complete, configuration, overlaps
from wardian.network.describe import describe
from wardian.network.values import NetworkConfig

POOLS = engine_pools([], "seed")
ROUTE = Taken(ipaddress.ip_network("172.17.0.0/16"), "a route by eth0")
BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"


def make(networks: tuple[NetworkConfig, ...] = (), host: tuple[Taken, ...] = (), **body: Any) -> NetworkConfig:
    return made(networks, host, **body)[0]


def made(networks: tuple[NetworkConfig, ...] = (), host: tuple[Taken, ...] = (), **body: Any) -> Any:
    asked = read_network({"Name": "web", **body})
    check_network(asked)
    return complete(asked, "0123456789abcdef" * 4, "now", Beside(networks, host, POOLS))


def ipam(*configs: dict[str, Any]) -> dict[str, Any]:
    return {"Driver": "default", "Config": list(configs)}


def shown(config: NetworkConfig) -> Any:
    return describe(config, {})["IPAM"]["Config"]


def test_nothing_asked() -> None:
    config = make(host=(ROUTE,))
    assert shown(config) == [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]
    assert (config.driver, config.link, config.enable_ipv4, config.enable_ipv6) == (
        "bridge",
        "br-0123456789ab",
        True,
        False,
    )
    second = make((config._replace(link="br-other"),), (ROUTE,))
    assert shown(second) == [{"Subnet": "172.19.0.0/16", "Gateway": "172.19.0.1"}]


def test_everything_asked() -> None:
    config = make(
        EnableIPv6=True,
        Internal=True,
        Attachable=True,
        Options={BRIDGE + "name": "mine", MTU: "9000", "x": "y"},
        Labels={"a": "b", "c": ""},
        IPAM={
            "Driver": "",
            "Options": {"o": "p"},
            "Config": [
                {
                    "Subnet": "10.9.0.0/24",
                    "IPRange": "10.9.0.128/25",
                    "Gateway": "10.9.0.254",
                    "AuxiliaryAddresses": {"printer": "10.9.0.5"},
                },
                {"Subnet": "fd12:3456::/64", "Gateway": "fd12:3456::99", "IPRange": "", "AuxiliaryAddresses": None},
            ],
        },
    )
    assert (config.internal, config.attachable, config.enable_ipv6, config.link, config.mtu) == (
        True,
        True,
        True,
        "mine",
        9000,
    )
    assert describe(config, {}) == {
        "Name": "web",
        "Id": "0123456789abcdef" * 4,
        "Created": "now",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": True,
        "IPAM": {
            "Driver": "default",
            "Options": {"o": "p"},
            "Config": [
                {
                    "Subnet": "10.9.0.0/24",
                    "IPRange": "10.9.0.128/25",
                    "Gateway": "10.9.0.254",
                    "AuxiliaryAddresses": {"printer": "10.9.0.5"},
                },
                {"Subnet": "fd12:3456::/64", "Gateway": "fd12:3456::99"},
            ],
        },
        "Internal": True,
        "Attachable": True,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {BRIDGE + "name": "mine", MTU: "9000", "x": "y"},
        "Labels": {"a": "b", "c": ""},
    }


def test_the_gateway_comes_from_the_range() -> None:
    config = make(IPAM=ipam({"Subnet": "10.9.0.0/24", "IPRange": "10.9.0.64/30"}))
    assert config.v4 is not None
    assert str(config.v4.gateway) == "10.9.0.64"


def test_families() -> None:
    six = POOLS[-1].base
    both = make(EnableIPv6=True)
    assert [one.subnet.version for one in both.subnets] == [4, 6]
    alone = make(EnableIPv4=False, EnableIPv6=True)
    assert [one.subnet.subnet_of(six) for one in alone.subnets] == [True]
    by_option = make(Options={"com.docker.network.enable_ipv4": "false", "com.docker.network.enable_ipv6": "1"})
    assert (by_option.enable_ipv4, by_option.enable_ipv6) == (False, True)
    asked_first = make(EnableIPv6=True, IPAM=ipam({"Subnet": "fd12:3456::/64"}))
    assert [str(one.subnet) for one in asked_first.subnets] == ["fd12:3456::/64", "172.17.0.0/16"]


def test_a_subnet_of_a_family_that_is_off_is_told() -> None:
    config, warnings = made(IPAM=ipam({"Subnet": "fd12:3456::/64"}))
    assert [str(one.subnet) for one in config.subnets] == ["172.17.0.0/16"]
    assert warnings == ["the subnet fd12:3456::/64 is not used: IPv6 is off for this network"]


def test_a_subnet_that_the_host_uses_is_told() -> None:
    _, warnings = made(host=(ROUTE,), IPAM=ipam({"Subnet": "172.17.8.0/24"}))
    assert warnings == ["the subnet 172.17.8.0/24 overlaps 172.17.0.0/16, a route by eth0"]
    _, warnings = made(host=(ROUTE,), Driver="macvlan", IPAM=ipam({"Subnet": "172.17.8.0/24"}))
    assert warnings == [], "a macvlan's subnet is its parent's"


def test_a_range_that_the_host_has_come_to_use_is_told() -> None:
    web, wide = make(), make(Driver="macvlan")
    assert overlaps([web, wide], [ROUTE]) == [
        "the network web has 172.17.0.0/16, which overlaps 172.17.0.0/16, a route by eth0"
    ]


def test_an_isolated_network_has_no_gateway() -> None:
    options = {BRIDGE + "gateway_mode_ipv4": "isolated"}
    assert shown(make(Internal=True, Options=options)) == [{"Subnet": "172.17.0.0/16"}]
    asked = ipam({"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.9"})
    assert shown(make(Internal=True, Options=options, IPAM=asked)) == asked["Config"]


def test_links_of_other_drivers() -> None:
    assert make(Driver="macvlan").link == "dm-0123456789ab"
    assert make(Driver="ipvlan").link == "di-0123456789ab"
    assert make(Driver="ipvlan", Options={"parent": "eth0.7"}).link == "eth0.7"
    several = make(Driver="ipvlan", IPAM=ipam({"Subnet": "10.8.0.0/24"}, {"Subnet": "10.9.0.0/24"}))
    assert len(several.subnets) == 2


def subnet(**config: Any) -> dict[str, Any]:
    return {"IPAM": ipam({"Subnet": "10.9.0.0/24", **config})}


def option(name: str, value: str) -> dict[str, Any]:
    return {"Options": {name: value}}


_OPERATORS = (
    "configuration network can only contain network specific fields. Network operator fields like "
    "[ ingress | internal | attachable | scope ] are not supported."
)
SYNTAX = 'strconv.ParseBool: parsing "x": invalid syntax'
REFUSED = [
    ({"Name": ""}, INVALID, "invalid name: name is empty"),
    ({"Name": " "}, INVALID, "invalid name: name is empty"),
    ({"Name": "host"}, FORBIDDEN, "operation is not permitted on predefined host network"),
    ({"Name": "default"}, FORBIDDEN, "operation is not permitted on predefined default network"),
    ({"Driver": "null"}, FORBIDDEN, 'only one instance of "null" network is allowed'),
    ({"Driver": "nope"}, NOT_FOUND, 'plugin "nope" not found'),
    ({"IPAM": {"Driver": "nope"}}, NOT_FOUND, 'plugin "nope" not found'),
    ({"IPAM": {"Driver": "null"}}, INVALID, "ipv4 pool is empty"),
    ({"Ingress": True}, FORBIDDEN, "Ingress network can only be global scope network"),
    ({"Scope": "swarm"}, FORBIDDEN, "cannot create a swarm scoped network when swarm is not active"),
    ({"EnableIPv4": False}, INVALID, "IPv4 or IPv6 must be enabled"),
    (subnet(Subnet="10.9.0.5/24"), INVALID, "invalid subnet 10.9.0.5/24: it should be 10.9.0.0/24"),
    (subnet(Subnet="nope"), INVALID, "invalid subnet nope: invalid CIDR block notation"),
    (subnet(Subnet="10.9.0.0"), INVALID, "invalid subnet 10.9.0.0: invalid CIDR block notation"),
    (
        subnet(Subnet="10.9.0.0/255.255.0.0"),
        INVALID,
        "invalid subnet 10.9.0.0/255.255.0.0: invalid CIDR block notation",
    ),
    (subnet(Subnet=""), INVALID, "invalid subnet : invalid CIDR block notation"),
    (subnet(Subnet="127.5.0.0/24"), INVALID, "invalid subnet 127.5.0.0/24: its addresses are no hosts'"),
    (subnet(Subnet="224.0.0.0/24"), INVALID, "invalid subnet 224.0.0.0/24: its addresses are no hosts'"),
    (subnet(Subnet="::ffff:10.0.0.0/120"), INVALID, "invalid subnet ::ffff:10.0.0.0/120: its addresses are no hosts'"),
    (subnet(Subnet="0.0.0.0/0"), INVALID, "invalid subnet 0.0.0.0/0: its addresses are no hosts'"),
    (subnet(Gateway="nope"), INVALID, "invalid gateway nope: invalid address"),
    (subnet(Gateway="10.9.0.7/24"), INVALID, "invalid gateway 10.9.0.7/24: invalid address"),
    (
        subnet(Gateway="10.8.0.1"),
        INVALID,
        "invalid gateway 10.8.0.1: parent subnet 10.9.0.0/24 doesn't contain this address",
    ),
    (subnet(IPRange="x"), INVALID, "invalid ip-range x: invalid CIDR block notation"),
    (subnet(IPRange="10.9.0.5/25"), INVALID, "invalid ip-range 10.9.0.5/25: it should be 10.9.0.0/25"),
    (subnet(IPRange="fd00::/64"), INVALID, "invalid ip-range fd00::/64: parent subnet is an IPv4 block"),
    (
        subnet(IPRange="10.8.0.0/25"),
        INVALID,
        "invalid ip-range 10.8.0.0/25: parent subnet 10.9.0.0/24 doesn't contain ip-range",
    ),
    (
        subnet(IPRange="10.9.0.0/16"),
        INVALID,
        "invalid ip-range 10.9.0.0/16: CIDR block is bigger than its parent subnet 10.9.0.0/24",
    ),
    (
        subnet(IPRange="10.8.9.3/23"),
        INVALID,
        "* invalid ip-range 10.8.9.3/23: CIDR block is bigger than its parent subnet 10.9.0.0/24\n"
        "* invalid ip-range 10.8.9.3/23: it should be 10.8.8.0/23\n"
        "* invalid ip-range 10.8.9.3/23: parent subnet 10.9.0.0/24 doesn't contain ip-range",
    ),
    ({"Name": "", **subnet(Subnet="bad")}, INVALID, "invalid subnet bad: invalid CIDR block notation"),
    (subnet(AuxiliaryAddresses={"a": "x"}), INVALID, "invalid auxiliary address a: invalid address"),
    (
        subnet(AuxiliaryAddresses={"a": "10.8.0.1"}),
        INVALID,
        "invalid auxiliary address a: parent subnet 10.9.0.0/24 doesn't contain this address",
    ),
    (subnet(Gateway="10.9.0.0"), INVALID, "failed to allocate gateway (10.9.0.0): Address already in use"),
    (subnet(Gateway="10.9.0.255"), INVALID, "failed to allocate gateway (10.9.0.255): Address already in use"),
    (
        subnet(AuxiliaryAddresses={"a": "10.9.0.1"}),
        INVALID,
        "failed to allocate secondary ip address (a:10.9.0.1): Address already in use",
    ),
    (
        subnet(AuxiliaryAddresses={"a": "10.9.0.5", "b": "10.9.0.5"}),
        INVALID,
        "failed to allocate secondary ip address (b:10.9.0.5): Address already in use",
    ),
    (
        {"EnableIPv6": True, "IPAM": ipam({"Subnet": "fd00::/128"})},
        INVALID,
        "failed to allocate gateway (): no available addresses on this pool",
    ),
    (
        {"IPAM": ipam({"Subnet": "10.8.0.0/24"}, {"Subnet": "10.9.0.0/24"})},
        FORBIDDEN,
        "bridge driver doesn't support multiple subnets",
    ),
    (
        {"Driver": "ipvlan", "IPAM": ipam({"Subnet": "10.9.0.0/24"}, {"Subnet": "10.9.0.0/25"})},
        FORBIDDEN,
        "invalid pool request: Pool overlaps with other one on this address space",
    ),
    (option(BRIDGE + "enable_icc", "x"), INVALID, f"failed to parse {BRIDGE}enable_icc value: x ({SYNTAX})"),
    (
        option(BRIDGE + "host_binding_ipv4", "x"),
        INVALID,
        f"failed to parse {BRIDGE}host_binding_ipv4 value: x (nil ip)",
    ),
    (
        option(BRIDGE + "gateway_mode_ipv4", "x"),
        INVALID,
        f"failed to parse {BRIDGE}gateway_mode_ipv4 value: x (unknown gateway mode x)",
    ),
    (
        option(BRIDGE + "gateway_mode_ipv6", "isolated"),
        INVALID,
        "gateway mode 'isolated' can only be used for an internal network",
    ),
    (
        option("com.docker.network.host_ipv4", "x"),
        INVALID,
        "failed to parse com.docker.network.host_ipv4 value: x (nil ip)",
    ),
    (
        option("com.docker.network.host_ipv4", "fd00::1"),
        INVALID,
        "failed to parse com.docker.network.host_ipv4 value: fd00::1 (no IPv4 address)",
    ),
    ({"ConfigOnly": True, "Internal": True}, FORBIDDEN, _OPERATORS),
    ({"ConfigOnly": True, "Scope": "local"}, FORBIDDEN, _OPERATORS),
    (
        {"ConfigOnly": True, "ConfigFrom": {"Network": "x"}},
        FORBIDDEN,
        "a configuration network cannot depend on another configuration network",
    ),
    (option(BRIDGE + "name", "a/b"), INVALID, "invalid bridge name: 'a/b' is no name of a link"),
    (
        option(BRIDGE + "name", "sixteen-letters-"),
        INVALID,
        "invalid bridge name: 'sixteen-letters-' is no name of a link",
    ),
    (option(MTU, "x"), INVALID, f'failed to parse {MTU} value: x (strconv.Atoi: parsing "x": invalid syntax)'),
    (option(MTU, "-1"), INVALID, "invalid MTU number: -1"),
    (option(MTU, "67"), INVALID, "invalid MTU number: 67: a link takes 68 to 65535"),
    ({"EnableIPv6": True, **option(MTU, "1279")}, INVALID, "invalid MTU number: 1279: a link takes 1280 to 65535"),
    (option("com.docker.network.container_iface_prefix", "a/b"), INVALID, "invalid prefix of interfaces: 'a/b'"),
    (
        {"Driver": "macvlan", "Options": {"macvlan_mode": "x"}},
        INVALID,
        "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default",
    ),
    (
        {"Driver": "ipvlan", "Options": {"ipvlan_flag": "x"}},
        INVALID,
        "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default",
    ),
    (
        option("com.docker.network.enable_ipv6", "zz"),
        INVALID,
        'driver-opt "com.docker.network.enable_ipv6" is not a valid bool',
    ),
    (
        {"Name": 5},
        INVALID,
        "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Name of type string",
    ),
    (
        {"Labels": []},
        INVALID,
        "invalid JSON: json: cannot unmarshal array into Go struct field CreateRequest.Labels "
        "of type map[string]string",
    ),
    (
        {"Internal": "yes"},
        INVALID,
        "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Internal of type bool",
    ),
]


@pytest.mark.parametrize(("body", "kind", "text"), REFUSED, ids=[text[:40] for _, _, text in REFUSED])
def test_what_is_refused(body: dict[str, Any], kind: str, text: str) -> None:
    with pytest.raises(WardianError) as caught:
        make(**body)
    assert caught.value.message.removeprefix("invalid network config:\n") == text
    assert caught.value.kind == kind


def test_all_that_is_wrong_is_told_at_once() -> None:
    configs = ({"Subnet": "10.9.0.5/24", "Gateway": "1.1.1.1", "IPRange": "x"}, {"Subnet": "zz"})
    with pytest.raises(WardianError) as caught:
        make(IPAM=ipam(*configs))
    assert caught.value.message == (
        "invalid network config:\n"
        "* invalid subnet 10.9.0.5/24: it should be 10.9.0.0/24\n"
        "* invalid ip-range x: invalid CIDR block notation\n"
        "* invalid gateway 1.1.1.1: parent subnet 10.9.0.5/24 doesn't contain this address\n"
        "* invalid subnet zz: invalid CIDR block notation"
    )


def test_a_subnet_of_another_network_is_refused() -> None:
    first = make(**subnet())
    with pytest.raises(WardianError, match="invalid pool request: Pool overlaps with other one on this") as caught:
        make((first,), IPAM=ipam({"Subnet": "10.9.0.64/26"}))
    assert caught.value.kind == FORBIDDEN


def test_a_network_of_half_the_world_leaves_no_room() -> None:
    wide = make(IPAM=ipam({"Subnet": "128.0.0.0/1"}))
    with pytest.raises(WardianError, match="Pool overlaps with other one on this address space"):
        make((wide._replace(link="br-w"),), IPAM=ipam({"Subnet": "172.20.0.0/16"}))
    assert shown(make((wide._replace(link="br-w"),)))[0]["Subnet"] == "10.192.0.0/20"


def test_a_bridge_of_another_network_is_refused() -> None:
    first = make(Options={BRIDGE + "name": "mine"})
    with pytest.raises(WardianError, match=r"\(mine\): networks have same bridge name") as caught:
        make((first,), Options={BRIDGE + "name": "mine"})
    assert caught.value.kind == FORBIDDEN


def test_a_bridge_that_others_use_is_refused() -> None:
    host = (
        Taken(ipaddress.ip_network("172.29.0.0/16"), "an address of docker0", "docker0"),
        Taken(ipaddress.ip_network("fe80::/64"), "a route by docker0", "docker0"),
    )
    named = {"Options": {BRIDGE + "name": "docker0"}}
    with pytest.raises(WardianError, match=r"the bridge docker0 has 172\.29\.0\.0/16, which is not this") as caught:
        make(host=host, **named)
    assert caught.value.kind == CONFLICT
    assert make(host=host, **named, IPAM=ipam({"Subnet": "172.29.0.0/16"})).link == "docker0", "it was said whose it is"
    assert make(host=host[1:], **named).link == "docker0"


def test_a_bridge_of_the_hosts_lan_may_have_more_than_the_networks() -> None:
    def lan(*texts: str) -> tuple[Taken, ...]:
        return tuple(Taken(ipaddress.ip_network(text), "an address of lan0", "lan0") for text in texts)

    here, slaac = "192.168.7.0/24", "2001:db8:7::/64"
    named = {"Options": {BRIDGE + "name": "lan0"}}
    mine = ipam({"Subnet": here})
    assert make(host=lan(slaac), **named).link == "lan0", "IPv6 is off for this network"
    assert make(host=lan("10.9.0.0/24", slaac, here), **named, IPAM=mine).link == "lan0"
    both = ipam({"Subnet": here}, {"Subnet": "fd00:7::/64"})
    assert make(host=lan(here, slaac), **named, EnableIPv6=True, IPAM=both).link == "lan0"
    for host in (lan(slaac), lan(slaac, "10.9.0.0/24")):
        with pytest.raises(WardianError, match=r"the bridge lan0 has .*, which is not this network's"):
            make(host=host, **named, EnableIPv6=True, IPAM=both)
    with pytest.raises(WardianError, match=r"the bridge lan0 has 10\.9\.0\.0/24"):
        make(host=lan("10.9.0.0/24"), **named, IPAM=mine)


def test_no_pool_is_left() -> None:
    host = tuple(
        Taken(ipaddress.ip_network(text), "a route by tun0")
        for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    )
    with pytest.raises(WardianError, match=r"have been fully subnetted: .* is taken by a route by tun0") as caught:
        make(host=host)
    assert caught.value.kind == UNAVAILABLE
    assert make(host=host, EnableIPv4=False, EnableIPv6=True).v6 is not None


def test_static_addresses_need_a_subnet_that_was_asked_for() -> None:
    chosen = make(EnableIPv6=True)
    asked = make(**subnet())
    only = "user specified IP address is supported only when connecting to networks with user configured subnets"
    assert check_addresses(chosen, "172.17.0.9", "fd00::1") == [only, only]
    assert check_addresses(asked, "10.9.0.9", "") == []
    assert check_addresses(asked, "10.8.0.9", "fd00::1") == [
        "no configured subnet or ip-range contain the IP address 10.8.0.9",
        only,
    ]


NETWORKS = tuple(
    make(**body)._replace(id=identity * 8, name=name)
    for identity, name, body in (
        ("0a1b2c3d", "bridge", {}),
        ("1a1b2c3d", "web", {"Labels": {"k": "v", "j": ""}}),
        ("2a1b2c3d", "webs", {"Driver": "macvlan", "Labels": {"k": "w"}}),
    )
)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["bridge", "web", "webs"]),
        ({"name": ["web"]}, ["web", "webs"]),
        ({"name": ["^web$"]}, ["web"]),
        ({"name": ["ridg", "^webs"]}, ["bridge", "webs"]),
        ({"name": ["["]}, []),
        ({"id": ["1a1b"]}, ["web"]),
        ({"driver": ["macvlan"]}, ["webs"]),
        ({"driver": ["mac"]}, []),
        ({"type": ["custom"]}, ["web", "webs"]),
        ({"type": ["builtin", "custom"]}, ["bridge", "web", "webs"]),
        ({"scope": ["local"]}, ["bridge", "web", "webs"]),
        ({"scope": ["swarm"]}, []),
        ({"label": ["k"]}, ["web", "webs"]),
        ({"label": ["k=v"]}, ["web"]),
        ({"label": ["k", "j"]}, ["web"]),
        ({"dangling": ["true"]}, ["webs"]),
        ({"dangling": ["0"]}, ["bridge", "web"]),
        ({"name": ["web"], "driver": ["bridge"]}, ["web"]),
    ],
)
def test_filters_of_the_list(wanted: dict[str, list[str]], names: list[str]) -> None:
    used = {NETWORKS[1].id}
    assert [one.name for one in filters.chosen(NETWORKS, wanted, used)] == names


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"zz": ["a"]}, "invalid filter 'zz'"),
        ({"type": ["x"]}, "invalid filter: 'type'='x'"),
        ({"dangling": ["x"]}, 'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'),
        ({"dangling": ["true", "false"]}, 'got more than one value for filter key "dangling"'),
    ],
)
def test_filters_that_are_none(wanted: dict[str, list[str]], text: str) -> None:
    with pytest.raises(WardianError) as caught:
        filters.chosen(NETWORKS, wanted, ())
    assert caught.value.message == text


def test_filters_of_prune() -> None:
    def pruned(wanted: dict[str, list[str]], before: float | None = None, created: float = 5) -> list[str]:
        means = filters.prunable(wanted, before)
        return [one.name for one in NETWORKS if means(one, created)]

    assert pruned({}) == ["web", "webs"]
    assert pruned({"label": ["k=v"]}) == ["web"]
    assert pruned({"label!": ["k=v"]}) == ["webs"]
    assert pruned({"label": ["k"], "label!": ["j"]}) == ["webs"]
    assert pruned({}, before=4) == []
    assert pruned({}, before=6) == ["web", "webs"]
    with pytest.raises(WardianError, match="invalid filter 'name'"):
        pruned({"name": ["web"]})


def test_a_configuration_for_others() -> None:
    """What Docker 28.5.2 refuses, and what it takes of the other network."""
    body = {"Name": "conf", "ConfigOnly": True, "Driver": "nope", "Labels": {"a": "b"}, "Options": {"parent": "eth7"}}
    source = configuration(read_network(body | subnet(Gateway="10.9.0.9")), "c" * 64, "now")
    assert (source.driver, source.link, source.subnets[0].gateway) == ("null", "", ipaddress.ip_address("10.9.0.9"))
    wanted = {"Name": "web", "ConfigFrom": {"Network": "conf"}}

    def taken(**more: Any) -> Any:
        return configured(read_network(wanted | more), [source])

    found = taken(Driver="macvlan", Internal=True)
    assert (found.driver, found.internal, found.labels, found.options) == (
        "macvlan",
        True,
        {"a": "b"},
        {"parent": "eth7"},
    )
    assert str(found.subnets[0].subnet) == "10.9.0.0/24"
    for more in ({"Labels": {"x": "y"}}, {"EnableIPv6": True}, {"EnableIPv4": False}, subnet()):
        with pytest.raises(WardianError, match=r"^user specified configurations are not supported"):
            taken(**more)
    with pytest.raises(WardianError, match=r"^network driver options are not supported"):
        taken(Options={"a": "b"})
    with pytest.raises(WardianError, match=r'^configuration network "conf" does not exist') as refused:
        configured(read_network(wanted), [source._replace(config_only=False)])
    assert refused.value.kind == NOT_FOUND
    assert make(networks=(source,), **subnet()).v4 is not None, "its subnet is nobody's yet"
