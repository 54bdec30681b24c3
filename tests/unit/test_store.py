"""The engine's rows, as another Wardian wrote them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.database import Database
from wardian.engine.life.state import RunState, State
from wardian.engine.store import ENGINE_SCHEMA, ContainerRecord, EngineStore
from wardian.errors import CONFLICT, WardianError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(str(tmp_path / "state.db"), [ENGINE_SCHEMA])
    yield opened
    opened.close()


def test_a_state_with_a_field_that_is_not_known_is_read(database: Database) -> None:
    store = EngineStore(database)
    store.add(ContainerRecord("c1", "one", 1, "sha256:1", "busybox", (), {}))
    store.set_state("c1", RunState(State.EXITED, exit_code=3, open_files=(512, 600)))
    with database.durable() as db:
        [[text]] = db.execute("SELECT record FROM container_state").fetchall()
        later = json.dumps(json.loads(text) | {"of_tomorrow": 1})
        db.execute("UPDATE container_state SET record = ?", (later,))
    [stored] = store.load()
    assert stored.state == RunState(State.EXITED, exit_code=3, open_files=(512, 600))


def test_a_record_with_a_field_that_is_not_known_is_read_and_keeps_it(database: Database) -> None:
    store, record = EngineStore(database), ContainerRecord("c1", "one", 1, "sha256:1", "bb", ("l1",), {"Tty": True})
    store.add(record)
    with database.durable() as db:
        [[text]] = db.execute("SELECT record FROM container").fetchall()
        db.execute("UPDATE container SET record = ?", (json.dumps(json.loads(text) | {"of_tomorrow": [1]}),))
    assert [stored.record for stored in store.load()] == [record]
    changed = record._replace(values={"Tty": False})
    store.replace(changed)
    assert [stored.record for stored in store.load()] == [changed]
    [[text]] = database.read("SELECT record FROM container")
    assert json.loads(text)["of_tomorrow"] == [1]


def test_who_does_not_know_a_field_refuses_the_file(database: Database) -> None:
    """A field more is a version more (ENGINE_SCHEMA)."""
    assert (RunState._fields[-1], ENGINE_SCHEMA.migrations[-1]) == ("open_files", "")
    with pytest.raises(WardianError, match="engine has schema version 3, this Wardian knows up to 2") as caught:
        Database(database.path, [ENGINE_SCHEMA._replace(migrations=ENGINE_SCHEMA.migrations[:-1])])
    assert caught.value.kind == CONFLICT
