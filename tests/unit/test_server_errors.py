"""What a failed operation is in the log: a request that is refused is no error of the engine, whatever its status."""

import logging

import pytest

from wardian.errors import INVALID, NOT_FOUND, REFUSED, STATUS, SYSTEM, WardianError
from wardian.server.errors import log_error


@pytest.mark.parametrize("kind", [INVALID, NOT_FOUND, REFUSED, SYSTEM])
def test_the_level(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "wardian.server"):
        log_error("POST /containers/{id}/unpause", WardianError(kind, "Container c is not paused"))
    assert [one.levelno for one in caplog.records] == [logging.ERROR if kind == SYSTEM else logging.DEBUG]


def test_a_refusal_may_have_dockers_status() -> None:
    assert STATUS[REFUSED] == STATUS[SYSTEM] == 500
    assert {status: kind for kind, status in STATUS.items()}[500] == SYSTEM
