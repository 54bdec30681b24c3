"""Which subnet, which address: pure."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import UNAVAILABLE, WardianError
from wardian.network import addresses

SMALL = ipaddress.IPv4Network("10.9.0.0/29")  # .1 gateway, .2 to .6 for endpoints, .7 broadcast


def taken(*ranges: str) -> list[addresses.Taken]:
    return [addresses.Taken(ipaddress.IPv4Network(one), "a route by eth0") for one in ranges]


def test_the_first_free_private_range_is_chosen() -> None:
    assert str(addresses.choose_subnet([])) == "172.17.0.0/16"
    assert str(addresses.choose_subnet(taken("172.17.3.0/24", "172.18.0.0/15"))) == "172.20.0.0/16"
    assert str(addresses.choose_subnet(taken("172.16.0.0/12"))) == "192.168.0.0/20"


def test_default_routes_in_pieces_take_nothing() -> None:
    assert str(addresses.choose_subnet(taken("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"))) == "172.17.0.0/16"


def test_a_full_house_says_what_takes_it() -> None:
    with pytest.raises(WardianError, match=r"172\.17\.0\.0/16 is taken by a route by eth0") as caught:
        addresses.choose_subnet(taken("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
    assert caught.value.kind == UNAVAILABLE


def test_addresses_go_round_and_a_released_one_comes_last() -> None:
    given_out, last, used = [], None, set()
    for _ in range(7):
        last = addresses.next_address(SMALL, used, last)
        given_out.append(str(last).rpartition(".")[2])
        used = {last} if last else set()  # each is released when the next is given
    assert given_out == ["2", "3", "4", "5", "6", "2", "3"]


def test_none_is_left_when_all_are_used() -> None:
    used = {ipaddress.IPv4Address(f"10.9.0.{n}") for n in range(2, 7)}
    assert addresses.next_address(SMALL, used, ipaddress.IPv4Address("10.9.0.4")) is None
    used.discard(ipaddress.IPv4Address("10.9.0.3"))
    assert str(addresses.next_address(SMALL, used, ipaddress.IPv4Address("10.9.0.4"))) == "10.9.0.3"


@given(st.sets(st.integers(2, 6)), st.one_of(st.none(), st.integers(0, 300)))
def test_an_address_is_free_and_inside_whatever_came_before(numbers: set[int], last: int | None) -> None:
    base = int(SMALL.network_address)
    used = {ipaddress.IPv4Address(base + n) for n in numbers}
    found = addresses.next_address(SMALL, used, None if last is None else ipaddress.IPv4Address(base + last))
    if len(numbers) == 5:
        assert found is None
    else:
        assert found is not None
        assert found not in used
        assert 2 <= int(found) - base <= 6


def test_a_mac_follows_from_the_address() -> None:
    assert addresses.mac_of(ipaddress.IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"
