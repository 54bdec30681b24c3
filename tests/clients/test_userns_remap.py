"""`wardian serve --userns-remap`: what docker's command line sees of it, and whose the files are on the host."""

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine
from images_made import Entry, MadeImage, busybox_image, busybox_layer, docker_archive, layer_tar
from wardian.home import Home

FIRST = 400000
FILLED = "remapped:test"


@pytest.fixture(scope="module")
def engine(new_home: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestEngine]:
    files = tmp_path_factory.mktemp("subids")
    for name in ("subuid", "subgid"):
        (files / name).write_text(f"dockremap:{FIRST}:65536\ncontainers:{FIRST + 100_000}:65536\n")
    found = TestEngine(new_home()._replace(userns_remap="default", subids=str(files)))
    layer = layer_tar({"data/": None, "data/a": Entry(b"from the image", 0o640, 1000, 1000)})
    images = {IMAGE: busybox_image(), FILLED: MadeImage([busybox_layer(), layer], {"Cmd": ["sh"]})}
    with found.client.stream("POST", "/images/load", docker_archive(images), {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine_with_image(engine: TestEngine) -> TestEngine:
    return engine


@pytest.fixture
def running(docker: Command) -> str:
    return docker.out("run", "-d", IMAGE, "sleep", "1000")


def test_all_are_mapped_but_who_asks_for_the_host(docker: Command) -> None:
    assert docker.out("run", "--rm", IMAGE, "cat", "/proc/self/uid_map").split() == ["0", str(FIRST), "65536"]
    said = docker.out("run", "--rm", "--userns", "host", IMAGE, "cat", "/proc/self/uid_map")
    assert said.split() == ["0", "0", "4294967295"]
    assert docker.out("run", "--rm", "--userns=host", "--privileged", "--net=host", IMAGE, "id", "-u") == "0"


def test_what_is_refused(docker: Command) -> None:
    said = docker("run", "--rm", "--privileged", IMAGE, "true", status=125).stderr.decode()
    assert "privileged mode is incompatible with user namespaces" in said
    said = docker("run", "--rm", "--network", "host", IMAGE, "true", status=125).stderr.decode()
    assert "cannot share the host's network namespace when user namespaces are enabled" in said


def test_info_and_inspect(docker: Command, running: str) -> None:
    assert "name=userns" in json.loads(docker.out("info", "--format", "{{json .SecurityOptions}}"))
    assert docker.out("inspect", "-f", "{{.HostConfig.UsernsMode}}", running) == ""


def test_exec(docker: Command, running: str, engine: TestEngine) -> None:
    assert docker.out("exec", running, "sh", "-c", "id -u; cat /proc/self/uid_map").split() == [
        "0", "0", str(FIRST), "65536",
    ]  # fmt: skip
    assert docker.out("exec", "-u", "77", running, "sh", "-c", "id -u; echo out > /dev/stdout").split() == ["77", "out"]
    docker("exec", running, "touch", "/by-exec")
    assert upper(engine, running, "by-exec").st_uid == FIRST


def test_a_terminal_belongs_to_its_user(docker: Command) -> None:
    name = docker.out(
        "run", "-dt", "-u", "55", IMAGE, "sh", "-c", "stat -c %u $(tty); echo x > /dev/console; sleep 1000"
    )
    for _ in range(200):
        if said := docker.out("logs", name).split():
            break
    assert said[0] == "55"


def upper(engine: TestEngine, container: str, path: str) -> os.stat_result:
    return os.lstat(os.path.join(engine.home.data_root, "containers", container, "upper", path))


@pytest.mark.parametrize("stopped", [False, True])
def test_cp_translates(docker: Command, running: str, engine: TestEngine, tmp_path: Path, stopped: bool) -> None:
    (tmp_path / "f").write_text("in")
    os.chown(tmp_path / "f", 12, 34)
    docker("exec", running, "sh", "-c", "echo out > /g; chown 9:10 /g")
    if stopped:
        docker("kill", running)
    docker("cp", "-a", str(tmp_path / "f"), f"{running}:/bin/f")
    with tarfile.open(fileobj=io.BytesIO(docker("cp", f"{running}:/g", "-").stdout)) as archive:
        (member,) = archive.getmembers()
    found = upper(engine, running, "bin/f")
    assert (found.st_uid, found.st_gid) == (FIRST + 12, FIRST + 34)
    assert upper(engine, running, "bin").st_uid == FIRST  # copied up: still of the container's root
    assert (member.uid, member.gid) == (9, 10)
    if stopped:
        docker("start", running)
    assert docker.out("exec", running, "stat", "-c", "%u:%g", "/bin/f", "/bin").split() == [
        "12:34", "0:0",
    ]  # fmt: skip


def test_export_and_commit_have_its_ids(docker: Command, running: str, tmp_path: Path) -> None:
    docker("exec", running, "sh", "-c", "echo x > /mine; chown 21:22 /mine; chown 3 /bin/busybox")
    docker("export", "-o", str(tmp_path / "all.tar"), running)
    listed = subprocess.run(
        ["tar", "--numeric-owner", "-tvf", str(tmp_path / "all.tar")], capture_output=True, text=True, check=True
    ).stdout
    owners = {line.split()[-1]: line.split()[1] for line in listed.splitlines()}
    assert owners["mine"] == "21/22" and owners["bin/busybox"] == "3/0" and owners["bin/"] == "0/0"
    docker("commit", running, "committed:test")
    try:
        said = docker.out(
            "run", "--rm", "--userns=host", "committed:test", "stat", "-c", "%u:%g", "/mine", "/bin/busybox"
        )
        assert said.split() == ["21:22", "3:0"]
        said = docker.out("run", "--rm", "committed:test", "stat", "-c", "%u:%g", "/mine", "/bin/busybox")
        assert said.split() == ["21:22", "3:0"]
    finally:
        docker("rmi", "-f", "committed:test")


def test_volumes_and_binds(docker: Command, engine: TestEngine, tmp_path: Path) -> None:
    volumes = os.path.join(engine.home.data_root, "volumes")
    try:
        docker("volume", "create", "plain")
        assert os.stat(f"{volumes}/plain/_data").st_uid == FIRST
        made = tmp_path / "above" / "made"
        script = "stat -c %u:%g /v /data /data/a /m; echo x > /v/x && echo x > /m/x && echo written"
        said = docker.out(
            "run", "--rm", "-v", "plain:/v", "-v", "filled:/data", "-v", f"{made}:/m", FILLED, "sh", "-c", script
        )
        assert said.split() == ["0:0", "0:0", "1000:1000", "0:0", "written"]
        found = os.stat(f"{volumes}/filled/_data/a")
        assert (found.st_uid, found.st_gid) == (FIRST + 1000, FIRST + 1000)
        assert (made / "x").stat().st_uid == FIRST and made.parent.stat().st_uid == FIRST
        root = tmp_path / "root"
        root.mkdir(mode=0o755)
        said = docker.out("run", "--rm", "-v", f"{root}:/m", IMAGE, "sh", "-c", "stat -c %u /m; > /m/x || echo refused")
        assert said.split()[:2] == ["65534", "refused"]  # the host's root is nobody there
    finally:
        docker("volume", "rm", "-f", "plain", "filled")


def test_a_joined_network_joins_the_user_namespace(docker: Command, running: str) -> None:
    said = docker.out("run", "--rm", "--network", f"container:{running}", IMAGE, "readlink", "/proc/self/ns/user")
    assert said == docker.out("exec", running, "readlink", "/proc/self/ns/user")
    said = docker("run", "--rm", "--userns=host", "--network", f"container:{running}", IMAGE, "true", status=None)
    assert said.returncode and b"is in another user namespace" in said.stderr


def test_a_device(docker: Command) -> None:
    said = docker.out(
        "run", "--rm", "--device", "/dev/null:/dev/mine", IMAGE, "sh", "-c", "echo x > /dev/mine; ls -l /dev/mine"
    )
    assert "1,   3" in said


def test_limits_above_the_host_s(docker: Command) -> None:
    said = docker.out("run", "--rm", "--ulimit", "nofile=3000:4000", IMAGE, "sh", "-c", "ulimit -n; ulimit -Hn")
    assert said.split() == ["3000", "4000"]


def test_it_lives_through_another_engine(docker: Command, running: str, engine: TestEngine) -> None:
    engine.kill()
    engine.start()
    assert docker.out("exec", running, "cat", "/proc/self/uid_map").split() == ["0", str(FIRST), "65536"]
    docker("kill", running)
    docker("start", running)
    assert docker.out("exec", running, "id", "-u") == "0"


# --- with what else containers have ---


def test_health_checks(docker: Command, wait_until: Callable[[Callable[[], bool], str], None]) -> None:
    check = ("--health-cmd", "test $(id -u) = 0 && touch /checked", "--health-interval", "100ms")
    name = docker.out("run", "-d", *check, IMAGE, "sleep", "1000")
    wait_until(lambda: docker.out("inspect", "-f", "{{.State.Health.Status}}", name) == "healthy", "it is well")
    assert docker.out("exec", name, "stat", "-c", "%u", "/checked") == "0"


@pytest.mark.parametrize("mode", [(), ("--userns", "auto:size=2000"), ("--userns", "keep-id")])
def test_init_top_and_stats(wardian: Command, mode: tuple[str, ...]) -> None:
    name = wardian.out("run", "-d", "--init", *mode, IMAGE, "sleep", "1000")
    assert "sleep" not in wardian.out("exec", name, "cat", "/proc/1/comm")
    rows = [line.split() for line in wardian.out("top", name, "-o", "pid,uid,comm").splitlines()[1:]]
    assert len(rows) == 2 and rows[1][2] == "sleep"
    first = int(wardian.out("exec", name, "cat", "/proc/self/uid_map").split()[1])
    assert {int(row[1]) for row in rows} == {first}  # as the host has it
    line = wardian.out("stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", name)
    assert line.split()[0] == "2" and line.split()[1] not in ("0B", "--")
    wardian("stop", "-t", "5", name)  # the init hands the signal on
    assert wardian.out("inspect", "-f", "{{.State.ExitCode}}", name) == "143"


@pytest.mark.parametrize("mode", [(), ("--userns", "auto:size=2000")])
def test_networks_and_published_ports(wardian: Command, mode: tuple[str, ...]) -> None:
    wardian("network", "create", "own")
    try:
        serve = "echo hello > /tmp/x; httpd -f -p 80 -h /tmp"
        name = wardian.out(
            "run", "-d", "--name", "web", *mode, "--network", "own", "-p", "127.0.0.1::80", IMAGE, "sh", "-c", serve
        )
        address = wardian.out("port", name, "80").split(":")
        for _ in range(100):
            said = subprocess.run(
                ["curl", "-s", "-m", "2", f"http://{':'.join(address)}/x"], capture_output=True, text=True
            ).stdout
            if said:
                break
            time.sleep(0.05)
        assert said == "hello\n"
        again = wardian.out("run", "--rm", *mode, "--network", "own", IMAGE, "wget", "-qO-", "http://web/x")
        assert again == "hello"
        assert wardian.out("run", "--rm", *mode, "--network", "own", IMAGE, "cat", "/sys/class/net/eth0/operstate")
        wardian("rm", "-f", name)
    finally:
        wardian("network", "rm", "-f", "own", status=None)


def test_an_image_as_a_mount(wardian: Command) -> None:
    mount = f"type=image,src={FILLED},dst=/img"
    for mode in ((), ("--userns", "auto:size=2000")):
        said = wardian.out("run", "--rm", *mode, "--mount", mount, IMAGE, "stat", "-c", "%u:%g", "/img", "/img/data/a")
        assert said.split() == ["0:0", "1000:1000"]
        wardian("create", "--name", "stopped", *mode, "--mount", mount, IMAGE, "true")
        header = wardian("cp", "stopped:/img/data/a", "-").stdout[:512]
        assert (int(header[108:115], 8), int(header[116:123], 8)) == (1000, 1000)
        wardian("rm", "stopped")
    part = f"{mount},image-subpath=data"
    assert wardian.out("run", "--rm", "--mount", part, IMAGE, "stat", "-c", "%u", "/img/a") == "1000"


def test_the_lines_of_the_default_are_made(new_home: Callable[[], Home], tmp_path: Path) -> None:
    found = TestEngine(new_home()._replace(userns_remap="default", subids=str(tmp_path)))
    found.close()
    assert (tmp_path / "subuid").read_text() == (tmp_path / "subgid").read_text() == "dockremap:100000:65536\n"
