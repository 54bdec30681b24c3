"""What an engine's restart must know of its networks: what each was made as, and who has which address (`schema`).

Networks are written durably. Endpoints and ports are running state: they need survive the engine, not a reboot. A
network knows in which boot its endpoints were given; in another one, they are void.
"""

import datetime
import ipaddress
import logging
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wardian.database import Database
from wardian.errors import FORBIDDEN, NOT_FOUND, WardianError
from wardian.kernel.procfs import boot_id
from wardian.network import addresses
from wardian.network.given import Given, choose
from wardian.network.options import BRIDGE
from wardian.network.stored import decode_config, decode_want, encode_config, encode_want
from wardian.network.values import EndpointWant, NetworkConfig, PortRule

log = logging.getLogger(__name__)


class EndpointRow(NamedTuple):
    """A sandbox's place on a network as it is stored. "" where a family is not there."""

    sandbox: str
    network: str
    id: str
    ipv4: str
    ipv6: str
    mac: str
    interface: str
    want: EndpointWant


class NetworkRows:
    """The networks of an engine and the endpoints on them. Used from the loop's thread, as the database is.

    `bridge` is the link of the default bridge, which the engine's `Home` names.
    """

    def __init__(self, database: Database, bridge: str) -> None:
        self._database = database
        self._bridge = bridge
        self._configs: dict[str, NetworkConfig] = {}
        self._given: dict[str, Given] = {}
        self._endpoints: dict[tuple[str, str], EndpointRow] = {}
        self._other_macs: set[str] = set()  # networks on which somebody had a MAC that does not follow from its address
        self._forgotten: set[tuple[str, str]] = set()  # whose rows could not be deleted yet
        self._unpublished: set[str] = set()  # the same of published ports
        self.leaving: set[str] = set()  # networks that are being removed: nobody comes in any more
        self._forget_other_boots()
        self._load()
        self._make_predefined()

    # networks

    def networks(self) -> list[NetworkConfig]:
        """In the order in which they were made: the predefined ones first."""
        return list(self._configs.values())

    def network(self, identity: str) -> NetworkConfig | None:
        return self._configs.get(identity)

    def named(self, name: str) -> NetworkConfig | None:
        return next((one for one in self._configs.values() if one.name == name), None)

    def add(self, config: NetworkConfig) -> None:
        """On disk when it returns. The caller has checked that the name is free."""
        self._add_all([config])

    def _add_all(self, configs: Sequence[NetworkConfig]) -> None:
        boot = boot_id()
        rows = [(config.id, config.name, encode_config(config), boot) for config in configs]
        with self._database.durable(adds=True) as db:
            db.executemany("INSERT INTO network VALUES (?, ?, ?, '', '', ?, 0)", rows)
        for config in configs:
            self._configs[config.id] = config
            self._given[config.id] = Given(config)

    def replace(self, config: NetworkConfig) -> None:
        """A predefined network's subnets, chosen anew: its rounds of addresses begin anew. Only without endpoints."""
        assert not self.endpoints(config.id), "a network with endpoints keeps its subnets"
        with self._database.durable() as db:
            self._delete_forgotten(db)
            db.execute(
                "UPDATE network SET config = ?, last4 = '', last6 = '' WHERE id = ?",
                (encode_config(config), config.id),
            )
        self._forgotten.clear()
        self._configs[config.id] = config
        self._given[config.id] = Given(config)

    def discard(self, identity: str) -> None:
        """The network is no more, on disk too. Only without endpoints."""
        with self._database.durable() as db:
            self._delete_forgotten(db)
            db.execute("DELETE FROM network WHERE id = ?", (identity,))
        self._forgotten.clear()
        self._configs.pop(identity, None)
        self._given.pop(identity, None)
        self._other_macs.discard(identity)

    # endpoints

    def endpoints(self, network: str | None = None) -> list[EndpointRow]:
        """In the order in which they were given; all, or those of one network."""
        return [row for row in self._endpoints.values() if network is None or row.network == network]

    def allocate(self, sandbox: str, want: EndpointWant, interface: str) -> EndpointRow:
        """Give `sandbox` its place on the network that it wants, with the addresses that it asks for or the next ones.

        Raises WardianError: NOT_FOUND for a network that goes, FORBIDDEN when it has one there or an address is taken,
        UNAVAILABLE when all are given.
        """
        row = self.proposed(sandbox, want, interface)
        self._insert(row, "" if want.ipv4 else row.ipv4, "" if want.ipv6 else row.ipv6)
        self._remember(row)
        for address, asked in ((row.ipv4, want.ipv4), (row.ipv6, want.ipv6)):
            if address and not asked:
                given = ipaddress.ip_address(address)
                self._given[row.network].last[given.version] = given
        return row

    def is_familiar(self, row: EndpointRow) -> bool:
        """Whether nobody on its network can remember its address at another MAC: all there ever had the one that
        follows. Who asked for the address may be awaited there by others, and they are to hear of it at once."""
        asked = row.want.ipv4 or row.want.ipv6 or row.want.link_local
        return not asked and row.network not in self._other_macs and _mac_follows(row)

    def proposed(self, sandbox: str, want: EndpointWant, interface: str) -> EndpointRow:
        """What `allocate` would give now. Nothing is written."""
        config = self._configs.get(want.network)
        if config is None or config.id in self.leaving:
            message = f"network {config.name if config else want.network} not found"
            raise WardianError(NOT_FOUND, message, operation="allocate an address", subject=want.network)
        if config.config_only:
            message = "cannot create endpoint on configuration-only network"
            raise WardianError(FORBIDDEN, message, operation="allocate an address", subject=config.name)
        if (sandbox, config.id) in self._endpoints:
            message = f"endpoint with name {sandbox[:12]} already exists in network {config.name}"
            raise WardianError(FORBIDDEN, message, operation="allocate an address", subject=sandbox)
        given = self._given[config.id]
        ipv4 = choose(config, 4, want.ipv4, given) if config.enable_ipv4 and config.v4 is not None else None
        ipv6 = choose(config, 6, want.ipv6, given) if config.enable_ipv6 and config.v6 is not None else None
        first = ipv4 or ipv6
        mac = want.mac or (addresses.mac_of(first) if first is not None else "")
        return EndpointRow(
            sandbox, config.id, secrets.token_hex(32), str(ipv4 or ""), str(ipv6 or ""), mac, interface, want
        )

    def _insert(self, row: EndpointRow, last4: str, last6: str) -> None:
        with self._database.volatile() as db:
            self._delete_forgotten(db)  # the address may be one of theirs
            db.execute(
                "INSERT INTO endpoint VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row[:3], row.ipv4 or None, row.ipv6 or None, row.mac, row.interface, encode_want(row.want)),
            )
            if last4 or last6:
                db.execute(
                    "UPDATE network SET last4 = ifnull(?, last4), last6 = ifnull(?, last6) WHERE id = ?",
                    (last4 or None, last6 or None, row.network),
                )
            if other_macs := row.network not in self._other_macs and not _mac_follows(row):
                db.execute("UPDATE network SET other_macs = 1 WHERE id = ?", (row.network,))
        self._forgotten.clear()
        if other_macs:
            self._other_macs.add(row.network)

    def release(self, sandbox: str, network: str) -> bool:
        """Forget what `sandbox` has on `network`; False when it has nothing. Cannot fail."""
        row = self._endpoints.pop((sandbox, network), None)
        if row is None:
            return False
        used = self._given[network].used
        used.difference_update(ipaddress.ip_address(text) for text in (row.ipv4, row.ipv6) if text)
        self._forgotten.add((sandbox, network))
        try:
            with self._database.volatile() as db:
                self._delete_forgotten(db)
        except WardianError as error:  # the disk is full, and the sandbox is gone all the same
            log.warning("network %s: the end of an endpoint is not stored yet: %s", self._configs[network].name, error)
        else:
            self._forgotten.clear()
        return True

    # ports

    def published(self) -> dict[str, tuple[PortRule, ...]]:
        """The ports of each sandbox that has some."""
        found: dict[str, tuple[PortRule, ...]] = {}
        for row in self._database.read("SELECT * FROM published ORDER BY rowid"):
            if row["sandbox"] in self._unpublished:
                continue
            found[row["sandbox"]] = (*found.get(row["sandbox"], ()), PortRule(*tuple(row)[1:]))
        return found

    def set_published(self, sandbox: str, rules: Iterable[PortRule]) -> None:
        """All of a sandbox's ports, in place of those that it had. That it has none any more is known even when it
        cannot be stored."""
        rows = [(sandbox, *rule) for rule in rules]
        gone = self._unpublished | {sandbox}
        try:
            with self._database.volatile() as db:
                db.executemany("DELETE FROM published WHERE sandbox = ?", [(one,) for one in gone])
                db.executemany("INSERT INTO published VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        except WardianError as error:
            if rows:
                raise
            self._unpublished = gone
            log.warning("the end of the published ports of %s is not stored yet: %s", sandbox[:12], error)
        else:
            self._unpublished.clear()

    # loading

    def _forget_other_boots(self) -> None:
        boot = boot_id()
        if not self._database.read("SELECT 1 FROM network WHERE boot != ?", (boot,)):
            return
        with self._database.durable() as db:
            db.execute("DELETE FROM endpoint")
            db.execute("DELETE FROM published")
            db.execute("UPDATE network SET boot = ?, other_macs = 0", (boot,))

    def _load(self) -> None:
        for row in self._database.read("SELECT * FROM network ORDER BY rowid"):
            config = decode_config(row["id"], row["name"], row["config"])
            self._configs[config.id] = self._as_default(config) if config.name == "bridge" else config
            self._given[config.id] = Given(config, row["last4"], row["last6"])
            if row["other_macs"]:
                self._other_macs.add(config.id)
        for row in self._database.read("SELECT * FROM endpoint ORDER BY rowid"):
            want = decode_want(row["network"], row["want"])
            sandbox, network, identity = row["sandbox"], row["network"], row["id"]
            ipv4, ipv6 = row["ipv4"] or "", row["ipv6"] or ""
            found = EndpointRow(sandbox, network, identity, ipv4, ipv6, row["mac"], row["interface"], want)
            self._remember(found)

    def _remember(self, row: EndpointRow) -> None:
        self._endpoints[row.sandbox, row.network] = row
        self._given[row.network].used.update(ipaddress.ip_address(text) for text in (row.ipv4, row.ipv6) if text)

    def _make_predefined(self) -> None:
        lacking = []
        for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null")):
            if self.named(name) is None:
                config = NetworkConfig(secrets.token_hex(32), name, driver, now())
                lacking.append(self._as_default(config) if driver == "bridge" else config)
        if lacking:
            self._add_all(lacking)

    def _as_default(self, config: NetworkConfig) -> NetworkConfig:
        return config._replace(link=self._bridge, options={BRIDGE + "default_bridge": "true"})

    def _delete_forgotten(self, db: sqlite3.Connection) -> None:
        for key in self._forgotten:
            db.execute("DELETE FROM endpoint WHERE sandbox = ? AND network = ?", key)


def _mac_follows(row: EndpointRow) -> bool:
    """From each of its addresses: of two families it can follow from one only."""
    given = [ipaddress.ip_address(text) for text in (row.ipv4, row.ipv6) if text]
    return all(row.mac == addresses.mac_of(address) for address in given)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
