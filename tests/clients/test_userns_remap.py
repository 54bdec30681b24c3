"""`wardian serve --userns-remap`: what docker's command line sees of it, and whose the files are on the host."""

import io
import json
import os
import subprocess
import tarfile
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
        (files / name).write_text(f"dockremap:{FIRST}:65536\n")
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
