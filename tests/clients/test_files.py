"""cp, diff, export and commit: what people type, by docker's command line, ours, and docker-py."""

import contextlib
import io
import json
import os
import stat
import subprocess
import tarfile
import threading
import time

import docker as docker_py
import pytest
import requests

from clients_shared import IMAGE

FILES = (
    "mkdir -p /d/e; echo hi >/d/f; echo 2 >/d/e/g; ln -s /d /ln; ln -s nope /broken; ln /d/f /d/hard; mkfifo /d/fifo;"
    " rm /etc/group; echo t >/tm/t; touch /ready; exec sleep 1000"
)


@pytest.fixture
def running(docker, tmp_path):
    """A container with files, a tmpfs and binds; its name."""
    for name in ("bind", "read-only"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "here").write_text("host\n")
    binds = ["-v", f"{tmp_path}/bind:/bind", "-v", f"{tmp_path}/read-only:/ro:ro", "--tmpfs", "/tm"]
    docker("run", "-d", "--name", "files", *binds, IMAGE, "sh", "-c", FILES)
    docker("exec", "files", "sh", "-c", "until [ -e /ready ]; do sleep 0.01; done")
    return "files"


@pytest.fixture(params=["running", "stopped"])
def container(request, docker, running):
    if request.param == "stopped":
        docker("kill", running)
        docker("wait", running)
    return running


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def test_out_of_a_container(docker, container, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    docker("cp", f"{container}:/d/f", str(out))
    assert (out / "f").read_text() == "hi\n"
    docker("cp", f"{container}:/d/f", str(out / "other"))
    assert (out / "other").read_text() == "hi\n"
    docker("cp", f"{container}:/d", str(out))
    assert (out / "d/e/g").read_text() == "2\n"
    assert stat.S_ISFIFO((out / "d/fifo").stat().st_mode)
    assert (out / "d/f").stat().st_ino == (out / "d/hard").stat().st_ino
    docker("cp", f"{container}:/d", str(out / "new"))
    assert (out / "new/f").read_text() == "hi\n"
    docker("cp", f"{container}:/d/.", str(out / "inner"))
    assert (out / "inner/f").read_text() == "hi\n"
    docker("cp", f"{container}:/ln", str(out))
    assert os.readlink(out / "ln") == "/d"
    docker("cp", "-L", f"{container}:/ln", str(out / "followed"))
    assert (out / "followed/f").read_text() == "hi\n"
    assert names(docker("cp", f"{container}:/d/f", "-").stdout) == ["f"]
    assert sorted(names(docker("cp", f"{container}:/d/.", "-").stdout))[:2] == [".", "./e"]


def test_into_a_container(docker, container, tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "a").write_text("first\n")
    (source / "a").chmod(0o750)
    (source / "deep/b").write_text("second\n")
    docker("cp", str(source / "a"), f"{container}:/d/")
    docker("cp", str(source / "a"), f"{container}:/d/new")
    docker("cp", str(source), f"{container}:/d")
    docker("cp", str(source), f"{container}:/made")
    docker("cp", f"{source}/.", f"{container}:/d/e")
    docker("cp", str(source / "a"), f"{container}:/ln")
    docker("cp", "-", f"{container}:/tmp", stdin=archive_of({"from/stdin": b"third\n"}))
    docker("cp", str(source / "a"), f"{container}:/broken")
    listed = names(docker("export", container).stdout)
    for path in ("d/a", "d/new", "d/source/deep/b", "made/a", "d/e/a", "tmp/from/stdin", "nope"):
        assert path in listed, path
    with tarfile.open(fileobj=io.BytesIO(docker("cp", f"{container}:/d/new", "-").stdout)) as archive:
        assert archive.getmembers()[0].mode == 0o750


def archive_of(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


def test_mounts_are_seen_as_the_container_sees_them(docker, container, tmp_path):
    docker("cp", f"{container}:/bind/here", str(tmp_path / "read"))
    assert (tmp_path / "read").read_text() == "host\n"
    (tmp_path / "in").write_text("from outside\n")
    docker("cp", str(tmp_path / "in"), f"{container}:/bind/written")
    assert (tmp_path / "bind/written").read_text() == "from outside\n"
    refused = docker("cp", str(tmp_path / "in"), f"{container}:/ro", status=1)
    assert b"mounted volume is marked read-only" in refused.stderr
    assert os.listdir(tmp_path / "read-only") == ["here"]


def test_a_tmpfs_is_seen_while_it_is_there(docker, running, tmp_path):
    docker("cp", f"{running}:/tm/t", str(tmp_path))
    assert (tmp_path / "t").read_text() == "t\n"
    docker("cp", str(tmp_path / "t"), f"{running}:/tm/u")
    assert docker.out("exec", running, "cat", "/tm/u") == "t"


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("files:/nope", ".", "Could not find the file /nope in container files"),
        ("nosuch:/x", ".", "No such container: nosuch"),
        ("files:/d/f", "nodir/x", "invalid output path: directory"),
        ("files:/d/f", "missing/", "no such directory"),
        ("files:a", "files:b", "copying between containers is not supported"),
        ("a", "b", "must specify at least one container source"),
        ("", "files:/b", "source can not be empty"),
        ("nope", "files:/d", "no such file or directory"),
        ("file", "files:/missing/", "no such directory"),
        ("file", "files:/missing/x", "Could not find the file /missing in container files"),
        (".", "files:/d/f", "cannot copy directory"),
        ("-", "files:/d/f", 'destination "files:/d/f" must be a directory'),
        ("file", "files:/dev/null", "must be a directory or a regular file: got a device"),
        ("file", "files:/etc/hosts", "RemoveAll hosts: device or resource busy"),
    ],
)
def test_what_cp_refuses(docker, running, tmp_path, monkeypatch, source, target, words):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "work/file").write_text("x")
    refused = docker("cp", source, target, status=1, stdin=b"")
    assert words in refused.stderr.decode()
    assert sorted(os.listdir(tmp_path / "work")) == ["file"]


