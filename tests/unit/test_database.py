"""The state file: how it comes to be, and what it is brought up to."""

import os
import shutil
import sqlite3

import pytest

from wardian.database import Database, Schema
from wardian.errors import CONFLICT, WardianError

FIRST = Schema("first", ["CREATE TABLE a (x)"])
SECOND = Schema("second", ["CREATE TABLE b (x)", "ALTER TABLE b ADD COLUMN y"])


def test_a_new_one_is_whole_when_it_has_its_name(tmp_path):
    path = str(tmp_path / "state.db")
    (tmp_path / "state.db.new").write_bytes(b"what a power loss left of an earlier beginning")
    database = Database(path, [FIRST, SECOND])
    assert "state.db.new" not in os.listdir(tmp_path)
    (mode,) = database.read("PRAGMA journal_mode")
    assert mode[0] == "wal"
    assert [tuple(row) for row in database.read("SELECT * FROM schema_version")] == [("first", 1), ("second", 2)]
    database.close()


def test_it_takes_nothing_from_the_log_of_another(tmp_path):
    path, kept = str(tmp_path / "state.db"), str(tmp_path / "kept")
    database = Database(path, [FIRST])
    with database.volatile() as db:
        db.execute("INSERT INTO a VALUES (1)")
    shutil.copy(f"{path}-wal", kept)
    database.close()
    os.unlink(path)
    os.rename(kept, f"{path}-wal")
    database = Database(path, [FIRST])
    assert not database.read("SELECT * FROM a")
    database.close()


def test_what_one_schema_refuses_leaves_the_others_as_they_were(tmp_path):
    path = str(tmp_path / "state.db")
    Database(path, [FIRST, SECOND]).close()
    third = Schema("third", ["CREATE TABLE c (x)"])
    with pytest.raises(WardianError) as caught:
        Database(path, [third, SECOND._replace(migrations=SECOND.migrations[:1])])
    assert caught.value.kind == CONFLICT
    database = Database(path, [FIRST])
    assert {row["name"] for row in database.read("SELECT name FROM schema_version")} == {"first", "second"}
    database.close()


@pytest.mark.parametrize("lost", ["all", "its first page", "its end"])
def test_what_is_no_database_is_named_and_left_as_it_is(tmp_path, lost):
    path = tmp_path / "state.db"
    Database(str(path), [FIRST]).close()
    whole = path.read_bytes()
    garbage = {
        "all": b"garbage" * 1000,
        "its first page": whole[:100] + b"?" * 3996 + whole[4096:],
        "its end": whole[:5000],
    }
    path.write_bytes(garbage[lost])
    with pytest.raises(WardianError) as caught:
        Database(str(path), [FIRST])
    why = "file is not a database" if lost == "all" else "database disk image is malformed"
    assert caught.value.message == f"{path}: {why}" and "left as it is" in caught.value.hint
    assert path.read_bytes() == garbage[lost]


def test_what_is_lost_under_the_log_is_named_too(tmp_path):
    """The tables' first pages are there: it is the checkpoint that misses the rest."""
    path, whole = tmp_path / "state.db", tmp_path / "whole.db"
    database = Database(str(whole), [FIRST])
    with database.durable() as db:
        db.execute("INSERT INTO a VALUES (zeroblob(1000000))")
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.durable() as db:
        db.execute("CREATE TABLE later (x)")
    path.write_bytes(whole.read_bytes()[: 4 * 4096])
    shutil.copy(f"{whole}-wal", f"{path}-wal")
    database.close()
    with pytest.raises(WardianError) as caught:
        Database(str(path), [FIRST])
    assert caught.value.message == f"{path}: database disk image is malformed"
    assert "put back a copy" in caught.value.hint


def test_what_cannot_be_opened_is_named_and_not_said_to_be_lost(tmp_path):
    path = tmp_path / "state.db"
    path.mkdir()
    with pytest.raises(WardianError) as caught:
        Database(str(path), [FIRST])
    assert caught.value.message == f"{path}: unable to open database file"
    assert not caught.value.hint


def test_what_is_damaged_beside_a_running_engine_is_named(tmp_path):
    path = tmp_path / "state.db"
    database = Database(str(path), [FIRST])
    with database.durable() as db:
        db.execute("INSERT INTO a VALUES (zeroblob(1000000))")
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, 3 * 4096)
    for use in (_read, _write):
        with pytest.raises(WardianError) as caught:
            use(database)
        assert caught.value.message.startswith(f"{path}: ") and "left as it is" in caught.value.hint
    database.close()


def test_a_wrong_statement_is_no_fault_of_the_file(tmp_path):
    database = Database(str(tmp_path / "state.db"), [FIRST])
    with pytest.raises(sqlite3.OperationalError):
        database.read("SELECT * FROM nothing")
    with pytest.raises(sqlite3.OperationalError), database.durable() as db:
        db.execute("INSERT INTO nothing VALUES (1)")
    database.close()


def _read(database):
    database.read("SELECT * FROM a")


def _write(database):
    with database.durable() as db:
        db.execute("DELETE FROM a")
