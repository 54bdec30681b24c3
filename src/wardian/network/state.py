"""What an engine's restart must know of its networks: their ids, their subnets, and who has which address.

    network   one row each of none, host and bridge; `last_address` is where the round of addresses stands
    endpoint  one row for each sandbox on a network; (network, address) is unique, so the file itself refuses to give
              an address twice

Networks are written durably. Endpoints are running state: they need survive the engine, not a reboot. A network knows
in which boot its endpoints were given; in another one, they are void.
"""

import datetime
import ipaddress
import logging
import secrets
import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from wardian.database import Database, Schema
from wardian.errors import CONFLICT, UNAVAILABLE, WardianError
from wardian.kernel.procfs import boot_id
from wardian.network import addresses

SCHEMA = Schema(
    "network",
    [
        """
        CREATE TABLE network (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            driver TEXT NOT NULL,
            subnet TEXT NOT NULL,
            last_address TEXT NOT NULL,
            created TEXT NOT NULL
        );
        CREATE TABLE endpoint (
            sandbox TEXT NOT NULL,
            network TEXT NOT NULL REFERENCES network (id),
            id TEXT NOT NULL,
            address TEXT NOT NULL,
            mac TEXT NOT NULL,
            PRIMARY KEY (sandbox, network),
            UNIQUE (network, address)
        );
        """,
        "ALTER TABLE network ADD COLUMN boot TEXT NOT NULL DEFAULT ''",
    ],
)


log = logging.getLogger(__name__)


class NetworkRow(NamedTuple):
    id: str
    name: str
    driver: str
    subnet: str
    last_address: str
    created: str
    boot: str


class EndpointRow(NamedTuple):
    sandbox: str
    network: str
    id: str
    address: str
    mac: str


class NetworkState:
    """One network's rows. Used from the loop's thread, as the database is."""

    def __init__(self, database: Database, name: str, driver: str) -> None:
        self._database = database
        self.row = self._find_or_make(name, driver)
        self._forget_other_boots()
        rows = database.read("SELECT * FROM endpoint WHERE network = ?", (self.row.id,))
        self._endpoints = {row["sandbox"]: EndpointRow(*row) for row in rows}
        self._forgotten: set[str] = set()  # whose rows could not be deleted yet
        self._used = {ipaddress.IPv4Address(row.address) for row in self._endpoints.values()}
        self._last = ipaddress.IPv4Address(self.row.last_address) if self.row.last_address else None

    def _find_or_make(self, name: str, driver: str) -> NetworkRow:
        found = self._database.read("SELECT * FROM network WHERE name = ?", (name,))
        if found:
            return NetworkRow(*found[0])
        created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        row = NetworkRow(secrets.token_hex(32), name, driver, "", "", created, boot_id())
        with self._database.durable() as db:
            db.execute("INSERT INTO network VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return row

    def _forget_other_boots(self) -> None:
        if self.row.boot == boot_id():
            return
        self.row = self.row._replace(boot=boot_id())
        with self._database.durable() as db:
            db.execute("DELETE FROM endpoint WHERE network = ?", (self.row.id,))
            db.execute("UPDATE network SET boot = ? WHERE id = ?", (self.row.boot, self.row.id))

    @property
    def subnet(self) -> ipaddress.IPv4Network | None:
        return ipaddress.IPv4Network(self.row.subnet) if self.row.subnet else None

    def set_subnet(self, subnet: ipaddress.IPv4Network) -> None:
        """Remember the subnet; the round of addresses begins anew. Only while the network has no endpoint."""
        assert not self._endpoints, "a network with endpoints keeps its subnet"
        self.row = self.row._replace(subnet=str(subnet), last_address="")
        self._last = None
        with self._database.durable() as db:
            db.execute("UPDATE network SET subnet = ?, last_address = '' WHERE id = ?", (self.row.subnet, self.row.id))

    def endpoints(self) -> list[EndpointRow]:
        return list(self._endpoints.values())

    def endpoint(self, sandbox: str) -> EndpointRow | None:
        return self._endpoints.get(sandbox)

    def add_endpoint(self, sandbox: str, mac: str = "") -> EndpointRow:
        """Give `sandbox` the next address. Raises CONFLICT when it has one, UNAVAILABLE when all are given."""
        subnet = self.subnet
        assert subnet is not None, "the network was started"
        if sandbox in self._endpoints:
            raise WardianError(
                CONFLICT,
                f"endpoint with name {sandbox} already exists in network {self.row.name}",
                operation="allocate an address",
                subject=sandbox,
            )
        address = addresses.next_address(subnet, self._used, self._last)
        if address is None:
            raise WardianError(
                UNAVAILABLE,
                f"no available IPv4 addresses on this network's address pools: {self.row.name} ({self.row.id})",
                operation="allocate an address",
                subject=str(subnet),
            )
        row = EndpointRow(sandbox, self.row.id, secrets.token_hex(32), str(address), mac or addresses.mac_of(address))
        with self._database.volatile() as db:
            self._delete_forgotten(db)  # the address may be one of theirs
            db.execute("INSERT INTO endpoint VALUES (?, ?, ?, ?, ?)", row)
            db.execute("UPDATE network SET last_address = ? WHERE id = ?", (row.address, self.row.id))
        self._forgotten.clear()
        self._endpoints[sandbox] = row
        self._used.add(address)
        self._last = address
        return row

    def remove_endpoint(self, sandbox: str) -> bool:
        """Forget what `sandbox` has; False when it has nothing."""
        row = self._endpoints.get(sandbox)
        if row is None:
            return False
        del self._endpoints[sandbox]
        self._used.discard(ipaddress.IPv4Address(row.address))
        self._forgotten.add(sandbox)
        try:
            with self._database.volatile() as db:
                self._delete_forgotten(db)
        except WardianError as error:  # the disk is full, and the sandbox is gone all the same
            log.warning("network %s: the end of an endpoint is not stored yet: %s", self.row.name, error)
        else:
            self._forgotten.clear()
        return True

    def _delete_forgotten(self, db: sqlite3.Connection) -> None:
        for sandbox in self._forgotten:
            db.execute("DELETE FROM endpoint WHERE sandbox = ? AND network = ?", (sandbox, self.row.id))

    def keep_only(self, live: Collection[str]) -> list[str]:
        """Forget the endpoints of sandboxes that are not in `live`; returns whose they were."""
        gone = [sandbox for sandbox in self._endpoints if sandbox not in live]
        for sandbox in gone:
            self.remove_endpoint(sandbox)
        return gone
