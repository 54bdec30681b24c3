"""`wardian serve --config-file`: an engine with its options in a file, and SIGHUP."""

import json
import os
import signal
import subprocess
import sys

import pytest

from clients_shared import IMAGE
from engines import TestEngine
from images_made import busybox_image, docker_archive
from wardian.client.start import engine_answers, server_arguments
from wardian.kernel.procfs import status

FILE = {
    "labels": ["where=here"], "default-shm-size": "3m", "default-ulimits": {"nofile": {"Soft": 333, "Hard": 444}},
    "dns": ["192.0.2.53"], "dns-opts": ["ndots:3"], "dns-search": ["in.example"], "log-driver": "local", "init": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tmp_path_factory.mktemp("config") / "daemon.json"


@pytest.fixture(scope="module")
def engine(new_home, config):
    config.write_text(json.dumps(FILE))
    found = TestEngine(new_home(), "--config-file", str(config))
    archive = docker_archive({IMAGE: busybox_image()})
    with found.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine_with_image(engine):
    return engine


def test_what_containers_have_then(docker):
    script = "ulimit -n; ulimit -Hn; df -k /dev/shm | tail -n1; cat /etc/resolv.conf; cat /proc/1/comm"
    said = docker.out("run", "--rm", IMAGE, "sh", "-c", script).split()
    assert said[:2] == ["333", "444"] and "3072" in said
    assert "192.0.2.53" in said and "ndots:3" in said and "in.example" in said
    assert said[-1] != "sh"  # an init
    own = ("--ulimit", "nofile=55:66", "--shm-size", "2m", "--dns", "192.0.2.54", "--dns-search", "other")
    said = docker.out("run", "--rm", *own, IMAGE, "sh", "-c", script).split()
    assert said[:2] == ["55", "66"] and "2048" in said and "192.0.2.54" in said and "192.0.2.53" not in said
    identity = docker.out("create", IMAGE)
    assert docker.out("inspect", "-f", "{{.HostConfig.LogConfig.Type}} {{.HostConfig.ShmSize}}", identity) == (
        f"local {3 << 20}"
    )
    assert docker.out("info", "-f", "{{json .Labels}}") == '["where=here"]'


def test_reload(wardian, engine, config, wait_until):
    identity = wardian.out("run", "-d", IMAGE, "sleep", "1000")
    config.write_text(json.dumps(FILE | {"labels": ["where=there"], "default-shm-size": "5m", "log-driver": "none"}))
    os.kill(engine.pid, signal.SIGHUP)
    wait_until(lambda: wardian.out("info", "-f", "{{json .Labels}}") == '["where=there"]', "the labels are new")
    assert wardian.out("inspect", "-f", "{{.HostConfig.ShmSize}}", wardian.out("create", IMAGE)) == str(5 << 20)
    assert "takes effect when the engine is started again" in engine.log_text()
    assert "log-driver" in engine.log_text()
    assert wardian.out("info", "-f", "{{.LoggingDriver}}") == "local"
    config.write_text('{"nope": 1}')
    os.kill(engine.pid, signal.SIGHUP)
    wait_until(lambda: "any configuration option: nope" in engine.log_text(), "the error is logged")
    assert wardian.out("info", "-f", "{{json .Labels}}") == '["where=there"]'
    assert wardian.out("inspect", "-f", "{{.State.Running}}", identity) == "true"
    config.write_text(json.dumps(FILE))


def test_a_reload_that_is_asked_for_while_it_starts(wardian, engine, config, wait_until):
    assert engine.terminate() == 0
    words = [sys.executable, "-m", "wardian.server", *server_arguments(engine.home), *engine.arguments]
    with subprocess.Popen(words, cwd="/", stderr=subprocess.DEVNULL, start_new_session=True) as starting:
        wait_until(lambda: int(status(starting.pid)["SigCgt"], 16) & 1 << signal.SIGHUP - 1, "it hears SIGHUP")
        config.write_text(json.dumps(FILE | {"labels": ["where=meanwhile"]}))
        starting.send_signal(signal.SIGHUP)
        wait_until(lambda: engine_answers(engine.socket), "the engine answers")
        assert wardian.out("info", "-f", "{{json .Labels}}") == '["where=meanwhile"]'
        starting.terminate()
        assert starting.wait(20) == 0
    config.write_text(json.dumps(FILE))
    engine.start()


def test_serve_passes_it_on(tmp_path):
    (tmp_path / "d.json").write_text('{"storage-opts": []}')
    words = [sys.executable, "-m", "wardian.cli", "serve", "--config-file", "d.json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"with file {tmp_path}/d.json: the following directives don't match any" in done.stderr
