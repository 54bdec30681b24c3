"""connect and disconnect that somebody did not see the end of: a client that hung up, an engine that was killed."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine
from images_made import busybox_image, docker_archive

WEB = ("httpd", "-f", "-p", "80", "-h", "/etc")
# A module that Python imports first kills the engine when it is about to tell a supervisor of a change.
KILLED = """
import sys
if "wardian.server" in sys.orig_argv:
    import os
    from wardian.engine import connections

    real = connections.hand_over

    async def killed(container, changed):
        if changed.steps:
            os.kill(os.getpid(), 9)
        await real(container, changed)

    connections.hand_over = killed
"""
# The same before or after a method of the networks.
KILLED_AT = """
import sys
if "wardian.server" in sys.orig_argv:
    import os
    from wardian.network.attachments import Attachments
    from wardian.network.plumbing import Plumbing
    from wardian.network.state import NetworkRows

    real = {where}

    def killed(*given):
        if "{when}" == "after":
            real(*given)
        os.kill(os.getpid(), 9)

    {where} = killed
"""


@pytest.fixture
def own(new_engine: Callable[..., TestEngine]) -> TestEngine:
    made = new_engine()
    with made.client.stream(
        "POST", "/images/load", docker_archive({IMAGE: busybox_image()}), {"quiet": True}
    ) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    for number, name in enumerate(("a-net", "b-net"), 7):
        made.client.call(
            "POST", "/networks/create", {"Name": name, "IPAM": {"Config": [{"Subnet": f"10.214.{number}.0/24"}]}}
        )
    return made


@pytest.fixture
def docker(own: TestEngine) -> Iterator[Command]:
    command = Command([sys.executable, "-m", "wardian.cli"], {**os.environ, "DOCKER_HOST": own.url})
    yield command
    command("rm", "-f", *command.out("ps", "-aq").split(), "none", status=None)
    command("network", "rm", "a-net", "b-net")


def settings(docker: Command, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker.out("inspect", "-f", "{{json .NetworkSettings}}", name))
    return found


def on(docker: Command, network: str) -> list[str]:
    found = json.loads(docker.out("network", "inspect", "-f", "{{json .Containers}}", network))
    return [one["Name"] for one in found.values()]


def page(host: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/hostname", timeout=5) as answer:
        text: str = answer.read().decode().strip()
        return text


def addresses(docker: Command, name: str) -> set[str]:
    """What the kernel says that it has, and what its hosts file says."""
    lines = docker.out("exec", name, "ip", "-o", "-4", "address").splitlines()
    has = {line.split()[3].partition("/")[0] for line in lines} - {"127.0.0.1"}
    listed = {line.split()[0] for line in docker.out("exec", name, "cat", "/etc/hosts").splitlines()}
    assert {one for one in listed if one.startswith("10.")} == has
    return has


@pytest.mark.parametrize("pause", [0, 0.001, 0.004, 0.02])
def test_a_client_that_hangs_up_amid_disconnect(own: TestEngine, docker: Command, pause: float) -> None:
    docker("run", "-d", "--name", "web", "-p", "[::1]::80", "--network", "name=b-net,gw-priority=1",
           "--network", "a-net", IMAGE, *WEB)  # fmt: skip
    port = int(docker.out("port", "web", "80").rpartition(":")[2])
    gone = settings(docker, "web")["Networks"]["b-net"]["IPAddress"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(own.socket)
        body = json.dumps({"Container": "web"})
        head = ("POST /networks/b-net/disconnect HTTP/1.1", "Host: x", "Content-Type: application/json")
        client.sendall("\r\n".join((*head, f"Content-Length: {len(body)}", "", body)).encode())
        time.sleep(pause)
    end = time.monotonic() + 5
    while "b-net" in settings(docker, "web")["Networks"] and time.monotonic() < end:
        time.sleep(0.01)
    assert list(settings(docker, "web")["Networks"]) == ["a-net"] and on(docker, "b-net") == []
    assert addresses(docker, "web") == {settings(docker, "web")["Networks"]["a-net"]["IPAddress"]} != {gone}
    assert page("[::1]", port), "its supervisor relays to where it is now"


@pytest.mark.parametrize("change", ["led elsewhere", "led nowhere"])
def test_an_engine_killed_before_it_told_the_supervisor(
    own: TestEngine, docker: Command, change: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[::1] is relayed by the supervisor: what it was told last is where that leads."""
    more = ("--network", "a-net") if change == "led elsewhere" else ()
    docker("run", "-d", "--name", "web", "-p", "[::1]::80", "--network", "name=b-net,gw-priority=1", *more, IMAGE, *WEB)
    port = int(docker.out("port", "web", "80").rpartition(":")[2])
    assert page("[::1]", port)
    (tmp_path / "sitecustomize.py").write_text(KILLED)
    own.terminate()
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", str(tmp_path))
        own.start()
    docker("network", "disconnect", "b-net", "web", status=1)
    own.kill()
    own.start()
    assert on(docker, "b-net") == []
    assert list(settings(docker, "web")["Networks"]) == ["a-net"][: len(more) // 2], "what was begun is ended"
    assert len(addresses(docker, "web")) == len(more) // 2
    if change == "led elsewhere":
        assert page("[::1]", port)
    else:
        with pytest.raises((OSError, http.client.HTTPException)):
            page("[::1]", port)
        listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout
        assert f"[::1]:{port} " not in listening, "released"
    docker("network", "connect", "b-net", "web")
    assert len(addresses(docker, "web")) == len(more) // 2 + 1


@pytest.mark.parametrize(("where", "when"), [
    ("Attachments._disconnect", "before"), ("Plumbing._disconnect", "before"), ("Plumbing._disconnect", "after"),
    ("NetworkRows.release", "after"),
])  # fmt: skip
def test_an_engine_killed_amid_disconnect(
    own: TestEngine, docker: Command, where: str, when: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever that was: it is off the network, in the kernel and in inspect, and may come back."""
    docker("run", "-d", "--name", "web", "--network", "b-net", "--network", "a-net", IMAGE, *WEB)
    (tmp_path / "sitecustomize.py").write_text(KILLED_AT.format(where=where, when=when))
    own.terminate()
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", str(tmp_path))
        own.start()
    docker("network", "disconnect", "b-net", "web", status=1)
    own.kill()
    own.start()
    assert list(settings(docker, "web")["Networks"]) == ["a-net"] and on(docker, "b-net") == []
    assert addresses(docker, "web") == {settings(docker, "web")["Networks"]["a-net"]["IPAddress"]}
    docker("network", "connect", "b-net", "web")
    assert addresses(docker, "web") == {one["IPAddress"] for one in settings(docker, "web")["Networks"].values()}
    assert len(settings(docker, "web")["Networks"]) == 2


def test_a_connection_that_is_relayed_goes_on_when_an_engine_comes(own: TestEngine, docker: Command) -> None:
    docker("run", "-d", "--name", "echo", "-p", "[::1]::80", IMAGE, "nc", "-l", "-p", "80", "-e", "cat")
    port = int(docker.out("port", "echo", "80").rpartition(":")[2])
    with socket.create_connection(("::1", port), 5) as client:
        for text in (b"before", b"after"):
            client.sendall(text)
            assert client.recv(64) == text
            if text == b"before":
                own.kill()
                own.start()


def test_hosts_has_what_the_container_has_when_it_starts_again(docker: Command) -> None:
    docker("create", "--name", "c1", "--network", "a-net", "--network", "b-net", IMAGE, "sleep", "100")
    docker("start", "c1")
    docker("exec", "c1", "sh", "-c", "echo 192.0.2.7 mine >> /etc/hosts")
    assert len(addresses(docker, "c1")) == 2
    for left, network in ((1, "b-net"), (0, "a-net")):
        docker("stop", "-t", "0", "c1")
        docker("network", "disconnect", network, "c1")
        docker("start", "c1")
        assert len(addresses(docker, "c1")) == left
    assert "192.0.2.7 mine" in docker.out("exec", "c1", "cat", "/etc/hosts"), "the container's own line stays"
