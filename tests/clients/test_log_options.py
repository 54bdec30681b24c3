"""docker logs over rotations, restarts of the engine and every kind of output; what --log-opt may say."""

import json
import os
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
        ("max-size=zz", b"invalid size: 'zz'"),
        ("max-size=-2", b"invalid size: '-2'"),
        ("max-file=x", b'strconv.Atoi: parsing "x": invalid syntax'),
        ("mode=foo", b"logger: logging mode not supported: foo"),
        ("max-buffer-size=1m", b"logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
        ("compress=zz", b'strconv.ParseBool: parsing "zz": invalid syntax'),
        ("compress=true", b"compress=true is not built yet"),
        ("labels-regex=(", b"error parsing regexp"),
        ("tag={{.Nope}}", b"can't evaluate field Nope in type *logger.Info"),
        ("tag={{", b"unclosed action"),
        ("tag={{upper .Name}}", b"is not built yet"),
        ("max-size=0", b"max-size must be a positive number"),
        ("max-file=0", b"max-file cannot be less than 1"),
        ("nope=1", b"unknown log opt 'nope' for json-file log driver"),
    ],
)
def test_options_that_are_refused(docker, option, says):
    assert says in docker("run", "--log-opt", option, IMAGE, "true", status=125).stderr
    assert docker.out("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("driver", "options", "says"),
    [
        ("nope", (), b"logger: no log driver named 'nope' is registered"),
        ("gelf", (), b"logger: no log driver named 'gelf' is registered"),
        ("local", ("env=a",), b"unknown log opt 'env' for log driver local"),
        ("journald", ("nope=1",), b"unknown log opt 'nope' for journald log driver"),
        ("syslog", ("syslog-address=foo",), b"unsupported scheme: ''"),
        ("syslog", ("syslog-address=unix:///nonexist",), b"stat /nonexist: no such file or directory"),
        ("syslog", ("syslog-facility=nope",), b"invalid syslog facility"),
        ("syslog", ("syslog-format=nope",), b"Invalid syslog format"),
        ("syslog", ("cache-disabled=zz",), b"invalid value for option cache-disabled: zz"),
        ("fluentd", ("fluentd-address=foo://x",), b"invalid fluentd-address (foo://x): unsupported scheme: 'foo'"),
        ("fluentd", ("fluentd-address=tcp://h/p",), b"(tcp://h/p): should not contain a path element"),
        ("fluentd", ("fluentd-retry-wait=x",), b'time: invalid duration "x"'),
        ("fluentd", ("fluentd-async=false",), b"fluentd-async=false is not built yet"),
        ("fluentd", ("fluentd-max-retries=3",), b"fluentd-max-retries=3 is not built yet"),
        ("fluentd", ("fluentd-buffer-limit=1m",), b"fluentd-buffer-limit=1m is not built yet"),
        ("fluentd", ("fluentd-async-connect=true",), b"unknown log opt 'fluentd-async-connect' for fluentd log driver"),
    ],
)
def test_drivers_that_are_refused(docker, driver, options, says):
    words = [word for option in options for word in ("--log-opt", option)]
    assert says in docker("run", "--log-driver", driver, *words, IMAGE, "true", status=None).stderr


def test_details_are_in_the_file_and_shown_in_dockers_spelling(docker):
    asked = ("labels=a,c", "env=F", "tag={{.Name}}/{{.ImageName}}", "mode=non-blocking", "max-buffer-size=1m")
    words = [word for option in asked for word in ("--log-opt", option)]
    docker("run", "--name", "ld", "--label", "a=b", "--label", "c=d e", "-e", "F=g", *words, IMAGE, "echo", "hi")
    shown = docker("logs", "--details", "ld").stdout.decode()
    assert shown == f"F=g,a=b,c=d+e,tag=ld%2F{IMAGE.replace(':', '%3A')} hi\n"
    assert docker("logs", "ld").stdout == b"hi\n"
    path = docker.out("inspect", "-f", "{{.LogPath}}", "ld")
    with open(path, "rb") as file:
        line = json.loads(file.read())
    assert list(line) == ["log", "stream", "attrs", "time"]
    assert line["attrs"] == {"F": "g", "a": "b", "c": "d e", "tag": f"ld/{IMAGE}"}


def test_local_is_read_like_any_and_says_no_path(docker):
    docker("run", "--name", "ll", "--log-driver", "local", IMAGE, "sh", "-c", "echo out; echo err >&2")
    assert docker("logs", "ll").stdout == b"out\n"
    assert docker.out("inspect", "-f", "{{.LogPath}}|{{.HostConfig.LogConfig.Type}}", "ll") == "|local"


def test_long_lines_are_whole_with_timestamps_and_in_the_tail(docker):
    script = "echo first; head -c 50000 /dev/zero | tr '\\0' a; echo; head -c 20000 /dev/zero | tr '\\0' b"
    docker("run", "--name", "lw", IMAGE, "sh", "-c", script)
    lines = docker("logs", "-t", "lw").stdout.split(b"\n")
    assert [line.partition(b" ")[2] for line in lines] == [b"first", b"a" * 50000, b"b" * 20000]
    assert docker("logs", "--tail", "1", "lw").stdout == b"b" * 20000
    assert docker("logs", "--tail", "2", "lw").stdout == b"a" * 50000 + b"\n" + b"b" * 20000


def test_a_log_is_rotated_unless_told_otherwise(docker):
    script = "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 30000000"
    docker("run", "--name", "lo", IMAGE, "sh", "-c", script + " >&2")
    directory = os.path.dirname(docker.out("inspect", "-f", "{{.LogPath}}", "lo"))
    sizes = sorted(
        os.stat(os.path.join(directory, name)).st_size for name in os.listdir(directory) if "json.log" in name
    )
    assert len(sizes) == 3
    assert sizes[-1] <= 10_000_000
    docker("run", "--name", "lx", "--log-opt", "max-size=1p", IMAGE, "sh", "-c", script + " >&2")
    path = docker.out("inspect", "-f", "{{.LogPath}}", "lx")
    assert os.stat(path).st_size > 30_000_000
    assert not os.path.exists(path + ".1")


def test_an_engine_s_own_default(new_engine):
    client = new_engine(log_driver="local", log_options=(("max-size", "1m"), ("max-file", "2"))).client
    assert client.call("GET", "/info")["LoggingDriver"] == "local"

    def made(config):
        body = {"Image": "wardian/hello", "HostConfig": {"LogConfig": config}}
        created = client.call("POST", "/containers/create", body)
        return client.call("GET", f"/containers/{created['Id']}/json")["HostConfig"]["LogConfig"]

    assert made({}) == {"Type": "local", "Config": {"max-size": "1m", "max-file": "2"}}
    two = made({"Type": "", "Config": {"max-size": "2m"}})
    assert two == {"Type": "local", "Config": {"max-size": "2m", "max-file": "2"}}
    assert made({"Type": "json-file"}) == {"Type": "json-file", "Config": {}}
