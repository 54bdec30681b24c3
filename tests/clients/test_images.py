"""Images through the command lines: errors that name their cause, platforms, digests, dates, removal."""

import ctypes
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines import TestEngine
from images_made import ARCHITECTURE, Entry, MadeImage, busybox_image, busybox_layer, docker_archive, layer_tar
from registry import Registry
from wardian.home import Home

OTHER, OTHER_MACHINE, OTHER_ELF = ("arm64", "aarch64", 183) if ARCHITECTURE == "amd64" else ("amd64", "x86_64", 62)


def foreign_image() -> MadeImage:
    """For the other architecture, and so is its one program."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 2, OTHER_ELF, 1, *[0] * 10)
    return MadeImage([layer_tar({"program": Entry(header, 0o755)})], {"Cmd": ["/program"]}, OTHER)


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# ---- errors that name their cause


def test_a_registry_that_cannot_be_reached(docker):
    done = docker("pull", "127.0.0.1:1/no/registry", status=1)
    assert b'Get "http://127.0.0.1:1/v2/' in done.stderr
    assert b"dial tcp 127.0.0.1:1: connect: connection refused" in done.stderr
    done = docker("run", "--rm", "registry.invalid/app", status=125)
    assert b"lookup registry.invalid: no such host" in done.stderr


def test_a_registry_that_serves_other_bytes(docker, registry: Registry):
    made = MadeImage([layer_tar({"text": os.urandom(5000)})], {})
    reference = registry.push_image("clients/damaged:1", made, compress=False)
    path = Path(registry.blob_path(_layer_digest(made)))
    good = path.read_bytes()
    path.write_bytes(good[:600] + bytes([good[600] ^ 1]) + good[601:])
    done = docker("pull", reference, status=1)
    assert b"digest mismatch: blob " + _layer_digest(made).encode() in done.stderr
    assert docker.out("images", "-q", reference) == ""
    path.write_bytes(good)
    docker("pull", reference)
    docker("rmi", reference)


def _layer_digest(made: MadeImage) -> str:
    return str(json.loads(made.config())["rootfs"]["diff_ids"][0])


@pytest.fixture
def small_disk(new_home: Callable[[], Home]) -> Iterator[TestEngine]:
    """An engine whose data root has 24 MB."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = new_home()
    os.makedirs(home.data_root)
    mounted = libc.mount(b"tmpfs", home.data_root.encode(), b"tmpfs", 0, b"size=24m")
    assert mounted == 0, os.strerror(ctypes.get_errno())
    engine = TestEngine(home)
    yield engine
    engine.close()
    until = time.monotonic() + 5
    while libc.umount2(home.data_root.encode(), 0) != 0 and time.monotonic() < until:
        time.sleep(0.01)


def test_a_full_disk_is_named_and_the_next_pull_works(docker, small_disk: TestEngine, registry: Registry):
    docker = type(docker)(docker.prefix, {**docker.environment, "DOCKER_HOST": small_disk.url})
    made = MadeImage([layer_tar({"little": b"1"}), layer_tar({"big": bytes(30 << 20)})], {})
    reference = registry.push_image("clients/big:1", made)
    done = docker("pull", reference, status=1)
    assert b"no space left on device" in done.stderr
    assert reference.rpartition(":")[0] not in docker.out("images")
    assert os.listdir(small_disk.home.staging) == []
    archive = docker_archive({"big:1": made})
    assert b"no space left on device" in docker("load", stdin=archive, status=1).stderr
    assert b"no space left on device" in docker("import", "-", "big:2", stdin=made.layers[1], status=1).stderr
    assert os.listdir(small_disk.home.staging) == []
    small = registry.push_image("clients/small:1", busybox_image(Cmd=["echo", "fits"]))
    docker("pull", small)
    assert docker.out("run", "--rm", small) == "fits"


# ---- platforms


def test_an_image_of_another_platform(docker):
    docker("load", stdin=docker_archive({"foreign:1": foreign_image()}))
    done = docker("run", "--rm", "foreign:1", status=None)
    assert (
        f"The requested image's platform (linux/{OTHER}) does not match the detected host platform "
        f"(linux/{ARCHITECTURE}) and no specific platform was requested" in done.stderr.decode()
    )
    if "wardian.cli" in docker.prefix:
        assert done.returncode == 126
        assert OTHER_MACHINE in done.stderr.decode() and os.uname().machine in done.stderr.decode()
    assert b"exec format error" in done.stderr
    asked = docker("create", "--platform", f"linux/{OTHER}", "foreign:1")
    assert b"WARNING" not in asked.stderr
    docker("rm", asked.stdout.decode().strip())
    docker("rmi", "foreign:1")


