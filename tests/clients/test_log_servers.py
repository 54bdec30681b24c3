"""syslog and fluentd over TCP, TLS and unix streams: real servers that go, come back, and cut in the middle."""

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority, Certificate
from clients_shared import IMAGE, Command
from engines import TestEngine
from images_made import busybox_image, docker_archive
from log_servers import FluentdServer, StreamServer, SyslogServer

LOCAL = ("127.0.0.1", 0)
Serve = Callable[..., Any]
COUNT = "i=0; while [ $i -lt {0} ]; do echo line-$i; i=$((i+1)); done"


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[StreamServer] = []

    def start(kind: Callable[..., StreamServer], *arguments: Any, **more: Any) -> StreamServer:
        made.append(kind(*arguments, **more))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Authority(tmp_path_factory.mktemp("log") / "authority").sign("server")


@pytest.fixture(scope="module")
def context(certificate: Certificate) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate.certificate, certificate.key)
    return made


def _words(driver: str, *options: str) -> list[str]:
    return ["--log-driver", driver, *(word for option in options for word in ("--log-opt", option))]


def _texts(lines: list[bytes]) -> list[str]:
    return [line.decode().rpartition(" ")[2] for line in lines]


def _wanted(count: int) -> list[str]:
    return [f"line-{number}" for number in range(count)]


def test_syslog_over_tcp(docker: Command, serve: Serve) -> None:
    server = serve(SyslogServer, LOCAL)
    words = _words("syslog", f"syslog-address=tcp://127.0.0.1:{server.port}", "syslog-format=rfc5424", "tag=t")
    docker("run", "--rm", *words, IMAGE, "sh", "-c", COUNT.format(5000))
    lines = server.wait(lambda lines: len(lines) >= 5000)
    assert _texts(lines) == _wanted(5000)
    assert re.fullmatch(rb"<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S+ t \d+ t - line-0", lines[0])


def test_syslog_over_tls_counts_octets_and_believes_its_authority_only(
    docker: Command, serve: Serve, context: ssl.SSLContext, certificate: Certificate, tmp_path: Path
) -> None:
    server = serve(SyslogServer, LOCAL, context, counted=True)
    address = f"syslog-address=tcp+tls://127.0.0.1:{server.port}"
    options = (address, "syslog-format=rfc5424", f"syslog-tls-ca-cert={certificate.authority}")
    docker("run", "--rm", *_words("syslog", *options), IMAGE, "sh", "-c", "echo known; printf 'a b\\n\\nend'")
    assert _texts(server.wait(lambda lines: len(lines) >= 4)) == ["known", "b", "", "end"]
    docker("run", "--name", "unknown", *_words("syslog", *options[:2]), IMAGE, "echo", "not believed")
    docker("run", "--rm", *_words("syslog", *options[:2], "syslog-tls-skip-verify=1"), IMAGE, "echo", "unchecked")
    server.wait(lambda lines: len(lines) >= 5)
    assert _texts(server.lines)[4:] == ["unchecked"]
    assert docker("logs", "unknown").stdout == b"not believed\n"


def test_syslog_over_a_unix_stream_that_comes_back(docker: Command, serve: Serve, tmp_path: Path) -> None:
    server = serve(SyslogServer, str(tmp_path / "log"))
    words = _words("syslog", f"syslog-address=unix://{server.address}", "tag=u")
    waiting = "until [ -e /{0} ]; do sleep 0.05; done; echo line-{0}"
    script = "; ".join(("echo line-0", waiting.format(1), waiting.format(2)))
    docker("run", "-d", "--name", "us", *words, IMAGE, "sh", "-c", script)
    server.wait(lambda lines: len(lines) == 1)
    server.deaf()
    docker("exec", "us", "touch", "/1")
    server.listen()
    docker("exec", "us", "touch", "/2")
    lines = server.wait(lambda lines: len(lines) >= 3)
    assert _texts(lines) == _wanted(3)
    assert re.fullmatch(rb"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d u\[\d+\]: line-0", lines[0])


