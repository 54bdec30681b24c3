"""The engine's state: one SQLite file, WAL, two connections to it.

`durable` commits with a sync (creation, configuration, removal: known on disk before the caller hears of it);
`volatile` commits without one (running state and exits: they need only survive the engine, a reboot voids them).
Each package brings its own `Schema`: a name and a list of migrations that is only ever appended to. A file written by a
newer Wardian is refused by name. Used from one thread, the event loop's: a commit is about 0.2 ms.

On a full disk a transaction that takes something away, or says what happened, must go through all the same. So the log
(the -wal file) has all its blocks from the start and is written from its beginning again and again, which needs no new
ones; a reserve (reserve.py) is given up for what must grow; and a transaction that only `adds` is refused before.
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wardian.errors import CONFLICT, SYSTEM, WardianError
from wardian.reserve import Reserve

DISK_FULL = "write state"  # the operation of the error that says so
_LOG_SIZE = 3 << 19  # bytes
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
# the lower byte: https://www.sqlite.org/rescode.html
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_OF_THE_FILE = (*_DAMAGED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY)
_LOG_PAGES = 256  # of 4 kB: then they go to the database itself, and the log is written from its beginning


class Schema(NamedTuple):
    """A package's tables. `migrations[i]` is an SQL script that brings version i to i + 1."""

    name: str
    migrations: Sequence[str]