def test_a_platform_that_is_asked_for_is_looked_at_everywhere(engine: TestEngine):
    """Docker 28's answers. An image that is for another one is neither shown, loaded nor removed."""
    client = engine.client
    made = {"clients/ours:1": busybox_image()}
    with client.stream("POST", "/images/load", docker_archive(made), {"quiet": True}) as said:
        said.read()
    here, other = (json.dumps({"os": "linux", "architecture": one}) for one in (ARCHITECTURE, OTHER))
    mismatch = "image with reference clients/ours:1 was found but its platform"
    path = "/images/clients/ours:1"
    for method, place, query in (
        ("GET", f"{path}/json", {"platform": other}),
        ("GET", f"{path}/history", {"platform": other}),
        ("DELETE", path, {"platforms": other}),
    ):
        answer = client.request(method, place, query=query)
        assert (answer.status, mismatch in answer.error().message) == (404, True), place
    for query, words in (
        ({"platforms": [here, other]}, "multiple platforms are not supported"),
        ({"platforms": "{bad"}, "failed to parse platform"),
    ):
        answer = client.request("DELETE", path, query=query)
        assert (answer.status, words in answer.error().message) == (400, True)
    answer = client.request("GET", f"{path}/json", query={"platform": here, "manifests": True})
    assert answer.status == 400 and "cannot both be set" in answer.error().message
    assert client.call("GET", f"{path}/json", query={"platform": here})["Architecture"] == ARCHITECTURE
    assert client.call("GET", f"{path}/history", query={"platform": here})
    answer = client.request("POST", "/containers/nosuch/start", query={"checkpoint": "x"})
    assert answer.status == 400 and "experimental mode" in answer.error().message
    assert {"Untagged": "clients/ours:1"} in client.call("DELETE", path, query={"platforms": here})


def test_who_wants_signatures_checked_is_refused(wardian):
    for verb in ("pull", "push"):
        done = wardian(verb, "--disable-content-trust=false", "127.0.0.1:1/no/registry", status=1)
        assert b"content trust is not built yet, and --disable-content-trust=false asks for it" in done.stderr
    wardian.environment["DOCKER_CONTENT_TRUST"] = "1"
    assert b"DOCKER_CONTENT_TRUST asks for it" in wardian("pull", "127.0.0.1:1/no/registry", status=1).stderr
    done = wardian("pull", "--disable-content-trust", "127.0.0.1:1/no/registry", status=1)
    assert b"content trust" not in done.stderr


def test_a_local_image_that_is_not_of_the_platform_asked_for(docker):
    docker("load", stdin=docker_archive({"mine:1": busybox_image()}))
    done = docker("run", "--rm", "--pull", "never", "--platform", f"linux/{OTHER}", "mine:1", "true", status=125)
    assert (
        f"image with reference mine:1 was found but its platform (linux/{ARCHITECTURE}) does not match "
        f"the specified platform (linux/{OTHER})" in done.stderr.decode()
    )
    docker("rmi", "mine:1")


def test_an_index_gives_what_was_asked_for(docker, registry: Registry):
    mine = busybox_image(Cmd=["echo", "mine"])
    reference = registry.push_index("clients/index:1", [foreign_image(), mine])
    docker("pull", reference)
    show = ("image", "inspect", "-f", "{{.Architecture}}", reference)
    assert docker.out(*show) == ARCHITECTURE
    docker("pull", "--platform", f"linux/{OTHER}", reference)
    assert docker.out(*show) == OTHER
    assert docker.out("run", "--rm", "--platform", f"linux/{ARCHITECTURE}", reference) == "mine"  # pulled again
    assert docker.out(*show) == ARCHITECTURE
    done = docker("pull", "--platform", "linux/s390x", reference, status=1)
    assert b"no matching manifest for linux/s390x in the manifest list entries" in done.stderr
    single = registry.push_image("clients/single:1", mine)
    done = docker("pull", "--platform", f"linux/{OTHER}", single, status=1)
    assert b"does not match the specified platform" in done.stderr
    docker("pull", single)
    done = docker("pull", "--platform", f"linux/{OTHER}", single, status=1)
    assert b"does not match the specified platform" in done.stderr
    docker("rmi", "-f", *set(docker.out("images", "-q", f"{registry.address}/clients/*").split()))


# ---- digests and dates


