"""The engine's tables. Two for containers: what was asked for (durable), and what it does now (volatile).

container(id, name, created, image, config)     one row from create to remove
container_state(id → container, ...)            replaced at every step; a power loss may take the last ones
event(id, time, body)                           what happened, as an earlier version kept it: see events/journal.py
removed_container(number, id, exit_code)        how they had ended, for who waited over an engine's end; the newest
"""

from typing import Any, NamedTuple

import msgspec

from wardian.database import Database, Schema
from wardian.engine.life.reasons import Ask
from wardian.engine.life.state import RunState, State

_KEEP_REMOVED = 1000

ENGINE_SCHEMA = Schema(
    "engine",
    [
        """
        CREATE TABLE container (
            id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, record TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE container_state (
            id TEXT PRIMARY KEY REFERENCES container(id) ON DELETE CASCADE, record TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE event (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, body TEXT NOT NULL)
        """,
        """
        CREATE TABLE removed_container (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, exit_code INTEGER NOT NULL)
        """,
        # Each new field of RunState brings one without a statement: a Wardian that does not know it refuses the file by
        # name, and drops nothing from it unseen.
        "",  # open_files
    ],
)


class ContainerRecord(NamedTuple):
    """What create was asked for and found. Only the name changes, and the networks by connect and disconnect."""

    id: str
    name: str
    created: int
    image: str
    image_ref: str
    layers: tuple[str, ...]
    values: dict[str, Any]
    os: str = "linux"
    platform: str = ""


class Stored(NamedTuple):
    record: ContainerRecord
    state: RunState


class EngineStore:
    """Rows in and out. Called from the event loop's thread only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[Stored]:
        rows = self._database.read(
            "SELECT c.id, c.name, c.record, s.record AS state FROM container c "
            "LEFT JOIN container_state s ON s.id = c.id ORDER BY c.created"
        )
        return [Stored(_record(row["record"], row["name"]), _state(row["state"])) for row in rows]

    def add(self, record: ContainerRecord) -> None:
        row = (record.id, record.name, record.created, msgspec.json.encode(record._asdict()).decode())
        self._database.write("INSERT INTO container VALUES (?, ?, ?, ?)", row, durable=True, adds=True)

    def rename(self, identity: str, name: str) -> None:
        self._database.write("UPDATE container SET name = ? WHERE id = ?", (name, identity), durable=True)

    def replace(self, record: ContainerRecord) -> None:
        """What it asks of the networks was changed. Fields of another Wardian stay."""
        with self._database.durable() as db:
            for (old,) in db.execute("SELECT record FROM container WHERE id = ?", (record.id,)).fetchall():
                text = msgspec.json.encode(msgspec.json.decode(old) | record._asdict()).decode()
                db.execute("UPDATE container SET record = ? WHERE id = ?", (text, record.id))

    def remove(self, identity: str, exit_code: int = 0) -> None:
        with self._database.durable() as db:
            db.execute("DELETE FROM container WHERE id = ?", (identity,))
            db.execute("INSERT OR REPLACE INTO removed_container (id, exit_code) VALUES (?, ?)", (identity, exit_code))
            db.execute("DELETE FROM removed_container WHERE number <= last_insert_rowid() - ?", (_KEEP_REMOVED,))

    def exit_code_of_removed(self, identity: str) -> int | None:
        """How one that is gone had ended; None when it never was, or went long ago."""
        rows = self._database.read("SELECT exit_code FROM removed_container WHERE id = ?", (identity,))
        return next((int(row["exit_code"]) for row in rows), None)

    def set_state(self, identity: str, state: RunState, durable: bool = False) -> None:
        """`durable`: a power loss must not take it."""
        fields = state._asdict() | {"state": state.state.value}
        row = (identity, msgspec.json.encode(fields).decode())
        self._database.write("INSERT OR REPLACE INTO container_state VALUES (?, ?)", row, durable)

    def take_events(self) -> list[dict[str, Any]]:
        """Those that an earlier version kept here; they are kept in files now."""
        rows = self._database.read("SELECT body FROM event ORDER BY id")
        if rows:
            with self._database.volatile() as db:
                db.execute("DELETE FROM event")
        return [msgspec.json.decode(row["body"]) for row in rows]


def _record(text: str, name: str) -> ContainerRecord:
    """What it has besides is of a Wardian that knew another field."""
    fields = msgspec.json.decode(text)
    known = {field: value for field, value in fields.items() if field in ContainerRecord._fields}
    return ContainerRecord(**known | {"name": name, "layers": tuple(fields["layers"])})


def _state(text: str | None) -> RunState:
    """What it has besides is of a Wardian that knew another field."""
    if text is None:
        return RunState()
    fields = msgspec.json.decode(text)
    asks = tuple(Ask(*one) for one in fields.get("asks", ()))
    limit = fields.get("open_files")
    open_files = (limit[0], limit[1]) if limit else None
    known = {name: value for name, value in fields.items() if name in RunState._fields}
    return RunState(**known | {"state": State(fields["state"]), "asks": asks, "open_files": open_files})
