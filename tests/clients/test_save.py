"""`save`: what it writes is what `load` takes, here and in Docker; the same images give the same bytes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from clients_shared import IMAGE
from images_made import MadeImage, busybox_image, docker_archive, layer_tar

NAME = "saved/app:1"


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {info.name: archive.extractfile(info) for info in archive if info.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def load(docker, images: dict[str, MadeImage]) -> None:
    docker("load", stdin=docker_archive(images))


def test_save_and_load_again(docker, tmp_path: Path):
    made = busybox_image(Labels={"a": "b"})
    load(docker, {NAME: made, "saved/other:1": MadeImage([layer_tar({"text": b"other"})], {})})
    docker("tag", NAME, "saved/app:2")
    identity = docker.out("image", "inspect", "-f", "{{.Id}}", NAME)
    file = tmp_path / "saved.tar"
    docker("save", "-o", str(file), "saved/app", "saved/other:1")
    docker("rmi", NAME, "saved/app:2", "saved/other:1")
    said = docker.out("load", "-i", str(file))
    assert said.splitlines() == [
        "Loaded image: saved/app:1",
        "Loaded image: saved/app:2",
        "Loaded image: saved/other:1",
    ]
    assert docker.out("image", "inspect", "-f", "{{.Id}}", "saved/app:2") == identity
    assert docker("save", "saved/app", "saved/other:1").stdout == file.read_bytes()
    assert docker.out("run", "--rm", NAME, "echo", "ran") == "ran"


def test_both_forms_are_in_it(docker):
    made = busybox_image()
    load(docker, {NAME: made})
    found = members(docker("save", NAME).stdout)
    layer = "blobs/sha256/" + hashlib.sha256(made.layers[0]).hexdigest()
    assert found[layer] == made.layers[0]
    for name, data in found.items():
        if name.startswith("blobs/"):
            assert name == "blobs/sha256/" + hashlib.sha256(data).hexdigest()
    (entry,) = json.loads(found["manifest.json"])
    assert (entry["RepoTags"], entry["Layers"]) == ([NAME], [layer])
    assert found[entry["Config"]] == made.config()
    (target,) = json.loads(found["index.json"])["manifests"]
    assert target["annotations"]["io.containerd.image.name"] == f"docker.io/{NAME}"
    manifest = json.loads(found["blobs/" + target["digest"].replace(":", "/")])
    assert manifest["layers"][0]["size"] == len(made.layers[0])
    assert json.loads(found["repositories"]) == {"saved/app": {"1": layer.rpartition("/")[2]}}


def test_saved_by_its_id_it_has_no_name(docker):
    identity = docker.out("image", "inspect", "-f", "{{.Id}}", IMAGE)
    (entry,) = json.loads(members(docker("save", identity).stdout)["manifest.json"])
    assert entry["RepoTags"] is None


def test_a_commit_is_saved(docker):
    docker("run", "--name", "changing", IMAGE, "sh", "-c", "echo new > /new; rm /etc/passwd")
    docker("commit", "changing", "saved/commit")
    docker("rm", "changing")
    data = docker("save", "saved/commit").stdout
    docker("rmi", "saved/commit")
    docker("load", stdin=data)
    assert docker.out("run", "--rm", "saved/commit", "sh", "-c", "cat /new; ls /etc/passwd 2>&1 | wc -l").split() == [
        "new",
        "1",
    ]


def test_what_is_not_there(docker):
    done = docker("save", "no/such", status=1)
    assert done.stderr.decode().strip() == "Error response from daemon: No such image: no/such"
    done = docker("save", IMAGE, "no/such", "-o", "/proc/nowhere/file", status=1)
    assert b"failed to save image: invalid output path: " in done.stderr


def test_an_archive_that_is_none(docker, engine):
    done = docker("load", stdin=b"abc", status=1)
    assert b"not a valid tar archive" in done.stderr
    with engine.client.stream(
        "POST", "/images/load", b"abc"
    ) as stream:  # a line of a good answer, as docker-py expects
        (line,) = stream.objects()
    assert "not a valid tar archive" in line["error"]
