"""docker logs over rotations, restarts of the engine and every kind of output; what --log-opt may say."""

import time

import pytest

from clients_shared import IMAGE

COUNT = "i=0; while [ $i -lt {0} ]; do echo line $i; i=$((i+1)); {1} done"


def _numbers(output: bytes) -> list[int]:
    return [int(line.split()[1]) for line in output.splitlines()]


def test_rotation_keeps_the_newest_without_a_gap(docker, engine):
    options = ("--log-opt", "max-size=10k", "--log-opt", "max-file=3")
    docker("run", "--name", "lr", *options, IMAGE, "sh", "-c", COUNT.format(1000, ""))
    kept = _numbers(docker("logs", "lr").stdout)
    assert kept == list(range(kept[0], 1000))
    assert 200 < len(kept) < 600
    assert _numbers(docker("logs", "--tail", "180", "lr").stdout) == kept[-180:]  # more than one file holds
    assert _numbers(docker("logs", "--tail", "9999", "lr").stdout) == kept
    assert docker("logs", "--tail", "0", "lr").stdout == b""
    engine.kill()
    engine.start()
    assert _numbers(docker("logs", "lr").stdout) == kept
    docker("start", "-a", "lr")
    assert _numbers(docker("logs", "--tail", "1", "lr").stdout) == [999]


def test_who_follows_over_rotations_misses_nothing(docker):
    options = ("--log-opt", "max-size=5k", "--log-opt", "max-file=3")
    docker("run", "-d", "--name", "lf", *options, IMAGE, "sh", "-c", COUNT.format(400, "usleep 2000;"))
    assert _numbers(docker("logs", "-f", "lf").stdout) == list(range(400))


def test_follow_until_a_moment(docker):
    docker("run", "-d", "--name", "lu", IMAGE, "sh", "-c", "echo first; sleep 100")
    start = time.monotonic()
    assert docker("logs", "-f", "--until", f"{time.time() + 1:.3f}", "lu").stdout == b"first\n"
    assert 0.5 < time.monotonic() - start < 5
    assert docker("logs", "-f", "--until", "1970-01-02", "lu").stdout == b""


def test_since_and_until_are_inclusive_and_name_the_line(docker):
    docker("run", "--name", "ls", IMAGE, "sh", "-c", "for i in 1 2 3 4; do echo $i; usleep 20000; done")
    third = docker("logs", "-t", "ls").stdout.split(b"\n")[2].split()[0].decode()
    assert docker("logs", "--since", third, "ls").stdout == b"3\n4\n"
    assert docker("logs", "--until", third, "ls").stdout == b"1\n2\n3\n"
    assert docker("logs", "--since", third, "--until", third, "ls").stdout == b"3\n"
    docker("logs", "--since", "nonsense", "ls", status=1)


def test_long_binary_and_partial_lines(docker):
    script = "head -c 40000 /dev/zero | tr '\\0' a; echo; printf 'part'; sleep 0.2; printf ' rest\\n\\000end'"
    said = docker("run", "--name", "lb", IMAGE, "sh", "-c", script).stdout
    assert said == b"a" * 40000 + b"\npart rest\n\x00end"
    assert docker("logs", "lb").stdout == said


def test_a_terminal_s_log_is_one_stream(docker):
    docker("run", "-d", "-t", "--name", "lt", IMAGE, "sh", "-c", "echo out; echo err >&2")
    docker("wait", "lt")
    assert docker("logs", "lt").stdout == b"out\r\nerr\r\n"


def test_no_log(docker):
    assert docker("run", "--name", "ln", "--log-driver", "none", IMAGE, "echo", "hi").stdout == b"hi\n"
    assert b"configured logging driver does not support reading" in docker("logs", "ln", status=1).stderr
    docker("create", "--name", "never", IMAGE, "true")
    assert docker("logs", "never").stdout == b""


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("max-size=zz", b"zz"),
        ("max-size=0", b"max-size must be a positive number"),
        ("max-file=0", b"max-file cannot be less than 1"),
        ("nope=1", b"unknown log opt 'nope' for json-file log driver"),
        ("tag=x", b"tag=x is not built yet"),
        ("mode=non-blocking", b"mode=non-blocking is not built yet"),
    ],
)
def test_options_that_are_refused(docker, option, says):
    assert says in docker("run", "--log-opt", option, IMAGE, "true", status=125).stderr
    assert docker.out("ps", "-aq") == ""
