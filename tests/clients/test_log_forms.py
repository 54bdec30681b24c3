"""docker logs: every way to say a time and a number of lines, long lines, containers that end, fail, or are removed,
and the file that others read."""

import datetime
import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clients_shared import IMAGE, Command

WaitUntil = Callable[[Callable[[], bool], str], None]
ALL = b"1\n2\n3\n4\n5\n"


def test_times_in_every_form(docker: Command) -> None:
    docker("run", "--name", "tf", IMAGE, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; usleep 20000; done")
    third = docker("logs", "-t", "tf").stdout.split(b"\n")[2].split()[0].decode()
    moment = datetime.datetime.fromisoformat(third)
    seconds = int(moment.timestamp())
    nanoseconds = third.partition(".")[2].rstrip("Z").ljust(9, "0")
    ahead = moment.astimezone(datetime.timezone(datetime.timedelta(hours=1)))
    exact = [
        f"{seconds}.{nanoseconds}",
        f"{seconds}.{nanoseconds}7",  # past nine digits they are cut off
        third,
        f"{ahead:%Y-%m-%dT%H:%M:%S}.{nanoseconds}+01:00",
        f"{moment.astimezone():%Y-%m-%dT%H:%M:%S}.{nanoseconds}",  # without a zone: the client's own
    ]
    for form in exact:
        assert docker("logs", "--since", form, "tf").stdout == b"3\n4\n5\n", form
        assert docker("logs", "--until", form, "tf").stdout == b"1\n2\n3\n", form
    for form in ("10m", "1h30m", "2006-01-02", "2006-01-02T15:04Z", "0", "1.5"):
        assert docker("logs", "--since", form, "tf").stdout == ALL, form
    for form in ("2099-01-02", "2099-01-02T15", "4000000000", "-10m"):
        assert docker("logs", f"--since={form}", "tf").stdout == b"", form
        assert docker("logs", f"--until={form}", "tf").stdout == ALL, form
    assert docker("logs", "--until", "10m", "tf").stdout == b""
    for form in ("12x", "yesterday", "2006-13-02"):
        docker("logs", "--since", form, "tf", status=1)


def test_numbers_of_lines(docker: Command) -> None:
    docker("run", "--name", "nl", IMAGE, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done")
    for tail, wanted in (("0", b""), ("1", b"5\n"), ("3", b"3\n4\n5\n"), ("99", ALL), ("all", ALL), ("-1", ALL)):
        assert docker("logs", f"--tail={tail}", "nl").stdout == wanted, tail
        assert docker("logs", "-f", f"--tail={tail}", "nl").stdout == wanted, tail
    stamped = docker("logs", "-t", "-n", "2", "nl").stdout.split()
    assert stamped[1::2] == [b"4", b"5"]
    for stamp in stamped[::2]:
        datetime.datetime.fromisoformat(stamp.decode())


def test_follow_with_no_tail_shows_what_comes(docker: Command, wait_until: WaitUntil) -> None:
    docker("run", "-d", "--name", "nt", IMAGE, "sh", "-c", "echo old; until [ -e /go ]; do sleep 0.05; done; echo new")
    wait_until(lambda: docker("logs", "nt").stdout == b"old\n", "it has said something")
    reader = docker.start("logs", "-f", "--tail", "0", "nt")
    time.sleep(0.7)  # it has asked; if not, it still sees no more than what is new, or nothing
    docker("exec", "nt", "touch", "/go")
    assert reader.communicate(timeout=15)[0] in (b"new\n", b"")


def test_details_with_timestamps(docker: Command) -> None:
    words = ("--label", "a=b", "-e", "F=g", "--log-opt", "labels=a", "--log-opt", "env=F")
    docker("run", "--name", "dt", *words, IMAGE, "echo", "hi")
    stamp, details, text = docker("logs", "--details", "-t", "dt").stdout.split()
    datetime.datetime.fromisoformat(stamp.decode())
    assert (details, text) == (b"F=g,a=b", b"hi")


@pytest.mark.soak
def test_two_with_lines_of_megabytes_keep_them_whole(docker: Command) -> None:
    script = "for c in a b; do head -c 10000000 /dev/zero | tr '\\0' $c; echo; done"
    wanted = hashlib.sha256(b"a" * 10_000_000 + b"\n" + b"b" * 10_000_000 + b"\n").hexdigest()
    for name in ("long1", "long2"):
        docker("run", "-d", "--name", name, "--log-opt", "max-size=1p", IMAGE, "sh", "-c", script)
    for name in ("long1", "long2"):
        docker("wait", name, timeout=60)
        assert hashlib.sha256(docker("logs", name, timeout=60).stdout).hexdigest() == wanted
        assert docker("logs", "--tail", "1", name, timeout=60).stdout == b"b" * 10_000_000 + b"\n"
        stamped = docker("logs", "-t", name, timeout=60).stdout
        assert [line.partition(b" ")[2][:1] for line in stamped.splitlines()] == [b"a", b"b"]


def test_of_those_that_are_not_running(docker: Command) -> None:
    docker("run", "--name", "ended", IMAGE, "sh", "-c", "echo last words; exit 3", status=3)
    assert docker("logs", "ended").stdout == b"last words\n"
    assert docker("logs", "-f", "ended").stdout == b"last words\n"
    docker("run", "--name", "failed", IMAGE, "/no/such/command", status=127)
    assert docker("logs", "-f", "failed").stdout == b""
    docker("run", "-d", "--name", "paused", IMAGE, "sh", "-c", "echo said; sleep 1000")
    docker("pause", "paused")
    assert docker("logs", "paused").stdout == b"said\n"
    docker("unpause", "paused")
    assert b"No such container: gone" in docker("logs", "gone", status=1).stderr


def test_removal_ends_who_follows(docker: Command, wait_until: WaitUntil) -> None:
    docker("run", "-d", "--name", "rm", IMAGE, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done; sleep 1000")
    wait_until(lambda: docker("logs", "rm").stdout == ALL, "all is logged")
    readers = [docker.start("logs", "-f", "rm") for _ in range(3)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"1\n"
    docker("rm", "-f", "rm")
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.read() == ALL[2:]
        assert reader.wait(15) == 0
        reader.communicate()


def test_the_file_is_where_inspect_says_and_others_read_it(docker: Command) -> None:
    """As log shippers do: by its path, over a rotation, with tail(1)."""
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3")
    count = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); usleep 3000; done"
    script = f"until [ -e /go ]; do usleep 50000; done; {count}"
    docker("run", "-d", "--name", "fo", *options, IMAGE, "sh", "-c", script)
    path = docker.out("inspect", "-f", "{{.LogPath}}", "fo")
    assert Path(path).name == f"{docker.out('inspect', '-f', '{{.Id}}', 'fo')}-json.log"
    shipper = subprocess.Popen(["tail", "-n", "+1", "-F", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert shipper.stdout is not None
    docker("exec", "fo", "touch", "/go")
    lines = []
    for line in shipper.stdout:
        lines.append(json.loads(line)["log"])
        if lines[-1] == "line 299\n":
            break
    shipper.kill()
    shipper.communicate()
    assert lines == [f"line {number}\n" for number in range(300)]
    assert Path(f"{path}.1").exists()