def test_a_directory_is_not_replaced_by_a_file_nor_the_other_way_round(docker, running, tmp_path):
    (tmp_path / "e").write_text("a file\n")
    refused = docker("cp", str(tmp_path / "e"), f"{running}:/d", status=1)
    assert b'cannot overwrite directory "e" with non-directory "/d"' in refused.stderr
    (tmp_path / "f").mkdir()
    refused = docker("cp", str(tmp_path / "f"), f"{running}:/d", status=1)
    assert b'cannot overwrite non-directory "f" with directory "/d"' in refused.stderr


def test_archive_mode_gives_all_to_the_containers_user(docker, tmp_path):
    (tmp_path / "mine").write_text("x")
    os.chown(tmp_path / "mine", 1234, 2345)
    docker("create", "--name", "owned", "--user", "7:8", IMAGE, "true")
    docker("cp", str(tmp_path / "mine"), "owned:/kept")
    docker("cp", "-a", str(tmp_path / "mine"), "owned:/given")
    with tarfile.open(fileobj=io.BytesIO(docker("export", "owned").stdout)) as archive:
        assert (archive.getmember("kept").uid, archive.getmember("kept").gid) == (1234, 2345)
        assert (archive.getmember("given").uid, archive.getmember("given").gid) == (7, 8)


def test_a_read_only_root_is_not_written(docker, tmp_path):
    (tmp_path / "f").write_text("x")
    docker("run", "-d", "--name", "fixed", "--read-only", "--tmpfs", "/tm", IMAGE, "sleep", "1000")
    refused = docker("cp", str(tmp_path / "f"), "fixed:/", status=1)
    assert b"container rootfs is marked read-only" in refused.stderr
    docker("cp", str(tmp_path / "f"), "fixed:/tm/")
    assert docker.out("exec", "fixed", "cat", "/tm/f") == "x"


def test_diff(docker, container):
    # /bind, /ro and /tm: where its mounts are, made at the start
    assert docker.out("diff", container).splitlines() == [
        "A /bind",
        "A /broken",
        "A /d",
        "A /d/e",
        "A /d/e/g",
        "A /d/f",
        "A /d/fifo",
        "A /d/hard",
        "C /etc",
        "D /etc/group",
        "A /ln",
        "A /ready",
        "A /ro",
        "A /tm",
    ]


def test_diff_of_what_changed_nothing(docker):
    docker("run", "--name", "nothing", IMAGE, "true")
    assert docker.out("diff", "nothing") == ""
    docker("run", "--name", "modes", IMAGE, "sh", "-c", "chmod 700 /bin; touch /bin; rm -r /root; mkdir -p /root/x")
    assert docker.out("diff", "modes").splitlines() == ["C /bin", "C /root", "A /root/x"]


