"""The newest docker CLI and engine, brought by peers/bring; where they cannot be had, what needs them skips by name."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

BRING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "bring")


class Peers(NamedTuple):
    docker: list[str]  # the newest docker CLI: how its command line begins
    socket: str  # of its engine
    compose: list[str]  # the newest compose, in the same way


@pytest.fixture(scope="module")  # those that put that engine on a street of its own need it not to run here
def peers() -> Iterator[Peers]:
    # It lives as long as its standard input: when this process ends, however it does, that engine ends with it.
    serving = subprocess.Popen([BRING, "serve"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert serving.stdin is not None and serving.stdout is not None
    with serving:
        socket = serving.stdout.readline().strip().removeprefix("unix://")
        if not socket:
            if serving.wait(60) == 3:
                pytest.skip("peers from Debian unstable are not to be had here; tests/peers/bring said why")
            pytest.fail(f"tests/peers/bring ended with {serving.returncode}", pytrace=False)
        docker, compose = (
            subprocess.run([BRING, program], capture_output=True, text=True, check=True).stdout.split()
            for program in ("docker", "compose")
        )
        yield Peers(docker, socket, compose)
        serving.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            serving.wait(60)
