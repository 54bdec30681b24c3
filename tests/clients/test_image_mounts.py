"""--mount type=image: an image's files, read-only, inside another's container."""

import json
import re

import pytest

from clients_shared import IMAGE
from images_made import MadeImage, busybox_layer, docker_archive, layer_tar
from wardian.errors import WardianError

TOOLS = "tools:test"
MARK = {"data": None, "data/below": None, "data/below/file": b"of the image\n", "data/gone": b"x", "top": b"top\n"}


@pytest.fixture
def tools(engine_with_image):
    """Three layers, the last of which takes a file away."""
    layers = [busybox_layer(), layer_tar(MARK), layer_tar({"data/.wh.gone": b""})]
    archive = docker_archive({TOOLS: MadeImage(layers, {"Cmd": ["true"]})})
    with engine_with_image.client.stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    return TOOLS


def body(*, target="/img", **mount):
    return {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"Mounts": [{"Type": "image", "Target": target, **mount}]}}


def test_its_files_are_there_to_read(wardian, tools):
    script = "cat /img/top /img/data/below/file; ls /img/data; touch /img/x; echo $?"
    script += "; grep -c ' /img overlay ro' /proc/mounts"
    said = wardian.out("run", "--rm", "--mount", f"type=image,src={tools},dst=/img", IMAGE, "sh", "-c", script)
    assert said.splitlines() == ["top", "of the image", "below", "1", "1"]
    assert wardian.out("run", "--rm", "--mount", f"type=image,src={tools},dst=/img", IMAGE, "/img/bin/echo", "a") == "a"


@pytest.mark.parametrize(("subpath", "shown"), [("data/below", "file"), ("data", "below"), ("top", "/img")])
def test_a_part_of_it(wardian, tools, subpath, shown):
    mount = f"type=image,src={tools},dst=/img,image-subpath={subpath}"
    assert wardian.out("run", "--rm", "--mount", mount, IMAGE, "ls", "/img") == shown


def test_cp_sees_it_before_the_container_runs(wardian, tools, tmp_path):
    whole = f"type=image,src={tools},dst=/img"
    part = f"type=image,src={tools},dst=/img/data,image-subpath=data/below"
    wardian("create", "--name", "stopped", "--mount", whole, "--mount", part, IMAGE, "true")
    for place, content in (("/img/top", "top\n"), ("/img/data/file", "of the image\n")):
        wardian("cp", f"stopped:{place}", str(tmp_path / "file"))
        assert (tmp_path / "file").read_text() == content
    assert wardian("cp", str(tmp_path / "file"), "stopped:/img/more", status=1).stderr
    wardian("rm", "stopped")


def test_it_stays_as_long_as_the_container(wardian, tools):
    wardian("create", "--name", "holds", "--mount", f"type=image,src={tools},dst=/img", IMAGE, "cat", "/img/top")
    assert b"is using its referenced image" in wardian("rmi", tools, status=1).stderr
    wardian("rmi", "-f", tools)
    assert wardian.out("start", "-a", "holds") == "top"
    found = json.loads(wardian.out("inspect", "-f", "{{json .Mounts}}", "holds"))
    assert [(one["Type"], one["Name"], one["Destination"], one["RW"]) for one in found] == [
        ("image", tools, "/img", False)
    ]
    assert wardian.out("run", "--rm", "--volumes-from", "holds", IMAGE, "cat", "/img/top") == "top"


@pytest.mark.parametrize(
    ("mount", "status", "words"),
    [
        ({"Source": "nobody:1"}, 400, "No such image: nobody:1"),
        ({}, 400, 'invalid mount config for type "image": field Source must not be empty'),
        ({"Source": IMAGE, "ImageOptions": {"Subpath": "../x"}}, 400, "subpath must be a relative path"),
        ({"Source": IMAGE, "VolumeOptions": {"NoCopy": True}}, 400, "VolumeOptions must not be specified"),
        ({"Source": IMAGE, "ImageOptions": {"Else": 1}}, 501, "ImageOptions.Else"),
    ],
)
def test_what_is_refused(engine_with_image, mount, status, words):
    with pytest.raises(WardianError, match=re.escape(words)) as caught:
        engine_with_image.client.call("POST", "/containers/create", body(**mount))
    assert caught.value.status == status


def test_no_such_part(wardian, tools):
    mount = f"type=image,src={tools},dst=/img,image-subpath=nowhere"
    said = wardian("run", "--rm", "--mount", mount, IMAGE, "true", status=None)
    assert said.returncode != 0 and b"nowhere" in said.stderr
