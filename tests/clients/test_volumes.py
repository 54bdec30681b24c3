"""Volumes by docker's own command line and by ours: their objects, and what containers see of them."""

import json
import os
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine
from images_made import Entry, Link, MadeImage, busybox_layer, docker_archive, layer_tar

FILLED = "filled:test"


@pytest.fixture
def name(docker: Command) -> Any:
    """A name that is free, whose volume goes after the test's containers."""
    made = f"vol-{secrets.token_hex(4)}"
    yield made
    docker("rm", "-fv", *docker.out("ps", "-aq").split(), "none", status=None)
    docker("volume", "rm", "-f", made)


@pytest.fixture
def filled(engine_with_image: TestEngine) -> str:
    """An image with files at /data (owned by app), a VOLUME there and an empty one."""
    files = {
        "data/": None, "data/a": Entry(b"from the image", 0o640, 1000, 1000), "data/sub/": None,
        "data/sub/hard": b"h", "data/sub/harder": Link("data/sub/hard", hard=True), "data/link": Link("/etc/passwd"),
        "outside": Link("../../../../../../../../../../../../etc"),
    }  # fmt: skip
    image = MadeImage([busybox_layer(), layer_tar(files)], {"Cmd": ["sh"], "Volumes": {"/data": {}, "/new": {}}})
    with engine_with_image.client.stream(
        "POST", "/images/load", docker_archive({FILLED: image}), {"quiet": True}
    ) as all_:
        assert not [message for message in all_.objects() if "error" in str(message)]
    return FILLED


def inspect(docker: Command, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker.out(kind, "inspect", name))[0]
    return found


def mounts(docker: Command, container: str) -> dict[str, dict[str, Any]]:
    return {one["Destination"]: one for one in inspect(docker, "container", container)["Mounts"]}


def test_a_bind_has_no_name_to_a_template(docker, tmp_path):
    docker("create", "--name", "bound", "-v", f"{tmp_path}:/b:ro", IMAGE)
    form = "{{range .Mounts}}{{.Type}}:{{.Name}}:{{.Driver}}:{{.Destination}} {{json .}}{{end}} {{.Mounts}}"
    said = f'{{"Type":"bind","Source":"{tmp_path}","Destination":"/b","Mode":"ro","RW":false,"Propagation":"rprivate"}}'
    shown = docker.out("inspect", "-f", form, "bound")
    assert shown == f"bind:::/b {said} [{{bind  {tmp_path} /b  ro false rprivate}}]"


def test_a_volume_s_life(docker, name, engine):
    assert docker.out("volume", "create", "--label", "a=b", name) == name
    found = inspect(docker, "volume", name)
    assert found.pop("CreatedAt").endswith("Z")
    data = os.path.join(engine.home.data_root, "volumes", name, "_data")
    assert found == {
        "Driver": "local", "Labels": {"a": "b"}, "Mountpoint": data, "Name": name, "Options": None, "Scope": "local",
    }  # fmt: skip
    assert os.path.isdir(data)
    assert docker.out("volume", "create", name) == name  # there already
    assert inspect(docker, "volume", name)["Labels"] == {"a": "b"}
    assert name in docker.out("volume", "ls", "-q").split()
    listed = docker.out("volume", "ls", "--filter", f"name={name}", "--format", '{{.Driver}} {{.Name}} {{.Label "a"}}')
    assert listed == f"local {name} b"
    head, row = docker.out("volume", "ls", "-f", "label=a=b").splitlines()
    assert head.split() == ["DRIVER", "VOLUME", "NAME"] and row.split() == ["local", name]
    assert docker.out("volume", "rm", name) == name
    assert not os.path.exists(os.path.dirname(data))
    gone = docker("volume", "rm", name, status=1).stderr
    assert b"no such volume" in gone
    assert docker.out("volume", "rm", "-f", name) == name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("x",), "create x: volume name is too short, names should be at least two alphanumeric characters"),
        (("a b",), 'create a b: "a b" includes invalid characters for a local volume name'),
        (("--driver", "nope", "v1"), 'create v1: error looking up volume plugin nope: plugin "nope" not found'),
        (("-o", "foo=1", "v1"), 'create v1: invalid option: "foo"'),
        (("-o", "type=tmpfs", "v1"), 'create v1: missing required option: "device"'),
        (("-o", "device=x", "v1"), 'create v1: missing required option: "type"'),
        (("-o", "size=10m", "v1"), "quota size requested but no quota support"),
    ],
)
def test_volumes_that_cannot_be(docker, arguments, says):
    assert says in docker("volume", "create", *arguments, status=1).stderr.decode()
    assert "v1" not in docker.out("volume", "ls", "-q").split()


