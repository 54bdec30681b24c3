"""Engines of an earlier version: built from this repository's history, run by this Python."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import needs
from wardian.client.start import engine_answers, server_arguments
from wardian.home import Home

FIRST = "59b41957bbc00fce8d1e05fa1b06d5040f268b6e"  # the first container's last commit
NETWORKS = "3c096aeffb0ff13a2fd6f945e7d4e2e7f19f35ed"  # networks of the user's, their names, published ports
LIVES = "6e0a343f93ec869c0ecaaa62d7c7a6225de34aa5"  # restart policies, health checks, volumes, events on disk
KNOWN = 10  # words of the command line that all had: the roots, the socket, the groups, the bridge
_REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def source_of(commit: str, directory: str) -> str:
    """The tree of that version in `directory`, its launcher compiled."""
    git = needs.program("git")
    archive = subprocess.run([git, "-C", _REPOSITORY, "archive", commit], capture_output=True)
    if archive.returncode != 0:
        needs.missing(f"needs this repository's history, with commit {commit[:7]}: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", directory], input=archive.stdout, check=True)
    subprocess.run([sys.executable, "hatch_build.py"], cwd=directory, check=True)
    return directory


class Earlier:
    """An engine of the earlier version."""

    def __init__(self, source: str, home: Home) -> None:
        self.log = os.path.join(os.path.dirname(home.data_root), "earlier.log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wardian.server", *server_arguments(home)[:KNOWN], "--debug"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.path.join(source, "src")},
            )  # fmt: skip
        end = time.monotonic() + 20
        while not engine_answers(home.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                self.end(signal.SIGKILL)
                pytest.fail(Path(self.log).read_text(), pytrace=False)
            time.sleep(0.01)

    def end(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(20)
