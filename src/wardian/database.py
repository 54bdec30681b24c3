"""The engine's state: one SQLite file, WAL, two connections to it.

`durable` commits with a sync (creation, configuration, removal: known on disk before the caller hears of it);
`volatile` commits without one (running state and exits: they need only survive the engine, a reboot voids them).
Each package brings its own `Schema`: a name and a list of migrations that is only ever appended to. A file written by a
newer Wardian is refused by name. Used from one thread, the event loop's: a commit is about 0.2 ms.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from wardian.errors import CONFLICT, SYSTEM, WardianError

DISK_FULL = "write state"  # the operation of the error that says so


class Schema(NamedTuple):
    """A package's tables. `migrations[i]` is an SQL script that brings version i to i + 1."""

    name: str
    migrations: Sequence[str]


class Database:
    """An open state file. Raises WardianError(CONFLICT) when it was written by a newer version."""

    def __init__(self, path: str, schemas: Sequence[Schema]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        self._durable = self._connect("FULL")
        self._volatile = self._connect("NORMAL")
        for schema in schemas:
            self._migrate(schema)

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _migrate(self, schema: Schema) -> None:
        with self.durable() as db:
            db.execute("CREATE TABLE IF NOT EXISTS schema_version (name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
            row = db.execute("SELECT version FROM schema_version WHERE name = ?", (schema.name,)).fetchone()
            have, want = (row[0] if row else 0), len(schema.migrations)
            if have > want:
                raise WardianError(
                    CONFLICT,
                    f"{self.path}: {schema.name} has schema version {have}, this Wardian knows up to {want}",
                    operation="open state",
                    subject=self.path,
                    hint="it was written by a newer Wardian: upgrade, or use another data root",
                )
            for script in schema.migrations[have:]:
                for statement in filter(str.strip, script.split(";")):
                    db.execute(statement)
            db.execute("INSERT OR REPLACE INTO schema_version VALUES (?, ?)", (schema.name, want))

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """All rows of a query, seen as of the last commit of either connection."""
        return self._volatile.execute(sql, parameters).fetchall()

    @contextmanager
    def durable(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when the block ends; rolled back when it raises."""
        yield from _transaction(self._durable)

    @contextmanager
    def volatile(self) -> Iterator[sqlite3.Connection]:
        """One transaction without a sync, seen by every later reader; a power loss may undo it."""
        yield from _transaction(self._volatile)

    def close(self) -> None:
        self._volatile.close()
        self._durable.close()


def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Raises WardianError with ENOSPC when the disk is full; nothing of the transaction is there then."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except BaseException as error:
        # SQLite itself has rolled back after some errors of a disk (https://www.sqlite.org/lang_transaction.html)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise _disk_full() from error
        raise


def _disk_full() -> WardianError:
    hint = "free some space below the data root"
    return WardianError(SYSTEM, os.strerror(errno.ENOSPC).lower(), operation=DISK_FULL, errno=errno.ENOSPC, hint=hint)
