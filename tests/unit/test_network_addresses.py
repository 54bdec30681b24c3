"""Which subnet, which address: pure."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import INVALID, UNAVAILABLE, WardianError
from wardian.network import addresses

SMALL = ipaddress.IPv4Network("10.9.0.0/29")  # .1 gateway, .2 to .6 for endpoints, .7 broadcast
GATEWAY = ipaddress.IPv4Address("10.9.0.1")


def taken(*ranges: str, by: str = "eth0") -> list[addresses.Taken]:
    return [addresses.Taken(ipaddress.IPv4Network(one), f"a route by {by}") for one in ranges]


def test_the_first_free_private_range_is_chosen() -> None:
    assert str(addresses.choose_subnet([])) == "172.17.0.0/16"
    assert str(addresses.choose_subnet(taken("172.17.3.0/24", "172.18.0.0/15"))) == "172.20.0.0/16"
    assert str(addresses.choose_subnet(taken("172.16.0.0/12"))) == "192.168.0.0/20"


def test_default_routes_in_pieces_take_nothing() -> None:
    for text in ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "2000::/3"):
        assert not addresses.takes_a_range(ipaddress.ip_network(text))
    for text in ("10.0.0.0/8", "10.9.0.1/32", "fd00::/16", "2001:db8::/32"):
        assert addresses.takes_a_range(ipaddress.ip_network(text))


def test_a_full_house_says_what_takes_it() -> None:
    with pytest.raises(WardianError) as caught:
        addresses.choose_subnet(taken("10.0.0.0/8", "172.16.0.0/12", by="eth0") + taken("192.168.0.0/16", by="tun0"))
    assert caught.value.kind == UNAVAILABLE
    assert caught.value.message == (
        "all predefined address pools have been fully subnetted: 172.17.0.0/16 to 172.31.0.0/16 is taken by a route by "
        "eth0; 192.168.0.0/16 by /20 is taken by a route by tun0; 10.192.0.0/10 by /20 is taken by a route by eth0"
    )


def test_many_who_take_a_pool_are_counted() -> None:
    pool = addresses.parse_pool("base=10.5.0.0/24,size=28")
    own = [
        addresses.Taken(one, f"the network n{number}")
        for number, one in enumerate(ipaddress.ip_network("10.5.0.0/24").subnets(new_prefix=28))
    ]
    assert str(addresses.choose_subnet(own[:7] + own[8:], [pool])) == "10.5.0.112/28"
    with pytest.raises(WardianError, match=r"is taken by the network n0, the network n1, .* and 10 more"):
        addresses.choose_subnet(own, [pool])


def test_the_pools_of_an_engine() -> None:
    pools = addresses.engine_pools(["base=10.5.0.0/16,size=24", "base=10.6.0.0/16,size=26"], "seed")
    assert [str(pool) for pool in pools[:2]] == ["10.5.0.0/16 by /24", "10.6.0.0/16 by /26"]
    assert str(addresses.choose_subnet(taken("10.5.0.0/16"), pools)) == "10.6.0.0/26"
    six = addresses.choose_subnet([], pools, 6)
    assert six.subnet_of(ipaddress.ip_network("fd00::/8"))
    assert (six.prefixlen, pools[2].base.prefixlen) == (64, 48)
    assert addresses.engine_pools([], "seed")[-1] == pools[2] != addresses.engine_pools([], "other")[-1]
    assert str(addresses.choose_subnet([addresses.Taken(six, "")], pools, 6)) == str(
        ipaddress.IPv6Network((int(six.network_address) + (1 << 64), 64))
    )
    told = addresses.engine_pools(["base=fd77::/56,size=64"], "seed")
    assert str(addresses.choose_subnet([], told, 6)) == "fd77::/64"
    assert str(addresses.choose_subnet([], told)) == "172.17.0.0/16"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'base' is missing"),
        ("base=10.0.0.0/8", "'size' is missing"),
        ("base=10.0.0.0/8,size=x", "invalid literal"),
        ("base=10.0.0.1/8,size=24", "has host bits set"),
        ("base=nope,size=24", "nope"),
        ("base=10.0.0.0/24,size=16", "/16 does not fit"),
        ("base=10.0.0.0/24,size=31", "/31 does not fit"),
        ("base=10.0.0.0/24,size=25,colour=red", "'colour' is no field"),
    ],
)
def test_a_pool_that_is_none(text: str, reason: str) -> None:
    with pytest.raises(WardianError, match=f"invalid default address pool '{text}': .*{reason}") as caught:
        addresses.parse_pool(text)
    assert caught.value.kind == INVALID


def test_pools_that_overlap() -> None:
    with pytest.raises(WardianError, match=r"10.0.0.0/8 and 10.5.0.0/16 overlap"):
        addresses.engine_pools(["base=10.0.0.0/8,size=24", "base=10.5.0.0/16,size=24"], "")


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(20, 28)), max_size=60))
def test_a_chosen_subnet_is_free_and_the_first_one(ranges: list[tuple[int, int]]) -> None:
    """Against the plain walk over all candidates."""
    used = [
        addresses.Taken(ipaddress.ip_network((f"10.5.{octet}.0", prefix), strict=False), "") for octet, prefix in ranges
    ]
    pool = addresses.parse_pool("base=10.5.0.0/16,size=24")
    free = [one for one in pool.base.subnets(new_prefix=24) if addresses.conflict(one, used) is None]
    if free:
        assert addresses.choose_subnet(used, [pool]) == free[0]
    else:
        with pytest.raises(WardianError):
            addresses.choose_subnet(used, [pool])


def test_the_gateway_is_the_first_address_that_may_be_given() -> None:
    found = {
        text: str(addresses.gateway_of(ipaddress.ip_network(text)))
        for text in ("10.9.0.0/29", "10.9.0.0/31", "10.9.0.7/32", "fd00::/64", "fd00::/127")
    }
    assert list(found.values()) == ["10.9.0.1", "10.9.0.0", "10.9.0.7", "fd00::1", "fd00::1"]
    assert str(addresses.gateway_of(SMALL, ipaddress.IPv4Network("10.9.0.4/30"))) == "10.9.0.4"
    with pytest.raises(WardianError, match="no available addresses on this pool"):
        addresses.gateway_of(ipaddress.ip_network("fd00::/128"))


def test_addresses_go_round_and_a_released_one_comes_last() -> None:
    given_out, last, used = [], None, {GATEWAY}
    for _ in range(7):
        last = addresses.next_address(SMALL, used, last)
        given_out.append(str(last).rpartition(".")[2])
        used = {GATEWAY, last} if last else {GATEWAY}  # each is released when the next is given
    assert given_out == ["2", "3", "4", "5", "6", "2", "3"]


def test_none_is_left_when_all_are_used() -> None:
    used = {ipaddress.IPv4Address(f"10.9.0.{n}") for n in range(1, 7)}
    assert addresses.next_address(SMALL, used, ipaddress.IPv4Address("10.9.0.4")) is None
    used.discard(ipaddress.IPv4Address("10.9.0.3"))
    assert str(addresses.next_address(SMALL, used, ipaddress.IPv4Address("10.9.0.4"))) == "10.9.0.3"


@given(st.sets(st.integers(2, 6)), st.one_of(st.none(), st.integers(0, 300)))
def test_an_address_is_free_and_inside_whatever_came_before(numbers: set[int], last: int | None) -> None:
    base = int(SMALL.network_address)
    used = {GATEWAY, *(ipaddress.IPv4Address(base + n) for n in numbers)}
    found = addresses.next_address(SMALL, used, None if last is None else ipaddress.IPv4Address(base + last))
    if len(numbers) == 5:
        assert found is None
    else:
        assert found is not None
        assert found not in used
        assert 2 <= int(found) - base <= 6


def test_a_mac_follows_from_the_address() -> None:
    assert addresses.mac_of(ipaddress.IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"


def test_ipv6_addresses_go_round_as_well() -> None:
    block, gateway = ipaddress.ip_network("fd00::/64"), ipaddress.ip_address("fd00::1")
    first = addresses.next_address(block, {gateway}, None)
    assert str(first) == "fd00::2"
    assert str(addresses.next_address(block, {gateway}, first)) == "fd00::3"
    inside = ipaddress.ip_network("fd00::1:0/112")
    assert str(addresses.next_address(block, {gateway}, None, inside)) == "fd00::1:0"
    end = ipaddress.ip_address("fd00::1:ffff")
    assert str(addresses.next_address(block, {gateway}, end, inside)) == "fd00::1:0"
    assert addresses.mac_of(gateway).startswith("02:42:")
