"""Who may ask for what: `--allow` and the names that callers have."""

import pytest

from wardian.errors import WardianError
from wardian.server.callers import Caller, read_policy
from wardian.server.routes import ADMIN, READ, RUN, Route

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