def test_a_driver_that_there_is_not_is_told_of_a_volume_that_there_is_too(docker, name):
    docker("volume", "create", name)
    assert b'plugin "nope" not found' in docker("volume", "create", name, "--driver", "nope", status=1).stderr
    assert docker.out("volume", "create", name, "--driver", "local") == name


def test_a_volume_outlives_its_containers(docker, name):
    docker("run", "--rm", "-v", f"{name}:/v", IMAGE, "sh", "-c", "echo kept > /v/file")
    assert docker.out("run", "--rm", "-v", f"{name}:/other/place:ro", IMAGE, "cat", "/other/place/file") == "kept"
    refused = docker("run", "--rm", "-v", f"{name}:/v:ro", IMAGE, "touch", "/v/x", status=1)
    assert b"Read-only file system" in refused.stderr
    mounted = docker.out(
        "run", "--rm", "--mount", f"type=volume,src={name},dst=/v,readonly", IMAGE, "grep", "/v", "/proc/mounts"
    )
    assert "ro," in mounted


def test_mounts_of_inspect(docker, name, engine):
    docker("create", "--name", "m1", "-v", f"{name}:/x", "-v", f"{name}:/y:ro", "-v", "/anon", IMAGE)
    docker("create", "--name", "m2", "--volumes-from", "m1:ro", "--mount", "type=volume,dst=/z", IMAGE)
    found = mounts(docker, "m1")
    data = os.path.join(engine.home.data_root, "volumes", name, "_data")
    assert found["/x"] == {
        "Type": "volume", "Name": name, "Source": data, "Destination": "/x", "Driver": "local", "Mode": "z", "RW": True,
        "Propagation": "",
    }  # fmt: skip
    assert (found["/y"]["Mode"], found["/y"]["RW"]) == ("ro", False)
    assert len(found["/anon"]["Name"]) == 64 and found["/anon"]["Mode"] == ""
    from_other = mounts(docker, "m2")
    assert set(from_other) == {"/x", "/y", "/anon", "/z"}
    assert from_other["/anon"]["Name"] == found["/anon"]["Name"] and not from_other["/x"]["RW"]
    assert from_other["/z"]["Mode"] == "z"
    volumes = inspect(docker, "container", "m1")["Config"]["Volumes"]
    assert volumes == {"/anon": {}}
    listed = docker.out("ps", "-aq", "--filter", f"volume={name}").split()
    assert len(listed) == 2 and docker.out("ps", "-aq", "--filter", "volume=/z").split() == [
        docker.out("ps", "-aq", "--filter", "name=m2")
    ]


def test_a_volume_in_use_stays(docker, name):
    container = docker.out("create", "-v", f"{name}:/x", IMAGE)
    for flags in ((), ("-f",)):
        said = docker("volume", "rm", *flags, name, status=1).stderr.decode()
        assert f"remove {name}: volume is in use - [{container}]" in said
    docker("volume", "prune", "-af")
    assert name in docker.out("volume", "ls", "-q").split()
    assert name not in docker.out("volume", "ls", "-q", "--filter", "dangling=true").split()
    docker("rm", "-v", container)
    assert name in docker.out("volume", "ls", "-q", "--filter", "dangling=1").split()