def test_export(docker, container, tmp_path):
    docker("export", "-o", str(tmp_path / "all.tar"), container)
    listed = subprocess.run(
        ["tar", "tf", tmp_path / "all.tar"], stdout=subprocess.PIPE, check=True, text=True
    ).stdout.splitlines()
    assert {"d/", "d/f", "ln", "bind/", "bin/busybox"} <= set(listed)
    assert "etc/group" not in listed
    assert "bind/here" not in listed
    assert not [name for name in listed if name.startswith("proc/") and name != "proc/"]
    docker("import", str(tmp_path / "all.tar"), "exported:1")
    try:
        assert docker.out("run", "--rm", "exported:1", "cat", "/d/e/g") == "2"
    finally:
        docker("rmi", "exported:1")


def test_commit(docker, container):
    changes = ("-c", 'CMD ["cat", "/d/f"]', "-c", "ENV A=b", "-m", "a note", "-a", "somebody")
    identity = docker.out("commit", "-p=false", *changes, container, "committed:1").strip()
    try:
        image = json.loads(docker.out("image", "inspect", "committed:1"))[0]
        assert image["Id"] == identity
        assert (image["Author"], image["Comment"]) == ("somebody", "a note")
        assert image["Config"]["Cmd"] == ["cat", "/d/f"]
        assert "A=b" in image["Config"]["Env"]
        assert docker.out("run", "--rm", "committed:1") == "hi"
        assert docker.out("run", "--rm", "committed:1", "sh", "-c", "ls /tm /bind; echo $A 2>&1").endswith("b")
        history = docker.out("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "committed:1")
        assert history.splitlines()[0] == f"sh -c {FILES}|a note"
        docker("run", "--name", "again", "committed:1", "rm", "-r", "/d")
        docker("commit", "again", "committed:2")
        gone = docker("run", "--rm", "committed:2", "ls", "/d", status=1)
        assert b"/d: No such file" in gone.stderr
    finally:
        docker("rm", "-f", "again", status=None)
        docker("rmi", "-f", "committed:2", "committed:1", status=None)


def test_commit_of_no_change_has_no_layer(docker):
    docker("run", "--name", "same", IMAGE, "true")
    docker("commit", "same", "same:1")
    try:
        shown = "{{json .RootFS.Layers}}"
        layers = [docker.out("image", "inspect", "-f", shown, name) for name in (IMAGE, "same:1")]
        assert layers[0] == layers[1]
    finally:
        docker("rmi", "same:1")


def test_what_commit_refuses(docker, running):
    assert b"No such container: nosuch" in docker("commit", "nosuch", status=1).stderr
    assert b"FOO is not a valid change command" in docker("commit", "-c", "FOO x", running, status=1).stderr
    refused = docker("commit", running, "Bad:Name:x", status=1).stderr
    assert b"invalid reference format: repository name (library/Bad) must be lowercase" in refused


def test_commit_checks_the_configuration_that_it_is_given(client, running):
    for config in ({"Labels": ["a"]}, {"Env": [1]}, {"Cmd": 1}, {"ExposedPorts": "80"}, {"WorkingDir": 1}):
        with pytest.raises(docker_py.errors.APIError) as refused:
            client.api.commit(running, conf=config)
        assert refused.value.status_code == 400


def test_management_forms(docker, running, tmp_path):
    docker("container", "cp", f"{running}:/d/f", str(tmp_path / "f"))
    assert (tmp_path / "f").read_text() == "hi\n"
    assert "A /d\n" in docker.out("container", "diff", running)
    assert "d/f" in names(docker("container", "export", running).stdout)


# --- docker-py ---


@pytest.fixture
def client(engine_with_image, engine_socket):
    connected = docker_py.DockerClient(base_url=f"unix://{engine_socket}", version="auto", timeout=20)
    yield connected
    for container in connected.containers.list(all=True):
        container.remove(force=True)
    connected.close()


def test_docker_py(client):
    container = client.containers.create(IMAGE, ["sh", "-c", "cat /in/f; echo x >/made"])
    assert container.put_archive("/", archive_of({"in/f": b"data\n"}))
    pieces, found = container.get_archive("/in")
    assert names(b"".join(pieces)) == ["in", "in/f"]
    assert (found["name"], found["mode"] >> 31, found["linkTarget"]) == ("in", 1, "")
    container.start()
    container.wait()
    assert container.logs() == b"data\n"
    assert {"Path": "/made", "Kind": 1} in container.diff()
    assert "made" in names(b"".join(container.export()))
    image = container.commit("py", tag="1", changes="ENV Z=1")
    assert image.tags == ["py:1"]
    client.images.remove("py:1")
    with pytest.raises(docker_py.errors.NotFound, match="Could not find the file /x in container"):
        container.get_archive("/x")


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz", "zstd"])
def test_compressed_uploads(client, program):
    container = client.containers.create(IMAGE, ["cat", "/f"])
    packed = subprocess.run([program, "-c"], input=archive_of({"f": b"data\n"}), stdout=subprocess.PIPE, check=True)
    assert container.put_archive("/", packed.stdout)
    container.start()
    container.wait()
    assert container.logs() == b"data\n"


def test_events_tell_of_copies(client, engine_with_image):
    container = client.containers.create(IMAGE, ["true"])
    since = time.time() - 1
    container.put_archive("/", archive_of({"f": b""}))
    list(container.get_archive("/f")[0])
    list(container.export())
    told = client.api.events(since=since, until=time.time() + 0.2, decode=True, filters={"container": container.id})
    actions = [event["Action"] for event in told]
    assert [one for one in actions if one != "create"] == ["extract-to-dir", "archive-path", "export"]


def test_two_copies_at_once_of_one_stopped_container(client):
    container = client.containers.create(IMAGE, ["true"])
    big = archive_of({"big": os.urandom(30 << 20)})
    threads = [threading.Thread(target=container.put_archive, args=("/", big)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pieces, found = container.get_archive("/big")
    assert found["size"] == 30 << 20
    assert sum(map(len, pieces)) > 30 << 20
    container.start()
    container.wait()


@pytest.mark.parametrize("how_many", [1, 2])
def test_copies_of_the_same_names_at_once(client, tmp_path, how_many):
    """Each is taken; of every name the last one stays, whole: into one container, or into what two share."""
    command, binds = ["sh", "-c", "cd /shared/d && ls e && cmp f link && cat f"], [f"{tmp_path}:/shared"]
    containers = [client.containers.create(IMAGE, command, volumes=binds) for _ in range(how_many)]
    container = containers[0]
    failures: list[Exception] = []

    def copy(number: int) -> None:
        try:
            for _ in range(40):
                assert containers[number % how_many].put_archive("/shared", tree_of(str(number).encode() * 70000))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=copy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    container.start()
    assert container.wait()["StatusCode"] == 0
    assert container.logs() in {str(number).encode() * 70000 for number in range(4)}


def tree_of(data: bytes) -> bytes:
    """Directories, a file, a hard link and a symbolic one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("d", "d/e"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        entry = tarfile.TarInfo("d/f")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
        for name, kind, link in (("d/hard", tarfile.LNKTYPE, "d/f"), ("d/link", tarfile.SYMTYPE, "f")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            archive.addfile(entry)
    return out.getvalue()


def test_a_start_and_a_copy_at_once(client):
    """Whichever comes first, neither is refused: a start waits for a short copy, a copy for a start."""
    container = client.containers.create(IMAGE, ["sleep", "1000"])
    failures: list[Exception] = []

    def copy() -> None:
        try:
            for _ in range(30):
                assert container.put_archive("/tmp", archive_of({"f": b"data\n"}))
        except Exception as error:
            failures.append(error)

    for _ in range(3):
        thread = threading.Thread(target=copy)
        thread.start()
        container.start()
        thread.join()
        container.kill()
        container.wait()
    assert not failures


def test_a_client_that_leaves_leaves_nothing_open(client, engine_with_image):
    """The view is closed soon: the container starts."""
    container = client.containers.create(IMAGE, ["true"])
    container.put_archive("/", archive_of({"big": bytes(64 << 20)}))
    pieces, _ = container.get_archive("/big")
    next(pieces)
    pieces.close()
    end = time.monotonic() + 10
    while True:
        try:
            container.start()
            break
        except docker_py.errors.APIError:
            assert time.monotonic() < end
            time.sleep(0.05)
    container.wait()


def test_the_engine_stays_small_and_answers_while_it_copies(client, engine_with_image):
    container = client.containers.create(IMAGE, ["true"])
    with open(f"/proc/{engine_with_image.pid}/status") as status:
        before = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    container.put_archive("/", archive_of({"big": bytes(200 << 20)}))
    slowest = 0.0
    pieces, _ = container.get_archive("/big")
    for number, _ in enumerate(pieces):
        if number % 20 == 0:
            began = time.monotonic()
            client.ping()
            slowest = max(slowest, time.monotonic() - began)
    with open(f"/proc/{engine_with_image.pid}/status") as status:
        after = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert after - before < 64 << 10
    assert slowest < 0.5


def test_volumes_of_a_stopped_container(docker, tmp_path):
    """As while it runs: what is copied there is in the volume, and read-only is read-only."""
    docker("run", "--rm", "-v", "cp-data:/v", IMAGE, "sh", "-c", "echo of-volume >/v/f; mkdir /v/d; ln -s /f /v/d/link")
    flags = ["-v", "cp-data:/data", "-v", "cp-data:/fixed:ro", "-v", "/anonymous"]
    docker("create", "--name", "stopped", *flags, IMAGE, "true")
    (tmp_path / "new").write_text("new\n")
    docker("cp", "stopped:/data/f", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "of-volume\n"
    docker("cp", str(tmp_path / "new"), "stopped:/data/d/")
    docker("cp", str(tmp_path / "new"), "stopped:/anonymous/")
    refused = docker("cp", str(tmp_path / "new"), "stopped:/fixed/", status=1)
    assert b"mounted volume is marked read-only" in refused.stderr
    assert docker.out("run", "--rm", "-v", "cp-data:/v", IMAGE, "cat", "/v/d/new") == "new"
    assert docker.out("run", "--rm", "--volumes-from", "stopped", IMAGE, "cat", "/anonymous/new") == "new"
    assert "/data" not in docker.out("diff", "stopped").replace("A /data", "")
    docker("rm", "-v", "stopped")
    docker("volume", "rm", "cp-data")


def test_part_of_a_volume_of_a_stopped_container(wardian, tmp_path):
    script = "mkdir -p /v/a/b; echo deep >/v/a/b/f; ln -s /a/b /v/short; ln -s /etc /v/out"
    wardian("run", "--rm", "-v", "cp-part:/v", IMAGE, "sh", "-c", script)
    (tmp_path / "new").write_text("new\n")
    for path in ("a/b", "short"):
        flags = ("--mount", f"type=volume,src=cp-part,dst=/x,volume-subpath={path}")
        wardian("create", "--name", "part", *flags, IMAGE, "true")
        wardian("cp", "part:/x/f", str(tmp_path / "out"))
        assert (tmp_path / "out").read_text() == "deep\n"
        wardian("cp", str(tmp_path / "new"), "part:/x/new")
        wardian("rm", "part")
    assert wardian.out("run", "--rm", "-v", "cp-part:/v", IMAGE, "ls", "/v", "/v/a/b").split() == (
        "/v: a out short /v/a/b: f new".split()
    )
    wardian("volume", "rm", "cp-part")


def test_a_volume_that_is_mounted_at_a_start_only(wardian, tmp_path):
    options = ("-o", "type=ext4", "-o", "device=/dev/wardian-no-such-device")
    wardian("volume", "create", *options, "cp-device")
    wardian("create", "--name", "far", "-v", "cp-device:/x", IMAGE, "true")
    (tmp_path / "f").write_text("f\n")
    assert b"is seen while the container runs" in wardian("cp", "far:/x", str(tmp_path), status=1).stderr
    for source, target in ((f"{tmp_path}/f", "far:/x/"), (f"{tmp_path}/f", "far:/x"), (str(tmp_path), "far:/x")):
        wardian("cp", source, target, status=1)
    wardian("cp", "far:/etc/passwd", str(tmp_path))
    wardian("rm", "far")
    wardian("volume", "rm", "cp-device")


def test_commit_pauses_and_unpauses(docker):
    """What writes while it is committed stands still meanwhile, and runs on; one that just ended is committed too."""
    script = "while :; do date +%N >/stamp; done"
    identity = docker.out("run", "-d", "--name", "busy", IMAGE, "sh", "-c", script)
    docker("commit", "busy", "busy:1")
    moments = ("--since", "0", "--until", f"{time.time():.9f}")
    said = docker.out("events", *moments, "--filter", f"container={identity}", "--format", "{{.Action}}")
    actions = [word for word in said.split() if word in ("pause", "unpause", "commit")]
    assert sorted(actions) == ["commit", "pause", "unpause"]
    assert actions[0] == "pause"
    assert docker.out("inspect", "-f", "{{.State.Status}}", "busy") == "running"
    docker("commit", "--pause=false", "busy", "busy:2")
    docker("pause", "busy")
    docker("commit", "busy", "busy:3")
    assert docker.out("inspect", "-f", "{{.State.Status}}", "busy") == "paused"
    docker("rm", "-f", "busy")
    for number in range(8):
        docker("run", "-d", "--name", f"short{number}", IMAGE, "touch", "/done")
        docker("commit", f"short{number}")


def test_a_removal_waits_for_no_export_and_cuts_it_off(docker, engine):
    docker("run", "--name", "going", IMAGE, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=30")
    with contextlib.closing(docker_py.DockerClient(base_url=engine.url)) as client:
        archive = client.containers.get("going").export()
        next(archive)
        docker("rm", "going")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(archive)
