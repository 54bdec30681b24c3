"""What a newcomer from Docker 28 meets in the first hour: the same files, modes and words (compared with it)."""

import os
import stat
from typing import Any

import pytest

from benches import Bench, refused
from wardian.errors import INVALID


def words_of_start(bench: Bench, *command: str, **host: Any) -> str:
    identity = bench.create(*command, **host)
    return refused(INVALID, lambda: bench.run(bench.engine.containers.start(identity)))


@pytest.mark.parametrize(
    "host, reason",
    [
        ({"Binds": ["/usr:/proc"]}, "it is not of type proc"),
        ({"Binds": ["/usr:/proc/"]}, "it is not of type proc"),
        ({"Tmpfs": {"/proc": ""}}, "it is not of type proc"),
        ({"Mounts": [{"Type": "tmpfs", "Target": "/proc"}]}, "it is not of type proc"),
        ({"Binds": ["/usr:/proc/sys"]}, "it is inside /proc"),
        ({"Tmpfs": {"/proc/acpi": ""}}, "it is inside /proc"),
    ],
)
def test_proc_is_the_kernels(bench: Bench, host: dict[str, Any], reason: str) -> None:
    assert words_of_start(bench, "true", **host).endswith(f"cannot be mounted because {reason}")


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": ["/proc:/proc"]},
        {"Binds": ["/etc/passwd:/proc/uptime"]},
        {"Tmpfs": {"/sys": ""}},
        {"Binds": ["/usr:/sys"]},
    ],
)
def test_what_docker_lets_one_mount_there(bench: Bench, host: dict[str, Any]) -> None:
    bench.said("true", **host)


def test_a_tmpfs_has_the_mode_of_what_it_covers(bench: Bench) -> None:
    def mode(path: str, **host: Any) -> str:
        return bench.said("stat", "-c", "%a %u %g", path, **host).strip()

    assert mode("/etc", Tmpfs={"/etc": ""}) == mode("/etc") == "755 0 0"
    assert mode("/new", Tmpfs={"/new": ""}) == "1777 0 0"
    assert mode("/bin/x", Tmpfs={"/bin/x": "mode=700"}) == "700 0 0"
    assert mode("/new", Mounts=[{"Type": "tmpfs", "Target": "/new"}]) == "1777 0 0"
    assert mode("/etc", Mounts=[{"Type": "tmpfs", "Target": "/etc"}]) == "755 0 0"
    assert mode("/etc", Mounts=[{"Type": "tmpfs", "Target": "/etc", "TmpfsOptions": {"Mode": 0o710}}]) == "710 0 0"


@pytest.mark.parametrize("source", ["/etc/passwd", "EMPTY"])
def test_what_is_no_device(bench: Bench, source: str, tmp_path: Any) -> None:
    source = str(tmp_path) if source == "EMPTY" else source
    device = {"PathOnHost": source, "PathInContainer": source, "CgroupPermissions": "rwm"}
    words = f'error gathering device information while adding custom device "{source}": not a device node'
    assert refused(INVALID, lambda: bench.start("true", Devices=[device])) == words


def test_privileged_has_every_device_of_the_host(bench: Bench) -> None:
    here = {name for name in os.listdir("/dev") if _is_device(f"/dev/{name}")} - {"console"}
    assert here <= set(bench.said("ls", "/dev", Privileged=True).split())


def _is_device(path: str) -> bool:
    mode = os.lstat(path).st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


@pytest.mark.parametrize("asked", ["default", "bridge", ""])
def test_the_mode_default_is_bridge(bench: Bench, asked: str) -> None:
    identity = bench.create("true", NetworkMode=asked)
    assert bench.engine.containers.inspect(identity)["HostConfig"]["NetworkMode"] == "bridge"
    (line,) = bench.engine.containers.list(all=True)
    assert line["HostConfig"]["NetworkMode"] == "bridge"


def test_the_kernels_refusals_of_a_command(bench: Bench) -> None:
    assert words_of_start(bench, "echo", "x" * 140_000) == "exec echo: argument list too long"


def test_a_resize_without_a_terminal_is_nothing(bench: Bench) -> None:
    identity = bench.start("sleep", "60")
    bench.run(bench.engine.containers.resize(identity, 10, 10))
