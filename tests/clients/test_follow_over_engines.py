"""`logs -f` over an engine's end: what was there came whole, the client says so, and later nothing is missed."""

import signal

import pytest

from clients_shared import IMAGE

LAST = 120
COUNTS = f"i=0; while [ $i -le {LAST} ]; do echo $i; i=$((i+1)); sleep 0.01; done"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_who_follows_has_what_was_there_and_later_the_rest(docker, engine, end):
    docker("run", "-d", "--name", "told", IMAGE, "sh", "-c", COUNTS)
    follower = docker.start("logs", "-f", "-t", "told")
    first = follower.stdout.readline()
    (engine.terminate if end == signal.SIGTERM else engine.kill)()
    rest = follower.stdout.read()
    _, said = follower.communicate(timeout=20)
    try:
        assert (first + rest).endswith(b"\n")
        seen = [line.split() for line in (first + rest).splitlines()]
        assert [int(number) for _, number in seen] == list(range(len(seen)))
        # the container's end would be 0
        assert follower.returncode == 1
        assert b"unexpected EOF" in said or b"in the middle of an answer" in said, said
        assert b"Traceback" not in said
    finally:
        engine.start()
    later = docker("logs", "-f", "--since", seen[-1][0].decode(), "told").stdout
    assert [int(number) for number in later.split()] == list(range(len(seen) - 1, LAST + 1))
