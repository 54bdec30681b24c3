"""Networks and addresses in the state file: never given twice, across restarts and crashes too."""

import contextlib
import ipaddress
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given as given_by_hypothesis
from hypothesis import settings
from hypothesis import strategies as st

from wardian.database import Database, Schema
from wardian.errors import FORBIDDEN, INVALID, NOT_FOUND, UNAVAILABLE, WardianError
from wardian.home import Home, make_home
from wardian.network import SCHEMA, EndpointWant, Networks, state
from wardian.network.state import EndpointRow, NetworkRows
from wardian.network.stored import decode_config, encode_config
from wardian.network.values import NetworkConfig, PortRule, Subnet


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(str(tmp_path / "data"), str(tmp_path / "run"), bridge="wtunit")


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    database = Database(home.database, [SCHEMA])
    yield database
    database.close()


@pytest.fixture
def rows(database: Database) -> NetworkRows:
    rows = NetworkRows(database, "wtunit")
    rows.add(SMALL)
    rows.add(BOTH)
    return rows


def subnet(text: str, gateway: str, **fields: object) -> Subnet:
    return Subnet(ipaddress.ip_network(text), ipaddress.ip_address(gateway))._replace(**fields)


SMALL = NetworkConfig(
    "a" * 64, "small", "bridge", "2026-01-01T00:00:00.000000Z", (subnet("10.9.0.0/29", "10.9.0.1"),), link="br-a"
)
BOTH = NetworkConfig(
    "b" * 64,
    "both",
    "ipvlan",
    "2026-01-01T00:00:00.000000Z",
    (
        subnet(
            "10.8.0.0/24",
            "10.8.0.9",
            ip_range=ipaddress.ip_network("10.8.0.8/30"),
            auxiliary=(("printer", ipaddress.ip_address("10.8.0.10")),),
        ),
        subnet("10.7.0.0/30", "10.7.0.1", chosen=True),
        subnet("fd00:8::/64", "fd00:8::1"),
    ),
    internal=True,
    attachable=True,
    enable_ipv6=True,
    options={"parent": "eth0"},
    labels={"a": "b"},
    ipam_options={"c": "d"},
    link="eth0",
)


DEFAULT = {"com.docker.network.bridge.default_bridge": "true"}


def test_nobody_is_told_of_an_address_that_can_be_remembered_at_one_mac_only(database: Database) -> None:
    """On a network on which somebody had another MAC than follows from the address all are told, by later engines too:
    the address is somebody else's one day."""
    rows = NetworkRows(database, "wtunit")
    rows.add(SMALL)
    rows.add(BOTH)
    assert rows.is_familiar(give(rows, "one"))
    assert not rows.is_familiar(give(rows, "asked", ipv4="10.9.0.6")), "others may wait for it there"
    assert not rows.is_familiar(give(rows, "one", BOTH)), "one MAC cannot follow from two addresses"
    planned = rows.proposed("other", EndpointWant(SMALL.id, mac="02:42:00:00:00:aa"), "eth0")
    assert not rows.is_familiar(planned)
    assert rows.is_familiar(give(rows, "two")), "nothing was given"
    give(rows, "other", mac="02:42:00:00:00:aa")
    for engine in (rows, NetworkRows(database, "wtunit")):
        engine.release("other", SMALL.id)
        engine.release("two", SMALL.id)
        assert not engine.is_familiar(give(engine, "two"))
        assert not engine.is_familiar(engine.proposed("three", EndpointWant(SMALL.id), "eth0"))


def test_what_was_remembered_before_the_boot_nobody_remembers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = NetworkRows(database, "wtunit")
    rows.add(SMALL)
    give(rows, "other", mac="02:42:00:00:00:aa")
    monkeypatch.setattr(state, "boot_id", lambda: "another boot")
    assert (again := NetworkRows(database, "wtunit")).is_familiar(give(again, "one"))


def give(rows: NetworkRows, sandbox: str, network: NetworkConfig = SMALL, **asked: str) -> EndpointRow:
    return rows.allocate(sandbox, EndpointWant(network.id, **asked), "eth0")


def row_of(rows: NetworkRows, sandbox: str, network: str) -> EndpointRow | None:
    return next((row for row in rows.endpoints(network) if row.sandbox == sandbox), None)