def test_anonymous_volumes_go_with_rm_v_and_with_rm(docker):
    def anonymous() -> list[str]:
        return docker.out("volume", "ls", "-q").split()

    before = anonymous()
    docker("run", "--rm", "-v", "/v", IMAGE, "touch", "/v/x")
    assert anonymous() == before
    one = docker.out("create", "-v", "/v", IMAGE)
    other = docker.out("create", "--volumes-from", one, IMAGE)
    (made,) = set(anonymous()) - set(before)
    docker("rm", "-v", one)
    assert made in anonymous()  # the other has it still
    docker("rm", "-v", other)
    assert anonymous() == before
    third = docker.out("create", "-v", "/v", IMAGE)
    docker("rm", third)
    (left,) = set(anonymous()) - set(before)
    assert left in docker.out("volume", "prune", "-f")
    assert anonymous() == before


def test_prune_leaves_what_has_a_name_but_for_all(docker, name, engine):
    docker("volume", "create", "--label", f"of={name}", name)
    assert _pruned(engine, {"label": [f"of={name}"]}) == []
    assert _pruned(engine, {"all": ["1"], "label": ["of=other"]}) == []
    assert _pruned(engine, {"all": ["0"], "label": [f"of={name}"]}) == []
    assert _pruned(engine, {"all": ["1"], "label!": ["other"], "label": [f"of={name}"]}) == [name]
    refused = engine.client.request("POST", "/volumes/prune", query={"filters": {"all": ["x"]}})
    assert refused.error().message == "invalid filter 'all': strconv.ParseBool: parsing \"x\": invalid syntax"


def _pruned(engine: TestEngine, filters: dict[str, list[str]]) -> list[str]:
    answer: Any = engine.client.call("POST", "/volumes/prune", query={"filters": filters})
    assert answer["SpaceReclaimed"] == 0
    return list(answer["VolumesDeleted"])


def test_an_image_s_files_are_copied_into_a_new_volume(docker, name, filled):
    listing = docker.out(
        "run", "--rm", "-v", f"{name}:/data", filled, "sh", "-c", "ls -ln /data; stat -c %h /data/sub/hard; cat /data/a"
    )
    assert "-rw-r-----    1 1000     1000" in listing and "link -> /etc/passwd" in listing
    assert listing.splitlines()[-2:] == ["2", "from the image"]
    # its own from now on: nothing is copied over what is there, nor into what was emptied by hand but for a new one
    docker("run", "--rm", "-v", f"{name}:/data", IMAGE, "sh", "-c", "echo mine > /data/a; rm -r /data/sub")
    assert docker.out(
        "run", "--rm", "-v", f"{name}:/data", filled, "sh", "-c", "cat /data/a; ls /data/sub 2>&1; true"
    ).startswith("mine\nls:")


def test_nocopy(docker, name, filled):
    for flags in (("-v", f"{name}:/data:nocopy"), ("--mount", f"type=volume,src={name},dst=/data,volume-nocopy")):
        assert docker.out("run", "--rm", *flags, filled, "ls", "/data") == ""


def test_owner_and_mode_of_an_empty_directory(docker, name, engine_with_image):
    docker("run", "--rm", "-v", f"{name}:/tmp", IMAGE, "true")
    assert docker.out("run", "--rm", "-v", f"{name}:/x", IMAGE, "stat", "-c", "%a", "/x") == "1777"


def test_volumes_of_an_image(docker, filled):
    said = docker("run", "--name", "iv", filled, "cat", "/data/a")
    assert said.stdout == b"from the image" and b"not built" not in said.stderr
    found = mounts(docker, "iv")
    assert set(found) == {"/data", "/new"} and all(len(one["Name"]) == 64 for one in found.values())
    docker("rm", "-v", "iv")
    docker("run", "--rm", "--tmpfs", "/new", filled, "grep", "-q", "tmpfs /new", "/proc/mounts")


