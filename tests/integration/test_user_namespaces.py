"""A user namespace for a container: what it is inside, and what it is outside."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benches import Bench, bench_with_subids, refused
from wardian.caller import calling
from wardian.errors import INVALID
from wardian.home import Home

FIRST, SIZE = 300000, 200000
AUTO = {"UsernsMode": "auto"}


@pytest.fixture(scope="module")
def shared_bench(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    lines = (f"containers:{FIRST}:{SIZE}", f"dockremap:{FIRST + SIZE}:65536")
    with bench_with_subids(new_home(), tmp_path_factory.mktemp("subids"), *lines) as bench:
        yield bench


def lines_of(bench: Bench, identity: str, many: int) -> list[str]:
    """Of a container that goes on."""
    end = time.monotonic() + 10
    while len(found := bench.output(identity).splitlines()) < many and time.monotonic() < end:
        time.sleep(0.02)
    return found


def outside(bench: Bench, identity: str, path: str) -> os.stat_result:
    return os.lstat(os.path.join(bench.home.data_root, "containers", identity, "upper", path))


def test_inside_it_is_root_and_outside_it_is_not(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", **AUTO)
    pid = bench.state(identity)["Pid"]
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(FIRST), "65536"]
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", str(FIRST), "65536"]
    assert os.stat(f"/proc/{pid}").st_uid == FIRST
    for kind in ("user", "net", "pid", "mnt", "uts", "ipc"):
        assert os.stat(f"/proc/{pid}/ns/{kind}").st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino
    assert bench.engine.containers.inspect(identity)["HostConfig"]["UsernsMode"] == "auto"


def test_it_sees_its_own_ids(bench: Bench) -> None:
    said = bench.said(
        "sh", "-c", "id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; stat -c %u:%g / /bin /etc/hosts", **AUTO
    )
    assert said.split() == ["0", "0", str(FIRST), "65536", "allow", "0:0", "0:0", "0:0"]


def test_files_of_layers_and_new_ones(bench: Bench) -> None:
    script = "echo x > /new; chown 7:8 /bin/busybox; rm /bin/sh; mkdir /d; chown 5 /d; > /d/f"
    script += "; stat -c %u:%g /new /bin/busybox /d"
    identity = bench.start("busybox", "sh", "-c", script, **AUTO)
    assert bench.finish(identity) == 0, bench.output(identity)
    assert bench.output(identity).split() == ["0:0", "7:8", "5:0"]
    found = outside(bench, identity, "bin/busybox")
    assert (found.st_uid, found.st_gid) == (FIRST + 7, FIRST + 8)
    assert outside(bench, identity, "new").st_uid == FIRST
    assert outside(bench, identity, "d").st_uid == FIRST + 5
    assert outside(bench, identity, "").st_uid == FIRST
    bench.run(bench.engine.containers.start(identity))  # a second start, on what the first left
    assert bench.finish(identity) != 255


def test_the_next_one_s_layers_are_untouched(bench: Bench) -> None:
    """Layers are shared: what one user namespace did is not there for the next one, nor for the host."""
    assert bench.said("stat", "-c", "%u", "/bin/busybox", **AUTO).strip() == "0"
    assert bench.said("stat", "-c", "%u", "/bin/busybox").strip() == "0"


def test_a_plain_user_and_standard_output(bench: Bench) -> None:
    said = bench.said(
        "sh",
        "-c",
        "id -u; id -g; echo again > /dev/stdout; echo no > /new || echo refused",
        fields={"User": "33:44"},
        **AUTO,
    )
    assert said.splitlines()[:3] == ["33", "44", "again"]
    assert "refused" in said


def test_devices_mounts_and_sysctls(bench: Bench) -> None:
    script = (
        "echo x > /dev/null && head -c 4 /dev/urandom | wc -c; mknod /x c 1 3 || echo no node;"
        "grep -c . /proc/mounts > /dev/null; ls -d /sys/class/net /proc/1 /dev/shm /dev/mqueue /dev/pts;"
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range; hostname"
    )
    said = bench.said("sh", "-c", script, fields={"Hostname": "inner"}, **AUTO)
    assert "no node" in said and "inner" in said and "0\t65535" in said and "/sys/class/net" in said


def test_a_capability_is_one_over_its_own(bench: Bench) -> None:
    script = "mount -t tmpfs none /mnt && echo mounted; echo 1 > /proc/sys/vm/drop_caches || echo not the host"
    options = {"CapAdd": ["SYS_ADMIN"], "SecurityOpt": ["seccomp=unconfined", "systempaths=unconfined"]}
    said = bench.said("sh", "-c", f"mkdir -p /mnt; {script}", **AUTO, **options)
    assert "mounted" in said and "not the host" in said


def test_on_the_default_bridge(bench: Bench) -> None:
    """Its network namespace belongs to its user namespace: it may ping, and set what is its own."""
    gateway = "$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')"
    script = f"ip -o addr show eth0; ping -c 1 -W 2 {gateway} && ip link add dummy9 type dummy; ls /sys/class/net"
    identity = bench.start("sh", "-c", f"{script}; sleep 1000", NetworkMode="bridge", CapAdd=["NET_ADMIN"], **AUTO)
    end = time.monotonic() + 8
    while "lo" not in bench.output(identity).split() and time.monotonic() < end:
        time.sleep(0.05)
    said = bench.output(identity)
    assert " 0% packet loss" in said and "eth0" in said.split(), said
    bench.run(bench.engine.containers.remove(identity, force=True))


def test_a_published_port(bench: Bench) -> None:
    ports = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    serve = "echo served | nc -l -p 80"
    identity = bench.start("sh", "-c", serve, NetworkMode="bridge", PortBindings=ports, fields={"User": "12"}, **AUTO)
    port = bench.engine.containers.inspect(identity)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    end, data = time.monotonic() + 8, b""
    while not data and time.monotonic() < end:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", int(port)), 5) as stream:
            data = stream.recv(100)
        time.sleep(0.05)
    assert data == b"served\n"


def test_two_have_ids_of_their_own(bench: Bench) -> None:
    one, two = (bench.start("sleep", "1000", UsernsMode="auto:size=5000") for _ in range(2))
    pids = [bench.state(identity)["Pid"] for identity in (one, two)]
    found = [int(Path(f"/proc/{pid}/uid_map").read_text().split()[1]) for pid in pids]
    assert abs(found[0] - found[1]) >= 5000 and all(FIRST <= first < FIRST + SIZE for first in found)
    message = refused(INVALID, lambda: bench.create("true", UsernsMode=f"auto:size={SIZE}"))
    assert "subordinate ids are left" in message


def test_two_that_are_created_at_once_have_ids_of_their_own(bench: Bench, tmp_path: Path) -> None:
    """Between the choice of ids and the row create waits: for a look at the source of a bind, here."""
    mount = {"Type": "bind", "Source": str(tmp_path), "Target": "/x"}
    host = {"NetworkMode": "none", "UsernsMode": "auto:size=5000", "Mounts": [mount]}
    body = {"Image": "busybox", "Cmd": ["cat", "/proc/self/uid_map"], "HostConfig": host}

    async def both() -> list[str]:
        made = await asyncio.gather(*(bench.engine.containers.create(body, None) for _ in range(2)))
        return [str(one["Id"]) for one in made]

    firsts = set()
    for identity in bench.run(both()):
        bench.run(bench.engine.containers.start(identity))
        bench.finish(identity)
        firsts.add(bench.output(identity).split()[1])
    assert len(firsts) == 2


def test_private_is_one_range_for_all(bench: Bench) -> None:
    said = {bench.said("cat", "/proc/self/uid_map", UsernsMode="private") for _ in range(2)}
    assert [one.split() for one in said] == [["0", str(FIRST), str(SIZE)]]


def test_keep_id(bench: Bench) -> None:
    """Of root: all ids are what they are, in a namespace of its own all the same. Of another: he is himself inside."""
    said = bench.said("sh", "-c", "cat /proc/self/uid_map; id -u; readlink /proc/self/ns/user", UsernsMode="keep-id")
    assert said.split()[:4] == ["0", "0", "4294967295", "0"]
    assert said.split()[4] != os.readlink("/proc/self/ns/user")

    async def asked() -> str:
        calling("uid 1234 pid 77 (docker)")
        body = {"Image": "busybox", "Cmd": ["sh", "-c", "id -u; cat /proc/self/uid_map"]}
        body |= {"HostConfig": {"UsernsMode": "keep-id", "NetworkMode": "none"}}
        return str((await bench.engine.containers.create(body))["Id"])

    identity = bench.run(asked())
    bench.run(bench.engine.containers.start(identity))
    assert bench.finish(identity) == 0, bench.output(identity)
    words = bench.output(identity).split()
    assert words[0] == "1234"
    assert words[1:] == ["0", str(FIRST), "1234", "1234", "1234", "1", "1235", str(FIRST + 1234), str(SIZE - 1234)]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"Privileged": True}, "privileged mode is incompatible with user namespaces"),
        ({"NetworkMode": "host"}, "cannot share the host's network namespace when user namespaces are enabled"),
        ({"PidMode": "host"}, "cannot share the host PID namespace when user namespaces are enabled"),
        ({"UsernsMode": "nonsense"}, "invalid user namespace mode"),
        ({"UsernsMode": "auto:size=0"}, "invalid option"),
    ],
)
def test_what_does_not_go_together(bench: Bench, host: dict[str, Any], words: str) -> None:
    assert words in refused(INVALID, lambda: bench.create("true", **(AUTO | host)))