class Database:
    """An open state file. Raises WardianError: CONFLICT when it was written by a newer version, SYSTEM when it is
    none."""

    def __init__(self, path: str, schemas: Sequence[Schema]) -> None:
        directory = os.path.dirname(path)
        os.makedirs(directory, exist_ok=True)
        self.path = path
        self._reserve = Reserve(directory)
        try:
            self._open(schemas)
        except WardianError as error:
            if error.operation != DISK_FULL or not self._reserve.give_up():
                raise
            self._open(schemas)
        self._reserve.make()

    def _open(self, schemas: Sequence[Schema]) -> None:
        with _said_when_unreadable(self.path), _said_when_full(os.path.dirname(self.path)):
            if not os.path.exists(self.path):
                self._create(schemas)
            self._durable = self._connect("FULL")
            self._volatile = self._connect("NORMAL")
            with self.durable() as db:
                self._migrate(db, schemas)
            self._volatile.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the log is there from here on
            if not self._fill_log() and self._reserve.give_up():
                self._fill_log()
            self._empty_log()

    def _create(self, schemas: Sequence[Schema]) -> None:
        """Under another name, without syncs until it is whole: one commit after another they made a first start wait
        for the disk some twenty times. A log that an earlier file left is none of the new one's."""
        staged = f"{self.path}.new"
        for name in (staged, self.path):
            for left in (name, f"{name}-wal", f"{name}-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(left)
        with contextlib.closing(sqlite3.connect(staged, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode=MEMORY")  # with a log, a full disk is first met by close(), which hides it
            db.execute("PRAGMA synchronous=OFF")
            db.execute("BEGIN")
            self._migrate(db, schemas)
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode=WAL")  # the file remembers it
        _sync(staged)
        os.rename(staged, self.path)
        _sync(os.path.dirname(self.path))

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _fill_log(self) -> bool:
        """SQLite passes over what is no frame of its own (https://www.sqlite.org/fileformat2.html#the_write_ahead_log),
        and reuses it. False without space for it: then it grows as it is written."""
        try:
            fd = os.open(f"{self.path}-wal", os.O_WRONLY | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_size < _LOG_SIZE:
                    os.posix_fallocate(fd, 0, _LOG_SIZE)
            finally:
                os.close(fd)
        except OSError as error:
            return error.errno != errno.ENOSPC
        return True

    def _empty_log(self) -> None:
        """Into the database, so that it is written from its beginning. What lets this fail leaves it longer."""
        try:
            self._volatile.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError:
            if self._reserve.give_up():
                with contextlib.suppress(sqlite3.OperationalError):
                    self._volatile.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _migrate(self, db: sqlite3.Connection, schemas: Sequence[Schema]) -> None:
        """Inside a transaction: all schemas are brought up to date, or none. A start on a full disk writes nothing."""
        db.execute("CREATE TABLE IF NOT EXISTS schema_version (name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        for schema in schemas:
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
            if have == want:
                continue
            for script in schema.migrations[have:]:
                for statement in filter(str.strip, script.split(";")):
                    db.execute(statement)
            db.execute("INSERT OR REPLACE INTO schema_version VALUES (?, ?)", (schema.name, want))

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """All rows of a query, seen as of the last commit of either connection. Raises WardianError when the file
        cannot be read."""
        try:
            return self._volatile.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            _raise_if_of_the_file(error, self.path)
            raise

    def durable(self, adds: bool = False) -> "_Transaction":
        """One transaction, on disk when the block ends; rolled back when it raises. One that `adds` is refused while
        the disk is nearly full."""
        return _Transaction(self, self._durable, adds)

    def volatile(self) -> "_Transaction":
        """One transaction without a sync, seen by every later reader; a power loss may undo it."""
        return _Transaction(self, self._volatile, False)

    def write(self, sql: str, parameters: Sequence[object], durable: bool = False, adds: bool = False) -> None:
        """A transaction of one statement, which needs no words around it. Raises WardianError as a block does."""
        try:
            short = self.prepare(adds)
            (self._durable if durable else self._volatile).execute(sql, parameters)
        except sqlite3.Error as error:
            self.explain(error)
            raise
        self.committed(short)

    def prepare(self, adds: bool) -> bool:
        """Whether the disk is nearly full: an `adds` is refused then with ENOSPC, and the log begins anew."""
        short = self._reserve.short
        if short and adds:
            raise _disk_full(os.path.dirname(self.path))
        if short:
            self._empty_log()
        return short

    def explain(self, error: BaseException) -> None:
        """Raises WardianError for one that has to do with the disk or the file."""
        _raise_if_full(error, os.path.dirname(self.path))
        _raise_if_of_the_file(error, self.path)

    def committed(self, short: bool) -> None:
        if not short:
            self._reserve.make()

    def close(self) -> None:
        self._volatile.close()
        self._durable.close()


class _Transaction:
    """A block between BEGIN and COMMIT. By hand, not by `contextmanager`: every step of a container's life is one.
    Raises WardianError, with ENOSPC when the disk is full; nothing of the transaction is there then."""

    __slots__ = ("_adds", "_connection", "_database", "_short")

    def __init__(self, database: Database, connection: sqlite3.Connection, adds: bool) -> None:
        self._database = database
        self._connection = connection
        self._adds = adds

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._short = self._database.prepare(self._adds)
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._undo(error)
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._undo(error)
            return
        try:
            self._connection.execute("COMMIT")
        except BaseException as failed:
            self._undo(failed)
            raise
        self._database.committed(self._short)

    def _undo(self, error: BaseException) -> None:
        """SQLite itself has rolled back after some errors of a disk (https://www.sqlite.org/lang_transaction.html)."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._database.explain(error)


def _sync(path: str) -> None:
    """fsync(2) of a file, or of the names in a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _said_when_full(directory: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        _raise_if_full(error, directory)
        raise


@contextlib.contextmanager
def _said_when_unreadable(path: str) -> Iterator[None]:
    """When something else has its name, or a part of it is lost, nothing is repaired or begun anew: what it says of
    containers and images may still be had from it, or from a copy. No right to it, say, is no reason to put one
    back."""
    try:
        yield
    except sqlite3.Error as error:
        raise _unreadable(error, path, "open state") from error


def _unreadable(error: sqlite3.Error, path: str, operation: str) -> WardianError:
    damaged = _code(error) in _DAMAGED
    hint = "it is left as it is: put back a copy of it, or use another data root" if damaged else ""
    return WardianError(SYSTEM, f"{path}: {error}", operation=operation, subject=path, hint=hint)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _raise_if_of_the_file(error: BaseException, path: str) -> None:
    """A disk's error or a damage beside a running engine; a statement that is wrong is a fault of ours and stays."""
    if isinstance(error, sqlite3.Error) and _code(error) in _OF_THE_FILE:
        raise _unreadable(error, path, "use state") from error


def _raise_if_full(error: BaseException, directory: str) -> None:
    """SQLite has several words for it: its shared index is grown by another call than its files."""
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in _FULL:
        raise _disk_full(directory) from error


def _disk_full(directory: str) -> WardianError:
    message = f"no space left on device: {directory}"
    hint = "free some space there: rm, rmi and prune need none"
    return WardianError(SYSTEM, message, operation=DISK_FULL, subject=directory, errno=errno.ENOSPC, hint=hint)