def test_volume_over_a_file_of_the_image(docker):
    said = docker("run", "--rm", "-v", "/bin/busybox", IMAGE, "true", status=125).stderr.decode()
    assert "cannot mount volume over existing file" in said
    assert docker.out("volume", "ls", "-qf", "dangling=true") == ""


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("-v", "ab:/x", "-v", "cd:/x"), "Duplicate mount point: /x"),
        (("-v", "ab:/x", "--tmpfs", "/x"), "Duplicate mount point: /x"),
        (("-v", "ab:/x:foo"), "invalid mode: foo"),
        (("-v", "ab:/x:rprivate"), "field BindOptions must not be specified"),
        (("-v", "ab:/"), "invalid specification: destination can't be '/'"),
        (("-v", "a!:/x"), '"a!" includes invalid characters for a local volume name'),
        (("-v", "ab:/x", "--volume-driver", "nope"), 'error looking up volume plugin nope: plugin "nope" not found'),
        (("--volumes-from", "nobody"), "No such container: nobody"),
        (("--mount", "type=volume,src=ab,dst=/x,volume-subpath=../x"), "must be a relative path within the volume"),
        (("--mount", "type=volume,dst=/x,volume-subpath=x"), "must not set Subpath when using anonymous volumes"),
        (("--mount", "type=volume,src=ab,dst=x"), "mount path must be absolute"),
    ],
    ids=lambda value: str(value[-1]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_mounts_that_cannot_be(docker, flags, says):
    if "subpath" in " ".join(flags) and docker.prefix[-1].endswith("docker") and "1.41" in docker.out("version"):
        pytest.skip("this docker knows no subpaths")
    assert says in docker("run", "--rm", *flags, IMAGE, "true", status=125).stderr.decode()
    assert docker.out("volume", "ls", "-q", "--filter", "name=^(ab|cd)$") == ""


def test_subpath(wardian):
    wardian(
        "run", "--rm", "-v", "subs:/v", IMAGE, "sh", "-c", "mkdir -p /v/a/b; echo deep > /v/a/b/f; ln -s a/b /v/short"
    )
    for path in ("a/b", "short", "a/../short", "/a/b"[1:]):
        flags = ("--mount", f"type=volume,src=subs,dst=/x,volume-subpath={path}")
        assert wardian.out("run", "--rm", *flags, IMAGE, "cat", "/x/f") == "deep"
    flags = ("--mount", "type=volume,src=subs,dst=/x,volume-subpath=nope")
    said = wardian("run", "--rm", *flags, IMAGE, "true", status=None).stderr.decode()
    assert "cannot access path" in said and "no such file or directory" in said
    wardian("volume", "rm", "subs")


def test_a_bind_and_a_tmpfs_as_volumes(docker, name, tmp_path):
    (tmp_path / "file").write_text("of the host")
    docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}", name)
    assert docker.out("run", "--rm", "-v", f"{name}:/x", IMAGE, "cat", "/x/file") == "of the host"
    docker("volume", "rm", name)
    assert (tmp_path / "file").exists()
    docker("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", f"device={tmp_path}", name)
    assert b"Read-only" in docker("run", "--rm", "-v", f"{name}:/x", IMAGE, "touch", "/x/a", status=1).stderr
    docker("volume", "rm", name)
    docker("volume", "create", "-o", "type=tmpfs", "-o", "o=size=1m,uid=1000", "-o", "device=tmpfs", name)
    line = docker.out(
        "run", "--rm", "-v", f"{name}:/x", IMAGE, "sh", "-c", "grep ' /x ' /proc/mounts; stat -c '%u %a' /x"
    )
    assert "size=1024k" in line and line.endswith("1000 1777")
    docker("volume", "rm", name)
    docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/nonexistent", name)
    said = docker("run", "--rm", "-v", f"{name}:/x", IMAGE, "true", status=None).stderr.decode()
    assert "failed to mount local volume: mount /nonexistent:" in said and "no such file or directory" in said