def test_by_digest(docker, registry: Registry):
    made = busybox_image(Cmd=["echo", "by digest"])
    digest = registry.push_image("clients/digest", made, tagged=False).partition("@")[2]
    registry.push_image("clients/digest:1", made)
    name = f"{registry.address}/clients/digest"
    docker("pull", f"{name}@{digest}")
    assert lines(docker.out("images", "--digests", "--format", "{{.Tag}} {{.Digest}}", name)) == [f"<none> {digest}"]
    assert docker.out("run", "--rm", f"{name}@{digest}") == "by digest"
    docker("pull", f"{name}:1")
    assert lines(docker.out("images", "--digests", "--format", "{{.Tag}} {{.Digest}}", name)) == [f"1 {digest}"]
    both = f"{name}:1@{digest}"
    docker("pull", both)
    assert docker.out("run", "--rm", both) == "by digest"
    assert json.loads(docker.out("image", "inspect", both))[0]["RepoDigests"] == [f"{name}@{digest}"]
    missing = f"{name}@sha256:{'0' * 64}"
    assert b"not found" in docker("pull", missing, status=1).stderr
    assert f"Untagged: {name}@{digest}" in docker.out("rmi", f"{name}:1")
    docker("image", "inspect", f"{name}@{digest}", status=1)


def test_created_as_docker_shows_it(docker):
    dates = {
        "nothing": "",
        "epoch": "1970-01-01T00:00:00Z",
        "zero": "0001-01-01T00:00:00Z",
        "old": "2020-05-17T00:00:00Z",
    }
    for name, created in dates.items():
        made = busybox_image(Cmd=[name])._replace(created=created)
        docker("load", stdin=docker_archive({f"dated/{name}:1": made}))
    shown = lines(docker.out("images", "--format", "{{.Repository}} {{.CreatedSince}}", "dated/*"))
    assert shown[0].startswith("dated/old ") and shown[0].endswith("years ago")
    assert shown[3].removesuffix(" N/A") == "dated/zero"  # N/A in a table only
    assert [one.partition(" ")[2].endswith("years ago") for one in shown[1:3]] == [True, True]
    for until, count in (("24h", 4), ("1h30m", 4), ("2020-01-01", 3), ("1500000000", 3), ("1970-01-01T00:00:00Z", 1)):
        listed = docker.out("images", "-f", f"until={until}", "--format", "{{.Repository}}").splitlines()
        assert sum(name.startswith("dated/") for name in listed) == count, until
    assert b"invalid filter" in docker("images", "-f", "until=tomorrow", status=1).stderr
    assert docker.out("image", "inspect", "-f", "{{.Created}}", "dated/epoch:1") == dates["epoch"]
    assert docker.out("image", "inspect", "-f", "{{.Created}}", "dated/nothing:1") == ""
    docker("rmi", *(f"dated/{name}:1" for name in dates))


# ---- removal


def test_rmi_of_an_image_in_use(docker):
    docker("load", stdin=docker_archive({"used:1": busybox_image(Cmd=["sleep", "60"])}))
    identity = docker.out("images", "-q", "--no-trunc", "used:1").removeprefix("sha256:")
    running = docker.out("run", "-d", "used:1")
    for name in ("used:1", identity):
        done = docker("rmi", name, status=1)
        assert b"conflict" in done.stderr and running[:12].encode() in done.stderr
    assert b"cannot be forced" in docker("rmi", "-f", identity, status=1).stderr
    docker("kill", running)
    assert b"must" in docker("rmi", "used:1", status=1).stderr
    assert docker.out("rmi", "-f", "used:1") == "Untagged: used:1"
    assert f"sha256:{identity}" in docker.out("images", "-q", "--no-trunc", "-f", "dangling=true").splitlines()
    assert f"sha256:{identity}" not in docker.out("images", "-q", "--no-trunc", "-f", "dangling=false")
    assert docker.out("start", running) == running  # its layers are there still
    docker("rm", "-f", running)
    assert docker.out("rmi", identity[:12]).startswith("Deleted: sha256:")


def test_rmi_of_one_tag_of_several(docker):
    docker("load", stdin=docker_archive({"several/a:1": busybox_image(Cmd=["several"])}))
    docker("tag", "several/a:1", "several/a:2")
    docker("tag", "several/a:1", "several/b:1")
    identity = docker.out("images", "-q", "several/a:1")
    assert docker.out("rmi", "several/a:1") == "Untagged: several/a:1"
    assert b"image is referenced in multiple repositories" in docker("rmi", identity, status=1).stderr
    removed = docker.out("rmi", "-f", identity).splitlines()
    assert removed[:2] == ["Untagged: several/a:2", "Untagged: several/b:1"]
    assert removed[2].startswith("Deleted: sha256:")


