"""Addresses and ids in the state file: never given twice, across restarts and crashes too."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.database import Database
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, UNAVAILABLE, WardianError
from wardian.home import Home, make_home
from wardian.network import SCHEMA, Networks, state
from wardian.network.state import NetworkState


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(str(tmp_path / "data"), str(tmp_path / "run"), bridge="wtunit")


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    database = Database(home.database, [SCHEMA])
    yield database
    database.close()


def small(database: Database) -> NetworkState:
    rows = NetworkState(database, "bridge", "bridge")
    if rows.subnet is None:
        rows.set_subnet(ipaddress.IPv4Network("10.9.0.0/29"))
    return rows


def test_what_was_given_is_known_after_a_crash(home: Home, database: Database) -> None:
    first = small(database)
    one, two = first.add_endpoint("one"), first.add_endpoint("two")
    other = Database(home.database, [SCHEMA])  # as an engine that starts after a kill -9 sees it
    again = small(other)
    assert again.row.id == first.row.id
    assert again.endpoint("one") == one
    assert again.endpoint("two") == two
    assert again.keep_only({"two"}) == ["one"]
    assert again.add_endpoint("three").address == "10.9.0.4", "the round goes on where it stood"
    other.close()


def test_a_reboot_voids_what_was_given(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    small(database).add_endpoint("one")
    assert small(database).endpoint("one") is not None
    monkeypatch.setattr(state, "boot_id", lambda: "another boot")
    again = small(database)
    assert again.endpoints() == []
    assert again.add_endpoint("two").address == "10.9.0.3"


def test_the_round_ends_with_a_clear_error(database: Database) -> None:
    rows = small(database)
    given = [rows.add_endpoint(f"s{n}").address for n in range(5)]
    assert len(set(given)) == 5
    with pytest.raises(WardianError, match="no available IPv4 addresses") as caught:
        rows.add_endpoint("one too many")
    assert caught.value.kind == UNAVAILABLE
    assert rows.remove_endpoint("s3")
    assert not rows.remove_endpoint("s3")
    assert rows.add_endpoint("next").address == given[3]


def test_a_sandbox_has_one_endpoint(database: Database) -> None:
    rows = small(database)
    rows.add_endpoint("one")
    with pytest.raises(WardianError) as caught:
        rows.add_endpoint("one")
    assert caught.value.kind == CONFLICT


def test_networks_keep_their_ids(home: Home, database: Database) -> None:
    networks = Networks(home, database)
    before = {one["Name"]: one["Id"] for one in networks.list()}
    assert set(before) == {"bridge", "host", "none"}
    assert {one["Name"]: one["Id"] for one in Networks(home, database).list()} == before
    assert networks.network("default").id == before["bridge"]
    assert networks.network(before["host"][:12]).name == "host"
    assert networks.network("none").driver == "null"


def test_inspect_names_who_is_attached(home: Home, database: Database) -> None:
    small(database).add_endpoint("ab" * 32)
    described = Networks(home, database).inspect("bridge", {"ab" * 32: ("cd" * 32, "web")})
    assert described["IPAM"]["Config"] == [{"Subnet": "10.9.0.0/29", "Gateway": "10.9.0.1"}]
    attached = described["Containers"]["cd" * 32]
    assert attached["Name"] == "web"
    assert attached["IPv4Address"] == "10.9.0.2/29"
    assert attached["MacAddress"] == "02:42:0a:09:00:02"


def test_filters(home: Home, database: Database) -> None:
    networks = Networks(home, database)
    assert [one["Name"] for one in networks.list({"driver": ["null", "host"]})] == ["host", "none"]
    assert [one["Name"] for one in networks.list({"name": ["ridg"], "type": ["builtin"]})] == ["bridge"]
    assert networks.list({"type": ["custom"]}) == []
    with pytest.raises(WardianError, match="invalid filter 'colour'") as caught:
        networks.list({"colour": ["red"]})
    assert caught.value.kind == INVALID


def test_an_unknown_network_is_told_in_dockers_words(home: Home, database: Database) -> None:
    with pytest.raises(WardianError, match=r"^network nope not found$") as caught:
        Networks(home, database).inspect("nope")
    assert caught.value.kind == NOT_FOUND