def test_what_was_given_is_known_after_a_crash(home: Home, rows: NetworkRows) -> None:
    one, two = give(rows, "one"), give(rows, "two")
    other = Database(home.database, [SCHEMA])  # as an engine that starts after a kill -9 sees it
    again = NetworkRows(other, "wtunit")
    assert again.networks() == rows.networks()
    assert [config.name for config in again.networks()] == ["bridge", "host", "none", "small", "both"]
    assert row_of(again, "one", SMALL.id) == one
    assert row_of(again, "two", SMALL.id) == two
    assert again.release("one", SMALL.id)
    assert give(again, "three").ipv4 == "10.9.0.4", "the round goes on where it stood"
    other.close()


def test_what_was_asked_is_known_after_a_crash(home: Home, rows: NetworkRows) -> None:
    want = EndpointWant(
        BOTH.id, "10.8.0.77", "fd00:8::77", "02:00:00:00:00:01", ("169.254.1.1",), ("web", "w"), -3, {"x": "y"}
    )
    given = rows.allocate("one", want, "eth1")
    assert (given.ipv4, given.ipv6, given.mac, given.interface) == ("10.8.0.77", "fd00:8::77", want.mac, "eth1")
    other = Database(home.database, [SCHEMA])
    assert row_of(NetworkRows(other, "wtunit"), "one", BOTH.id) == given
    other.close()


def test_a_reboot_voids_what_was_given(database: Database, rows: NetworkRows, monkeypatch: pytest.MonkeyPatch) -> None:
    give(rows, "one")
    rows.set_published("one", [PortRule("tcp", "0.0.0.0", 80, "10.9.0.2", 80, "br-a")])
    assert row_of(NetworkRows(database, "wtunit"), "one", SMALL.id) is not None
    monkeypatch.setattr(state, "boot_id", lambda: "another boot")
    again = NetworkRows(database, "wtunit")
    assert again.endpoints() == []
    assert again.published() == {}
    assert again.named("small") == SMALL
    assert give(again, "two").ipv4 == "10.9.0.3"


def test_the_round_ends_with_a_clear_error(rows: NetworkRows) -> None:
    given = [give(rows, f"s{number}").ipv4 for number in range(5)]
    assert len(set(given)) == 5
    with pytest.raises(
        WardianError, match="no available IPv4 addresses on this network's address pools: small"
    ) as caught:
        give(rows, "one too many")
    assert caught.value.kind == UNAVAILABLE
    assert rows.release("s3", SMALL.id)
    assert not rows.release("s3", SMALL.id)
    assert give(rows, "next").ipv4 == given[3]


def test_a_range_its_gateway_and_the_addresses_of_others(rows: NetworkRows) -> None:
    """10.8.0.8/30 without gateway .9 and printer .10; the network's second subnet serves when it is used up."""
    given = [give(rows, f"s{number}", BOTH) for number in range(3)]
    assert [one.ipv4 for one in given] == ["10.8.0.8", "10.8.0.11", "10.7.0.2"]
    assert [one.ipv6 for one in given] == ["fd00:8::2", "fd00:8::3", "fd00:8::4"]
    assert given[0].mac == "02:42:0a:08:00:08"
    for taken in ("10.8.0.9", "10.8.0.10", "10.8.0.11", "10.8.0.0", "10.8.0.255", "10.7.0.2"):
        with pytest.raises(WardianError, match=r"^Address already in use$") as caught:
            give(rows, "static", BOTH, ipv4=taken)
        assert caught.value.kind == FORBIDDEN
    with pytest.raises(WardianError, match=r"no configured subnet or ip-range contain the IP address 10\.6\.0\.1"):
        give(rows, "static", BOTH, ipv4="10.6.0.1")
    with pytest.raises(WardianError, match="Address already in use"):
        give(rows, "static", BOTH, ipv4="10.8.0.200", ipv6="fd00:8::1")
    assert give(rows, "static", BOTH, ipv4="10.8.0.200").ipv4 == "10.8.0.200", "outside of the range, inside the subnet"


def test_a_static_address_leaves_the_round_where_it_was(rows: NetworkRows) -> None:
    assert give(rows, "static", ipv4="10.9.0.3").ipv4 == "10.9.0.3"
    assert [give(rows, name).ipv4 for name in ("one", "two")] == ["10.9.0.2", "10.9.0.4"]


def test_the_file_itself_refuses_an_address_twice(database: Database, rows: NetworkRows) -> None:
    """Two that believe to be the engine, which the lock of the data root rules out: not even they can."""
    other = NetworkRows(database, "wtunit")
    give(rows, "one", ipv4="10.9.0.5")
    with pytest.raises(sqlite3.IntegrityError):
        give(other, "two", ipv4="10.9.0.5")


