"""journald, syslog and fluentd: what real sockets receive of real containers; and when nobody listens."""

import socket

import msgspec
import pytest

from clients_shared import IMAGE
from wardian.errors import WardianError


@pytest.fixture
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        yield server


def test_syslog_over_udp_and_logs_at_home(docker, udp):
    address = f"syslog-address=udp://127.0.0.1:{udp.getsockname()[1]}"
    options = [address, "syslog-format=rfc5424micro", "tag={{.Name}}", "syslog-facility=local3"]
    words = [word for option in options for word in ("--log-opt", option)]
    docker(
        "run", "--name", "sy", "--log-driver", "syslog", *words, IMAGE, "sh", "-c", "echo out; sleep 0.1; echo err >&2"
    )
    first, second = udp.recv(4096), udp.recv(4096)
    assert first.startswith(b"<158>1 2")
    assert b" sy " in first
    assert first.endswith(b" sy - out\n")
    assert second.startswith(b"<155>1 2")
    assert docker("logs", "sy").stdout == b"out\n"


def test_the_lines_of_a_rm_container_are_sent(docker, udp):
    words = ("--log-opt", f"syslog-address=udp://127.0.0.1:{udp.getsockname()[1]}")
    docker("run", "--rm", "--log-driver", "syslog", *words, IMAGE, "echo", "last words")
    assert udp.recv(4096).endswith(b"]: last words\n")


def test_fluentd_that_comes_late_gets_all(docker, engine):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        words = ("--log-opt", f"fluentd-address=127.0.0.1:{server.getsockname()[1]}", "--log-opt", "labels=a")
        started = docker(
            "run",
            "--name",
            "fl",
            "--label",
            "a=b",
            "--log-driver",
            "fluentd",
            *words,
            IMAGE,
            "sh",
            "-c",
            "echo 1; echo 2",
        )
        assert b"WARNING: fluentd at 127.0.0.1:" in started.stderr
        assert docker("logs", "fl").stdout == b"1\n2\n"
        engine.kill()
        engine.start()
        server.listen()
        server.settimeout(15)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            tag, events, options = msgspec.msgpack.decode(connection.recv(65536))
    assert [event[1]["log"] for event in events] == ["1", "2"]
    assert events[0][1]["container_name"] == "/fl"
    assert events[0][1]["a"] == "b"
    assert options["size"] == 2
    assert docker.out("inspect", "-f", "{{.Id}}", "fl").startswith(tag)


def test_journald_speaks_its_own_protocol(new_engine, tmp_path):
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        journal.settimeout(10)
        client = new_engine(journal_socket=path).client
        body = {"Image": "wardian/hello", "HostConfig": {"LogConfig": {"Type": "journald"}}}
        identity = client.call("POST", "/containers/create", body)["Id"]
        client.call("POST", f"/containers/{identity}/start")
        entry = journal.recv(65536)
    assert f"CONTAINER_ID={identity[:12]}\n".encode() in entry
    assert b"\nPRIORITY=6\n" in entry
    assert b"\nMESSAGE" in entry


@pytest.mark.parametrize(
    ("log", "said", "code"),
    [
        ({"Type": "journald"}, "journald is not enabled on this host", 128),
        (
            {"Type": "fluentd", "Config": {"fluentd-address": "unix:///nonexist"}},
            "dial unix /nonexist: connect: no such file or directory",
            127,
        ),
    ],
)
def test_nobody_listens_on_this_host(new_engine, tmp_path, log, said, code):
    client = new_engine(journal_socket=str(tmp_path / "journal")).client
    body = {"Image": "wardian/hello", "HostConfig": {"LogConfig": log}}
    identity = client.call("POST", "/containers/create", body)["Id"]
    with pytest.raises(WardianError, match="failed to initialize logging driver"):
        client.call("POST", f"/containers/{identity}/start")
    state = client.call("GET", f"/containers/{identity}/json")["State"]
    assert state["Error"] == f"failed to create task for container: failed to initialize logging driver: {said}"
    assert (state["Status"], state["ExitCode"]) == ("created", code)
