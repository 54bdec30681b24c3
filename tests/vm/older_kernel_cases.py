"""What runs inside the machine besides cgroup2_cases.py: an older kernel's calls, and the engine's death."""

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pytest

from benches import Bench
from engines import TestEngine
from images_made import MadeImage, busybox_layer, docker_archive, layer_tar
from vm.cgroup2_cases import read, running, steps


def execute(bench: Bench, identity: str, *command: str) -> tuple[str, int]:
    """What an exec printed, and its code."""

    async def carry_out() -> tuple[str, int]:
        body = {"AttachStdout": True, "AttachStderr": True, "Tty": True, "Cmd": list(command)}
        made = (await bench.engine.execs.create(identity, body))["Id"]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        await bench.engine.execs.start(made, {"Tty": True}).hand_over(theirs.detach(), b"")
        text = b""
        while chunk := await asyncio.get_running_loop().sock_recv(ours, 65536):
            text += chunk
        ours.close()
        return text.decode().replace("\r", ""), int(bench.engine.execs.inspect(made)["ExitCode"])

    return bench.run(carry_out())


def layered() -> bytes:
    """Four layers: a user, a file that goes, its end and a directory made anew, another user's."""
    passwd = b"root:x:0:0::/root:/bin/sh\nlayer:x:77:77::/:/bin/sh\n"
    layers = [
        busybox_layer(),
        layer_tar({"etc/passwd": passwd, "gone": b"old", "made/": None, "made/old": b"old"}),
        layer_tar({".wh.gone": b"", "made/": None, "made/.wh..wh..opq": b"", "made/new": b"new"}),
        layer_tar({"top": b"top"}),
    ]
    return docker_archive({"layered:1": MadeImage(layers, {"Cmd": ["sh"], "User": "layer"})})


@contextlib.contextmanager
def whole(data: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


@pytest.fixture
def many_layers(bench: Bench) -> str:
    with whole(layered()) as file:
        bench.run(bench.engine.images.load(file, lambda message: None))
    return "layered:1"


def test_layers_upon_layers(bench: Bench, many_layers: str) -> None:
    """Whiteouts and opaque directories hold; the user's name is read from a lower layer, through a view."""
    script = "id -u; ls / | grep -c gone; ls /made; cat /top; grep -c overlay /proc/mounts"
    identity = bench.start("sh", "-c", script, fields={"Image": many_layers})
    assert bench.finish(identity) == 0
    assert bench.output(identity).split() == ["77", "0", "new", "top1"]
    (older,) = (step for step in steps(bench, identity) if "lowerdir=" in step)
    assert older.count(":") >= 3, older


def test_an_import_is_an_image(bench: Bench) -> None:
    load = bench.engine.images.import_
    with whole(busybox_layer()) as file:
        bench.run(load(file, "imported", "1", "", (), "", lambda message: None))
    identity = bench.start("sh", "-c", "exit 4", fields={"Image": "imported:1"})
    assert bench.finish(identity) == 4


def test_exec_is_in_the_container_and_its_group(bench: Bench) -> None:
    identity, path = running(bench)
    text, code = execute(bench, identity, "sh", "-c", "hostname; cat /proc/self/cgroup; cat /proc/1/comm; exit 5")
    assert (text.split(), code) == ([identity[:12], "0::/", "sleep"], 5)
    before = set(read(f"{path}/cgroup.procs").split())
    execute(bench, identity, "sh", "-c", "trap '' HUP; sleep 1000 >/dev/null & exit 0")
    (more,) = set(read(f"{path}/cgroup.procs").split()) - before
    assert read(f"/proc/{more}/comm") == "sleep"


def test_the_namespace_of_groups_is_private_as_dockers(bench: Bench) -> None:
    identity, path = running(bench)
    assert bench.engine.containers.inspect(identity)["HostConfig"]["CgroupnsMode"] == "private"
    pid = bench.state(identity)["Pid"]
    assert os.readlink(f"/proc/{pid}/ns/cgroup") != os.readlink("/proc/self/ns/cgroup")
    assert bench.said("cat", "/proc/self/cgroup") == "0::/\n"
    assert "cgroup.procs" in bench.said("ls", "/sys/fs/cgroup")
    of_host = bench.said("cat", "/proc/self/cgroup", CgroupnsMode="host")
    assert of_host.startswith("0::/wardian-test/") and path.endswith(identity)


def test_the_default_bridge(bench: Bench) -> None:
    """Address, route and names; two containers reach each other; the engine's table is there."""
    first = bench.start("sleep", "1000", NetworkMode="bridge")
    network = bench.engine.containers.inspect(first)["NetworkSettings"]
    assert network["IPAddress"]
    said = bench.said("sh", "-c", f"ip route && ping -c 1 -W 2 {network['IPAddress']}", NetworkMode="bridge")
    assert f"default via {network['Gateway']}" in said and "1 packets received" in said
    table = subprocess.run(
        ["nft", "list", "table", "inet", f"wardian-{bench.home.bridge}"], capture_output=True, text=True, check=True
    ).stdout
    assert "masquerade" in table


def test_the_engine_dies_and_the_container_goes_on(new_engine: Callable[[], TestEngine]) -> None:
    engine = new_engine()
    load(engine)
    script = "trap 'exit 9' TERM; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.1; done"
    identity = start(engine, "sh", "-c", script)
    pid = inspect(engine, identity)["State"]["Pid"]
    engine.kill()
    time.sleep(1)
    assert os.path.exists(f"/proc/{pid}")
    engine.start()
    state = inspect(engine, identity)["State"]
    assert (state["Running"], state["Pid"]) == (True, pid)
    engine.client.call("POST", f"/containers/{identity}/kill", query={"signal": "TERM"})
    waited: Any = engine.client.call("POST", f"/containers/{identity}/wait")
    assert waited["StatusCode"] == 9
    logs = engine.client.request("GET", f"/containers/{identity}/logs", query={"stdout": True}).body
    assert [b"line %d\n" % number in logs for number in range(10)] == [True] * 10


def load(engine: TestEngine) -> None:
    archive = docker_archive({"busybox:latest": MadeImage([busybox_layer()], {"Cmd": ["sh"]})})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        stream.read()


def start(engine: TestEngine, *command: str, **host: Any) -> str:
    body = {"Image": "busybox", "Cmd": list(command), "HostConfig": {"NetworkMode": "none"} | host}
    made: Any = engine.client.call("POST", "/containers/create", body=body)
    engine.client.call("POST", f"/containers/{made['Id']}/start")
    return str(made["Id"])


def inspect(engine: TestEngine, identity: str) -> dict[str, Any]:
    found: Any = engine.client.call("GET", f"/containers/{identity}/json")
    return dict(found)