def test_a_family_that_is_off_gives_no_address(rows: NetworkRows) -> None:
    six = BOTH._replace(id="c" * 64, name="six", enable_ipv4=False, subnets=(subnet("fd00:9::/64", "fd00:9::1"),))
    rows.add(six)
    given = give(rows, "one", six)
    assert (given.ipv4, given.ipv6) == ("", "fd00:9::2")
    assert given.mac.startswith("02:42:")
    assert give(rows, "two", six).mac != given.mac


def test_a_sandbox_has_one_endpoint_on_a_network(rows: NetworkRows) -> None:
    give(rows, "one")
    give(rows, "one", BOTH)
    assert [row.network for row in rows.endpoints()] == [SMALL.id, BOTH.id]
    with pytest.raises(WardianError, match="endpoint with name one already exists in network small") as caught:
        give(rows, "one")
    assert caught.value.kind == FORBIDDEN


def test_a_network_that_goes_takes_nobody_in(rows: NetworkRows) -> None:
    rows.leaving.add(SMALL.id)
    with pytest.raises(WardianError, match="network small not found"):
        give(rows, "one")
    rows.discard(SMALL.id)
    with pytest.raises(WardianError, match="not found") as caught:
        give(rows, "one")
    assert caught.value.kind == NOT_FOUND


def test_a_network_with_endpoints_stays_in_the_file(rows: NetworkRows) -> None:
    give(rows, "one")
    with pytest.raises(sqlite3.IntegrityError):
        rows.discard(SMALL.id)
    rows.release("one", SMALL.id)
    rows.discard(SMALL.id)


def test_published_ports_are_kept(database: Database, rows: NetworkRows) -> None:
    first = PortRule("tcp", "0.0.0.0", 8080, "10.9.0.2", 80, "br-a")
    second = PortRule("tcp", "::", 8080, "10.9.0.2", 80, "br-a")
    rows.set_published("one", [first, second])
    rows.set_published("two", [first._replace(host_port=81)])
    again = NetworkRows(database, "wtunit")
    assert again.published() == {"one": (first, second), "two": (first._replace(host_port=81),)}
    again.set_published("one", ())
    assert list(again.published()) == ["two"]


