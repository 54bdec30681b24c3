"""The second boot of test_power_cut.py. /work/answers has what the first was told before the power went."""

import os
import sqlite3
from typing import Any

import pytest

from vm import lasting, numbered
from wardian.errors import WardianError

ANSWERS = "/work/answers"


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    lasting.start_engine()


@pytest.fixture(scope="module")
def answers() -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {kind: [] for kind in ("created", "removed", "renamed", "volume", "pulled")}
    with open(ANSWERS) as file:
        for line in file:
            kind, *words = line.split()
            found[kind].append(words)
    assert all(found.values()), found
    return found


def listed() -> list[dict[str, Any]]:
    found: Any = lasting.client().call("GET", "/containers/json", query={"all": True})
    return list(found)


def test_containers_are_those_that_were_answered(answers: dict[str, list[list[str]]]) -> None:
    removed = {words[0] for words in answers["removed"]}
    there = {one["Id"]: one["Names"][0].strip("/") for one in listed()}
    assert not removed & set(there)
    for (identity,) in answers["created"]:
        if identity not in there:  # its removal was on its way
            assert identity in removed or identity == answers["created"][-1][0] or _maybe_removed(identity, answers)
    for identity, name in answers["renamed"]:
        assert there.get(identity, name) == name


def _maybe_removed(identity: str, answers: dict[str, list[list[str]]]) -> bool:
    """It was renamed, and what its writer did next was to remove it: no answer of that writer came after."""
    name = next(words[1] for words in answers["renamed"] if words[0] == identity)
    writer, _, number = name.removeprefix("r").partition("-")
    later = f"r{writer}-{int(number) + 1}"
    return not any(words[1] == later for words in answers["renamed"])


def test_all_that_are_there_work(answers: dict[str, list[list[str]]]) -> None:
    """Those with a policy run again; each can be removed, its name used anew."""
    for one in listed():
        if lasting.inspect(one["Id"])["HostConfig"]["RestartPolicy"]["Name"] == "always":
            started = lasting.inspect(one["Id"])["State"]["StartedAt"]
            if not started.startswith("0001"):
                lasting.wait_until(lambda one=one: lasting.state(one["Id"])["Running"], f"{one['Names']} is back")  # type: ignore[misc]
        lasting.client().call("DELETE", f"/containers/{one['Id']}", query={"force": True})
        lasting.client().call("DELETE", f"/containers/{lasting.create(one['Names'][0].strip('/'), 'true')}")
    assert listed() == []
    assert os.listdir(f"{lasting.DATA}/containers") == []


def test_volumes_are_there(answers: dict[str, list[list[str]]]) -> None:
    found: Any = lasting.client().call("GET", "/volumes")
    assert {words[0] for words in answers["volume"]} <= {one["Name"] for one in found["Volumes"]}
    for one in found["Volumes"]:
        assert os.path.isdir(one["Mountpoint"])


def test_images_are_whole(answers: dict[str, list[list[str]]]) -> None:
    """Also one that nobody was told of: what has a name is complete."""
    images: Any = lasting.client().call("GET", "/images/json")
    tags = [tag for image in images for tag in image["RepoTags"] if "/pulled:" in tag]
    names = {tag.rpartition(":")[2]: tag for tag in tags}
    assert {words[0] for words in answers["pulled"]} <= set(names)
    for name, tag in names.items():
        lasting.run("sums", "sleep", "1000", Image=tag)
        said = lasting.executed("sums", "sh", "-c", "md5sum /own/* | sort -k 2")
        lasting.client().call("DELETE", "/containers/sums", query={"force": True})
        assert sorted(said.split("\n")[:-1]) == sorted(numbered.sums(name)), name


def test_pulls_that_were_cut_off_are_done_again() -> None:
    """What they left is neither believed nor in the way."""
    with numbered.served() as address:
        for name in [f"{writer}-{number}" for writer in (3, 4) for number in range(40)]:
            query = {"fromImage": f"{address}/again", "tag": name}
            try:
                lasting.client().call("GET", f"/images/{address}/pulled:{name}/json")
            except WardianError:
                with lasting.client().stream("POST", "/images/create", query=query) as stream:
                    assert not [message for message in stream.objects() if "error" in str(message)]
                lasting.run("again", "md5sum", "/own/0", Image=f"{address}/again:{name}")
                ended: Any = lasting.client().call("POST", "/containers/again/wait")
                assert ended["StatusCode"] == 0
                lasting.client().call("DELETE", "/containers/again")
                return
    raise AssertionError("all pulls came to their end")


def test_events_go_on() -> None:
    identities = [event["Wardian"]["ID"] for event in lasting.events_after(0)]
    assert identities and identities == sorted(set(identities))


def test_the_database_is_sound() -> None:
    database = sqlite3.connect(f"{lasting.DATA}/wardian.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()


def test_nothing_half_made_is_left() -> None:
    staging = [name for name in os.listdir(f"{lasting.DATA}/staging") if not name.startswith("spare.")]
    assert staging == []
