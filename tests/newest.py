"""Peers from Debian unstable, brought by peers/bring; where they cannot be had, tests that need them skip by name."""

import os
import subprocess
from typing import NamedTuple

import pytest

BRING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers", "bring")


class Peers(NamedTuple):
    docker: list[str]  # the newest docker CLI: how its command line begins
    socket: str  # of its engine


@pytest.fixture(scope="session")
def peers() -> Peers:
    # Their mounts and bridge are theirs and stay up, as a developer may want them; `bring down` ends them.
    done = subprocess.run([BRING, "up"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 3:
        pytest.skip(f"peers from Debian unstable are not to be had here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    docker = subprocess.run([BRING, "docker"], capture_output=True, text=True, check=True).stdout.split()
    return Peers(docker, done.stdout.strip().removeprefix("unix://"))