@given_by_hypothesis(
    st.lists(
        st.one_of(
            st.tuples(st.just("give"), st.integers(0, 9), st.just(0)),
            st.tuples(st.just("ask"), st.integers(0, 9), st.integers(0, 8)),
            st.tuples(st.just("release"), st.integers(0, 9), st.just(0)),
            st.tuples(st.just("restart"), st.just(0), st.just(0)),
        ),
        max_size=40,
    )
)
@settings(deadline=None, max_examples=60)
def test_whatever_comes_no_address_is_given_twice(doings: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as open_ones:
        path = f"{directory}/wardian.db"

        def start() -> NetworkRows:
            database = Database(path, [SCHEMA])
            open_ones.callback(database.close)
            return NetworkRows(database, "wtunit")

        rows, has = start(), dict[str, str]()
        rows.add(SMALL)
        for what, number, asked in doings:
            sandbox, static = f"s{number}", f"10.9.0.{asked}" if what == "ask" else ""
            if what == "restart":
                rows = start()
            elif what == "release":
                assert rows.release(sandbox, SMALL.id) == (has.pop(sandbox, "") != "")
            elif (
                sandbox in has or static in has.values() or len(has) == 5 or asked in (1, 7, 8) or static == "10.9.0.0"
            ):
                with pytest.raises(WardianError):
                    give(rows, sandbox, ipv4=static)
            else:
                has[sandbox] = give(rows, sandbox, ipv4=static).ipv4
                assert static in ("", has[sandbox])
            assert {row.sandbox: row.ipv4 for row in rows.endpoints()} == has
            assert len(set(has.values())) == len(has)
            assert set(has.values()) <= {f"10.9.0.{last}" for last in range(2, 7)}


@contextlib.contextmanager
def full(database: Database) -> Iterator[None]:
    """No page more fits: what SQLite itself says of a full disk. The one that is being filled is filled first."""
    volatile = database._volatile
    (pages,) = volatile.execute("PRAGMA page_count").fetchone()
    volatile.execute("CREATE TABLE IF NOT EXISTS ballast (text TEXT)")
    volatile.execute(f"PRAGMA max_page_count = {pages + 1}")
    with contextlib.suppress(sqlite3.OperationalError):
        while True:
            volatile.execute("INSERT INTO ballast VALUES (?)", ("x" * 500,))
    yield
    volatile.execute("PRAGMA max_page_count = 1073741823")


def test_a_full_disk_gives_nothing_and_forgets_nothing(database: Database, rows: NetworkRows) -> None:
    rule = PortRule("tcp", "0.0.0.0", 8080, "10.9.0.2", 80, "br-a")
    long = EndpointWant(SMALL.id, aliases=tuple(f"alias-number-{number}" for number in range(400)))
    give(rows, "one")
    rows.set_published("one", [rule])
    with full(database):
        with pytest.raises(WardianError, match="no space left on device"):
            rows.allocate("two", long, "eth0")
        assert row_of(rows, "two", SMALL.id) is None
        with pytest.raises(WardianError, match="no space left on device"):
            rows.set_published("two", [rule._replace(host_port=port) for port in range(1, 1000)])
        assert list(rows.published()) == ["one"]
    assert give(rows, "two").ipv4 == "10.9.0.3"


def test_a_config_is_the_same_when_it_is_read_again() -> None:
    for config in (SMALL, BOTH):
        assert decode_config(config.id, config.name, encode_config(config)) == config


def test_an_engine_of_the_version_before_is_taken_over(home: Home) -> None:
    """Its two migrations, its rows: the networks keep their ids, the containers that live their addresses."""
    old = Database(home.database, [Schema("network", SCHEMA.migrations[:2])])
    boot = state.boot_id()
    with old.durable() as db:
        db.execute(
            "INSERT INTO network VALUES (?, 'bridge', 'bridge', '192.168.16.0/20', '192.168.16.3', 'then', ?)",
            ("1" * 64, boot),
        )
        db.execute("INSERT INTO network VALUES (?, 'none', 'null', '', '', 'then', ?)", ("2" * 64, boot))
        for number in (2, 3):
            db.execute(
                "INSERT INTO endpoint VALUES (?, ?, ?, ?, ?)",
                (f"s{number}", "1" * 64, f"e{number}", f"192.168.16.{number}", f"02:42:c0:a8:10:0{number}"),
            )
    old.close()
    database = Database(home.database, [SCHEMA])
    rows = NetworkRows(database, "wtunit")
    bridge = rows.named("bridge")
    chosen = Subnet(ipaddress.ip_network("192.168.16.0/20"), ipaddress.ip_address("192.168.16.1"), chosen=True)
    assert bridge == NetworkConfig("1" * 64, "bridge", "bridge", "then", (chosen,), link="wtunit", options=DEFAULT)
    assert rows.named("none") == NetworkConfig("2" * 64, "none", "null", "then")
    assert row_of(rows, "s3", bridge.id) == EndpointRow(
        "s3", bridge.id, "e3", "192.168.16.3", "", "02:42:c0:a8:10:03", "eth0", EndpointWant(bridge.id)
    )
    assert give(rows, "s4", bridge).ipv4 == "192.168.16.4"
    database.close()


def test_networks_keep_their_ids(home: Home, database: Database) -> None:
    networks = Networks(home, database)
    before = {one["Name"]: one["Id"] for one in networks.list()}
    assert set(before) == {"bridge", "host", "none"}
    assert {one["Name"]: one["Id"] for one in Networks(home, database).list()} == before
    assert networks.network("default").id == before["bridge"]
    assert networks.network(before["host"][:12]).name == "host"
    assert networks.network("none").driver == "null"


def test_inspect_names_who_is_attached(home: Home, database: Database, rows: NetworkRows) -> None:
    rows.allocate("ab" * 32, EndpointWant(BOTH.id), "eth0")
    described = Networks(home, database).inspect("both", {"ab" * 32: ("cd" * 32, "web")})
    assert described["IPAM"] == {
        "Driver": "default",
        "Options": {"c": "d"},
        "Config": [
            {
                "Subnet": "10.8.0.0/24",
                "IPRange": "10.8.0.8/30",
                "Gateway": "10.8.0.9",
                "AuxiliaryAddresses": {"printer": "10.8.0.10"},
            },
            {"Subnet": "10.7.0.0/30", "Gateway": "10.7.0.1"},
            {"Subnet": "fd00:8::/64", "Gateway": "fd00:8::1"},
        ],
    }
    attached = described["Containers"]["cd" * 32]
    assert attached["Name"] == "web"
    assert (attached["IPv4Address"], attached["IPv6Address"]) == ("10.8.0.8/24", "fd00:8::2/64")
    assert (described["Options"], described["Labels"], described["Internal"]) == ({"parent": "eth0"}, {"a": "b"}, True)


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