def test_a_newer_image_of_the_same_tag_leaves_the_old_one_dangling(docker):
    old, new = (busybox_image(Cmd=[name]) for name in ("old", "new"))
    docker("load", stdin=docker_archive({"again:1": old}))
    docker("load", stdin=docker_archive({"again:1": new}))
    assert docker.out("images", "-q", "--no-trunc", "again:1") == new.id
    dangling = docker.out("images", "-f", "dangling=true", "--no-trunc", "--format", "{{.Tag}} {{.ID}}")
    assert f"<none> {old.id}" in dangling.splitlines()
    docker("rmi", old.id, new.id)


def test_a_name_that_means_this_image_no_longer_is_not_shown(docker):
    """As moby's refreshImage: the id stands for it, whole in the API, until the name is the image's again."""
    first, second = (busybox_image(Cmd=["sleep", name]) for name in ("98", "99"))
    docker("load", stdin=docker_archive({"shown/a:1": first, "shown/b:1": second}))
    docker("tag", "shown/a:1", "shown/c")
    names = ["ps", "-a", "--format", "{{.Names}} {{.Image}}"]
    running = docker.out("run", "-d", "--name", "shown1", "shown/c")
    docker("create", "--name", "shown2", "shown/a:1")
    docker("create", "--name", "shown3", first.id[7:19])
    short = first.id[7:19]
    expected = {"shown1 shown/c", "shown2 shown/a:1", f"shown3 {short}"}
    assert set(docker.out(*names).splitlines()) == expected
    docker("rmi", "-f", "shown/c")
    assert set(docker.out(*names).splitlines()) == {f"shown1 {short}", "shown2 shown/a:1", f"shown3 {short}"}
    docker("tag", "shown/b:1", "shown/c")  # another's name now
    whole = docker.out("ps", "--no-trunc", "--format", "{{.Image}}", "-f", "name=shown1")
    assert whole == first.id
    assert docker.out("inspect", "-f", "{{.Config.Image}} {{.Image}}", running) == f"shown/c {first.id}"
    docker("tag", "shown/a:1", "shown/c")
    assert set(docker.out(*names).splitlines()) == expected
    docker("rm", "-f", "shown1", "shown2", "shown3")
    docker("rmi", "shown/a:1", "shown/b:1", "shown/c")


# ---- several at once


def test_ten_pulls_at_once(docker, registry: Registry):
    layers = [busybox_layer(), *(layer_tar({f"file{n}": os.urandom(200_000)}) for n in range(3))]
    reference = registry.push_image("clients/ten:1", MadeImage(layers, {"Cmd": ["echo", "whole"]}))
    pulls = [docker.start("pull", "-q", reference) for _ in range(10)]
    assert [(pull.communicate(timeout=60), pull.returncode) for pull in pulls] == [
        ((f"{reference}\n".encode(), b""), 0)
    ] * 10
    assert docker.out("run", "--rm", reference, "echo", "whole") == "whole"
    docker("rmi", reference)


# ---- import


def test_import_with_changes(docker, tmp_path):
    changes = ['ENTRYPOINT ["echo"]', "CMD one two", "ENV A=1 B='2 3'", "LABEL k=v", "USER app", "WORKDIR /home/app",
               "EXPOSE 80 53/udp", "VOLUME /data", "STOPSIGNAL SIGINT"]  # fmt: skip
    words = [word for change in changes for word in ("-c", change)]
    docker("import", *words, "-m", "by hand", "-", "changed:1", stdin=busybox_layer())
    image = json.loads(docker.out("image", "inspect", "changed:1"))[0]
    config = image["Config"]
    assert config["Entrypoint"] == ["echo"] and config["Cmd"] == ["/bin/sh", "-c", "one two"]
    assert config["Env"] == ["A=1", "B=2 3"] and config["Labels"] == {"k": "v"}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("app", "/home/app", "SIGINT")
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"} and set(config["Volumes"]) == {"/data"}
    assert image["Comment"] == "by hand"
    assert docker.out("run", "--rm", "changed:1", "hello") == "hello"
    assert b"FROM is not a valid change command" in docker("import", "-c", "FROM x", "-", stdin=b"", status=1).stderr
    assert b"tar archive" in docker("import", "-", "broken:1", stdin=b"x" * 2000, status=1).stderr
    docker("rmi", "changed:1")
