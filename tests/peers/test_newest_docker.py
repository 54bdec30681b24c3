"""The newest docker CLI on our socket, and our figures beside the newest Docker engine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from engines import TestEngine
from images_made import busybox_layer
from newest import Peers

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
Figures = dict[str, dict[str, tuple[float, float]]]  # case → "median" or "best" → ours, Docker's
# Of Docker's time, at most.
AT_MOST = dict.fromkeys(
    (
        "run, no network",
        "run, bridge",
        "start",
        "stop",
        "remove running",
        "exec",
        "20 at once, no network",
        "20 at once, bridge",
    ),
    1 / 10,
)
STREAMS_AT_MOST = {"log written": 1 / 4, "log read": 1 / 8, "attached stdout": 1 / 8}


@pytest.fixture(scope="module")
def image(engine: TestEngine, peers: Peers) -> str:
    subprocess.run(
        [*peers.docker, "-H", engine.url, "import", "-", "newest/busybox:1"],
        input=busybox_layer(), check=True, capture_output=True,
    )  # fmt: skip
    return "newest/busybox:1"


def _docker(
    peers: Peers, engine: TestEngine, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*peers.docker, "-H", engine.url, *arguments], input=stdin, capture_output=True, timeout=60)


def test_it_negotiates_its_own_version(peers: Peers, engine: TestEngine) -> None:
    done = _docker(peers, engine, "version", "--format", "{{.Client.APIVersion}}")
    assert done.returncode == 0, done.stderr
    assert tuple(map(int, done.stdout.decode().strip().split("."))) >= (1, 51)


def test_run_gives_bytes_and_status(peers: Peers, engine: TestEngine, image: str) -> None:
    data = os.urandom(1 << 20)
    done = _docker(peers, engine, "run", "--rm", "-i", image, "cat", stdin=data)
    assert (done.returncode, done.stdout) == (0, data)
    assert _docker(peers, engine, "run", "--rm", image, "sh", "-c", "exit 7").returncode == 7


def test_detached_exec_logs_stop(peers: Peers, engine: TestEngine, image: str) -> None:
    name = "newest"
    done = _docker(peers, engine, "run", "-d", "--name", name, image, "sh", "-c", "echo up; sleep 600")
    assert done.returncode == 0, done.stderr
    assert _docker(peers, engine, "exec", name, "echo", "inside").stdout == b"inside\n"
    assert _docker(peers, engine, "logs", name).stdout == b"up\n"
    assert _docker(peers, engine, "stop", "-t", "0", name).returncode == 0
    assert _docker(peers, engine, "rm", name).returncode == 0


def _measure(peers: Peers, result: str, gap: str, cases: Iterable[str], count: str) -> Figures:
    """By case, ours and Docker's, interleaved in one run."""
    bench = os.path.join(BENCH, "run_api.py")
    command = [sys.executable, bench, "--docker", peers.socket, "--gap", gap, "--json", result, "-n", count]
    subprocess.run([*command, *(f"--only={case}" for case in cases)], check=True)
    with open(result) as file:
        figures: Figures = json.load(file)
    return figures


def _slow(figures: Figures, kind: str, limits: dict[str, float]) -> dict[str, str]:
    """A figure's name may go on after its limit's: with how many megabytes."""
    pairs = {case: figure[kind] for case, figure in figures.items()}
    return {case: f"{kind}: {ours:.1f} ms beside {theirs:.1f}" for case, (ours, theirs) in pairs.items()
            if ours > theirs * limits[case if case in limits else case.rpartition(",")[0]]}  # fmt: skip


@pytest.mark.parametrize("gap", ["0", "0.1"])
def test_figures_beside_docker(peers: Peers, gap: str, tmp_path: Path) -> None:
    """Medians; what is slow gets one more try, in which the best of each counts: the load of others only adds time."""
    result = str(tmp_path / "figures.json")
    figures = _measure(peers, result, gap, AT_MOST, "10")
    assert figures.keys() == AT_MOST.keys()
    if slow := _slow(figures, "median", AT_MOST):
        slow = _slow(_measure(peers, result, gap, slow, "20"), "best", AT_MOST)
    assert not slow


def test_streams_beside_docker(peers: Peers, tmp_path: Path) -> None:
    """Each once; what is slow gets one more try of three, the best of each."""
    for count, kind in (("1", "median"), ("3", "best")):
        result = tmp_path / f"streams-{count}.json"
        bench = os.path.join(BENCH, "streams.py")
        subprocess.run([sys.executable, bench, "--docker", peers.socket, "-n", count, "--json", result], check=True)
        if not (slow := _slow(json.loads(result.read_text()), kind, STREAMS_AT_MOST)):
            return
    assert not slow
