"""Who may ask for what: `--allow` and the names that callers have."""

import asyncio
import os
import pwd
import threading
import time

import pytest

from wardian.errors import UNAVAILABLE, WardianError
from wardian.server import users
from wardian.server.callers import Caller, read_policy
from wardian.server.routes import ADMIN, READ, RUN, Route
from wardian.server.users import UserNames

NOBODY = -1


def by_tls(name: str) -> Caller:
    return Caller(0, NOBODY, NOBODY, name, "10.0.0.7:1")


def may(words: list[str], caller: Caller, access: str) -> bool:
    try:
        read_policy(words).check(caller, Route("GET", "/x", "", access))
    except WardianError:
        return False
    return True


def test_names_and_kinds_of_names() -> None:
    words = ["alice=read", "tls:bob=run", "user:carol=admin"]
    assert may(words, by_tls("alice"), READ) and not may(words, by_tls("alice"), RUN)
    assert may(words, by_tls("bob"), RUN)
    assert not may(words, by_tls("carol"), ADMIN)
    assert not may(words, by_tls(""), READ)
    assert may([*words, "*=read"], by_tls("mallory"), READ)


@pytest.mark.parametrize("name", ["user:carol", "tls:bob"])
def test_a_certificate_with_a_kind_in_its_name_is_nobody_else(name: str) -> None:
    words = ["user:carol=admin", "tls:bob=admin"]
    assert not may(words, by_tls(name), ADMIN)
    assert may([f"tls:{name}=admin"], by_tls(name), ADMIN)


def test_root_of_this_host_has_all_and_a_certificate_called_root_has_not() -> None:
    assert may(["alice=read"], Caller(1, 0, 0), ADMIN)
    assert not may(["alice=read"], by_tls("root"), ADMIN)


def test_a_user_is_known_by_name_and_asked_for_only_where_names_count() -> None:
    carol = Caller(1, 1000, 1000)
    policy = read_policy(["user:carol=run", "*=read"])
    assert policy.asks_for_user(carol) and not policy.asks_for_user(by_tls("carol"))
    assert not policy.asks_for_user(Caller(1, 0, 0)) and not read_policy(["*=read"]).asks_for_user(carol)
    policy.check(carol, Route("POST", "/x", "", RUN), "carol")
    with pytest.raises(WardianError):
        policy.check(carol, Route("POST", "/x", "", RUN), "1000")


def test_the_names_of_users() -> None:
    async def ask() -> None:
        names = UserNames()
        assert await names.name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
        assert await names.name(3999999999) == "3999999999"

    asyncio.run(ask())


def test_a_directory_of_users_that_does_not_answer_holds_up_who_asks_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What getpwuid(3) does with a server in nsswitch.conf(5) that is gone."""
    answers, questions = threading.Event(), []

    def hangs(uid: int) -> str:
        questions.append(uid)
        answers.wait(20)
        return f"user{uid}"

    monkeypatch.setattr(users, "_name", hangs)
    monkeypatch.setattr(users, "SECONDS", 0.3)
    monkeypatch.setattr(users, "_MOST", 2)

    async def ask() -> None:
        names = UserNames()
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        turning = asyncio.create_task(turn())
        asked = await asyncio.gather(*(names.name(uid) for uid in (7, 7, 8, 9)), return_exceptions=True)
        assert all(isinstance(one, WardianError) and one.kind == UNAVAILABLE for one in asked)
        assert "user 7" in str(asked[0]) and "2 questions" in str(asked[3])
        assert turns > 3 and sorted(questions) == [7, 8]
        answers.set()
        end = time.monotonic() + 10
        while names._asked and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert await names.name(7) == "user7"
        assert sorted(questions) == [7, 8]  # it is known now
        turning.cancel()

    asyncio.run(ask())