def test_nested_mounts_are_made_from_above(docker, name):
    docker(
        "run",
        "--rm",
        "-v",
        f"{name}:/a/b",
        "-v",
        "/a",
        IMAGE,
        "sh",
        "-c",
        "touch /a/b/x && grep -q ' /a/b ' /proc/mounts",
    )
    assert docker.out("run", "--rm", "-v", f"{name}:/v", IMAGE, "ls", "/v") == "x"


def test_events(docker, name, engine):
    seen = engine.client.stream("GET", "/events", query={"filters": {"type": ["volume"], "volume": [name]}})
    with seen as stream:
        docker("volume", "create", name)
        container = docker.out("run", "-d", "-v", f"{name}:/x:ro", IMAGE, "true")
        docker("wait", container)
        docker("rm", container)
        docker("volume", "rm", name)
        events = stream.objects()
        four = [next(events) for _ in range(4)]
    assert [one["Action"] for one in four] == ["create", "mount", "unmount", "destroy"]
    assert four[1]["Actor"]["Attributes"] == {
        "container": container, "destination": "/x", "driver": "local", "propagation": "", "read/write": "false",
    }  # fmt: skip
    assert four[2]["Actor"]["Attributes"] == {"container": container, "driver": "local"}


def test_disk_usage(docker, name, engine):
    docker("run", "--rm", "-v", f"{name}:/x", IMAGE, "sh", "-c", "head -c 5000 /dev/zero > /x/f")
    docker("create", "-v", f"{name}:/x", IMAGE)
    found = engine.client.call("GET", "/system/df")
    (volume,) = [one for one in found["Volumes"] if one["Name"] == name]
    assert volume["UsageData"] == {"Size": 5000, "RefCount": 1}


def test_plan_makes_nothing(wardian):
    shown = wardian.out("plan", "-v", "planned:/x", "-v", "/y", IMAGE, "true")
    assert "/volumes/planned/_data" in shown
    assert wardian.out("volume", "ls", "-q", "-f", "name=planned") == ""


WaitUntil = Callable[[Callable[[], bool], str], None]


def test_references_are_known_after_a_kill(new_engine):
    engine = new_engine()
    archive = docker_archive({IMAGE: MadeImage([busybox_layer()], {"Cmd": ["true"]})})
    with engine.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        list(stream.objects())
    body = {"Image": IMAGE, "HostConfig": {"Binds": ["kept:/x"]}, "Volumes": {"/anon": {}}}
    made = engine.client.call("POST", "/containers/create", body)
    volumes = engine.home.volumes
    os.makedirs(os.path.join(volumes, "stray", "_data"))  # made, and the engine killed before it had a row
    os.makedirs(os.path.join(volumes, "found", "_data", "something"))
    engine.kill()
    engine.start()
    assert engine.client.request("DELETE", "/volumes/kept").status == 409
    names = {one["Name"] for one in engine.client.call("GET", "/volumes")["Volumes"]}
    assert "found" in names and "stray" not in names and not os.path.exists(os.path.join(volumes, "stray"))
    engine.client.request("DELETE", f"/containers/{made['Id']}", query={"v": True})
    names = {one["Name"] for one in engine.client.call("GET", "/volumes")["Volumes"]}
    assert names == {"kept", "found"}
    assert engine.client.request("DELETE", "/volumes/kept").status == 204


def test_what_comes_into_an_empty_volume_is_seen_by_who_has_it(docker, name, filled):
    container = docker.out("run", "-d", "-v", f"{name}:/v", IMAGE, "sleep", "100")
    docker("create", "-v", f"{name}:/data", filled)
    assert docker.out("exec", container, "cat", "/v/a") == "from the image"
