"""What config.json of docker's CLI holds for registries, also where it is not as `login` writes it."""

from typing import Any

import pytest

from wardian.cli.command import Failure
from wardian.cli.credentials import HUB, call_helper, credentials, drop, helper_for, keep

GIVEN = {"username": "user", "password": "secret", "serveraddress": "r:5000"}


@pytest.mark.parametrize("settings", [{}, {"auths": None}, {"auths": []}, {"auths": {"other": {}}}])
def test_what_is_kept_is_found_and_dropped(settings: dict[str, Any]) -> None:
    assert credentials(settings, "r:5000") == {}
    assert keep(settings, "r:5000", GIVEN) == ""
    assert credentials(settings, "r:5000") == GIVEN
    drop(settings, "https://r:5000/v1/")
    assert credentials(settings, "r:5000") == {}


@pytest.mark.parametrize("auth", ["abc", "a", "é"])
def test_a_damaged_entry_is_none_and_is_told(auth: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert credentials({"auths": {"r:5000": {"auth": auth}}}, "r:5000") == {}
    assert "no credentials for r:5000" in capsys.readouterr().err


def test_a_server_may_be_taken_out_of_the_store_of_all() -> None:
    settings = {"credsStore": "all", "credHelpers": {"r:5000": "one", "file:5000": ""}}
    assert [helper_for(settings, key) for key in ("r:5000", "file:5000", HUB)] == ["one", "", "all"]


@pytest.mark.parametrize(("verb", "word"), [("get", "getting"), ("store", "storing"), ("erase", "erasing")])
def test_a_helper_that_is_not_there_is_told_by_what_was_asked(verb: str, word: str) -> None:
    with pytest.raises(Failure, match=f"error {word} credentials"):
        call_helper("wardian-not-there", verb, b"")