def test_syslog_over_tcp_that_comes_back(docker: Command, serve: Serve) -> None:
    server = serve(SyslogServer, LOCAL)
    words = _words("syslog", f"syslog-address=tcp://127.0.0.1:{server.port}")
    script = "echo line-0; until [ -e /1 ]; do sleep 0.05; done; echo line-1; echo line-2"
    docker("run", "-d", "--name", "ts", *words, IMAGE, "sh", "-c", script)
    server.wait(lambda lines: len(lines) == 1)
    server.deaf()
    docker("exec", "ts", "touch", "/1")
    docker("wait", "ts")
    server.listen()
    assert _texts(server.wait(lambda lines: len(lines) >= 3)) == _wanted(3)


@pytest.mark.parametrize("unix", [False, True])
def test_fluentd_has_all_that_it_acknowledged_and_the_rest_again(
    docker: Command, serve: Serve, tmp_path: Path, unix: bool
) -> None:
    server = serve(FluentdServer, str(tmp_path / "fl") if unix else LOCAL, refuse=2)
    address = f"unix://{server.address}" if unix else f"127.0.0.1:{server.port}"
    options = (f"fluentd-address={address}", "fluentd-request-ack=true", "fluentd-retry-wait=50ms", "tag=x.{{.Name}}")
    docker("run", "--name", "fa", *_words("fluentd", *options), IMAGE, "sh", "-c", COUNT.format(3000))
    lines = server.wait(lambda lines: bool(lines) and lines[-1][2]["log"] == "line-2999")
    assert [record["log"] for _, _, record in lines] == _wanted(3000)  # what was cut was not taken: so none is twice
    assert server.refused
    assert server.refused[0][1]["log"] == "line-0"
    assert {tag for tag, _, _ in lines} == {"x.fa"}


def test_fluentd_that_is_cut_in_the_middle_gets_every_line(docker: Command, serve: Serve, engine: TestEngine) -> None:
    """The server and the engine are killed in turn: at least once is what an acknowledgement gives."""
    server = serve(FluentdServer, LOCAL)
    options = (f"fluentd-address=127.0.0.1:{server.port}", "fluentd-request-ack=true", "fluentd-retry-wait=50ms")
    script = "i=0; while [ $i -lt 400 ]; do echo line-$i; i=$((i+1)); usleep 3000; done"
    docker("run", "-d", "--name", "fc", *_words("fluentd", *options), IMAGE, "sh", "-c", script)
    for turn in range(4):
        server.wait(lambda lines, turn=turn: len(lines) > 60 * turn)
        if turn == 2:
            engine.kill()
            engine.start()
        else:
            server.cut()
    lines = server.wait(lambda lines: bool(lines) and lines[-1][2]["log"] == "line-399")
    assert sorted({record["log"] for _, _, record in lines}) == sorted(_wanted(400))


def test_fluentd_over_tls(
    serve: Serve, new_engine: Any, context: ssl.SSLContext, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its authority is one that this host believes."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate.authority)
    server = serve(FluentdServer, LOCAL, context)
    client = new_engine().client
    with client.stream("POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}) as stream:
        stream.read()
    options = {
        "fluentd-address": f"tls://127.0.0.1:{server.port}", "fluentd-request-ack": "true",
        "fluentd-sub-second-precision": "true",
    }  # fmt: skip
    log = {"Type": "fluentd", "Config": options}
    body = {"Image": IMAGE, "Cmd": ["echo", "secret"], "HostConfig": {"LogConfig": log, "NetworkMode": "none"}}
    identity = client.call("POST", "/containers/create", body)["Id"]
    client.call("POST", f"/containers/{identity}/start")
    ((tag, when, record),) = server.wait(lambda lines: len(lines) == 1)
    assert tag == identity[:12]
    assert when.code == 0
    assert record["log"] == "secret"
