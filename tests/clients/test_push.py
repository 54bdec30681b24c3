"""`push`: what a registry has is not sent again, what it lacks is; what was pushed is what is pulled."""

import json
import os
import re

import pytest

from images_made import MadeImage, busybox_image, busybox_layer, docker_archive, layer_tar
from registry import Registry


def load(docker, name: str, made: MadeImage) -> None:
    docker("load", stdin=docker_archive({name: made}))


def digest_in(said: str) -> str:
    found = re.search(r"digest: (sha256:[0-9a-f]{64}) size: \d+", said)
    assert found, said
    return found[1]


def test_push_and_pull_again(docker, registry: Registry, tmp_path):
    name = f"{registry.address}/pushed/{tmp_path.name}:1"
    load(docker, name, MadeImage([busybox_layer(), layer_tar({"text": os.urandom(50_000)})], {"Cmd": ["true"]}))
    said = docker.out("push", name)
    assert said.splitlines()[0] == f"The push refers to repository [{name.rpartition(':')[0]}]"
    assert "Pushed" in said
    digest = digest_in(said)
    identity = docker.out("image", "inspect", "-f", "{{.Id}}", name)
    digests = json.loads(docker.out("image", "inspect", "-f", "{{json .RepoDigests}}", name))
    assert digests == [f"{name.rpartition(':')[0]}@{digest}"]
    again = docker.out("push", name)
    assert "Pushed" not in again
    assert again.count("Layer already exists") == 2
    assert digest_in(again) == digest
    docker("rmi", name)
    docker("pull", name)
    assert docker.out("image", "inspect", "-f", "{{.Id}}", name) == identity
    docker("run", "--rm", name)
    docker("rmi", name)


def test_the_same_image_gives_the_same_digest_anywhere(docker, registry: Registry, tmp_path):
    """Compressed anew, by an engine that has forgotten that it ever did."""
    made = MadeImage([layer_tar({"text": os.urandom(100_000)})], {})
    digests = set()
    for number in "12":
        name = f"{registry.address}/alike/{tmp_path.name}-{number}:1"
        load(docker, name, made)
        digests.add(digest_in(docker.out("push", name)))
        docker("rmi", name)
    assert len(digests) == 1


def test_a_layer_is_mounted_from_another_repository(docker, registry: Registry, tmp_path):
    made = MadeImage([layer_tar({"text": os.urandom(5000)})], {})
    source = registry.push_image(f"source/{tmp_path.name}:1", made)
    target = f"{registry.address}/target/{tmp_path.name}:2"
    docker("pull", source)
    docker("tag", source, target)
    said = docker.out("push", target)
    assert f"Mounted from source/{tmp_path.name}" in said
    # the very manifest that was pulled: its digest stays
    digests = json.loads(docker.out("image", "inspect", "-f", "{{json .RepoDigests}}", target))
    assert len({one.partition("@")[2] for one in digests}) == 1
    docker("rmi", source, target)


def test_all_tags(docker, registry: Registry, tmp_path):
    repository = f"{registry.address}/tags/{tmp_path.name}"
    load(docker, f"{repository}:1", busybox_image())
    docker("tag", f"{repository}:1", f"{repository}:2")
    said = docker.out("push", "-a", repository)
    assert [line.partition(":")[0] for line in said.splitlines() if " digest: " in line] == ["1", "2"]
    docker("rmi", f"{repository}:1", f"{repository}:2")
    docker("pull", f"{repository}:2")
    docker("rmi", f"{repository}:2")
    docker("pull", "-a", repository)
    docker("rmi", f"{repository}:1", f"{repository}:2")  # both came
    refused = docker("pull", "-a", f"{registry.address}/tags/nobody", status=1).stderr
    assert b"tags/nobody" in refused
    assert b"tag can't be used with --all-tags/-a" in docker("pull", "-a", f"{repository}:1", status=1).stderr


def test_a_commit_is_pushed(docker, registry: Registry, tmp_path):
    name = f"{registry.address}/commit/{tmp_path.name}:1"
    docker("run", "--name", "to-commit", "busybox:test", "sh", "-c", "echo new > /new")
    docker("commit", "to-commit", name)
    docker("rm", "to-commit")
    docker("push", "-q", name)
    docker("rmi", name)
    docker("pull", name)
    assert docker.out("run", "--rm", name, "cat", "/new") == "new"
    docker("rmi", name)


def test_refusals(docker, registry: Registry):
    done = docker("push", f"{registry.address}/no/such:1", status=1)
    assert f"An image does not exist locally with the tag: {registry.address}/no/such".encode() in done.stderr
    docker("tag", "busybox:test", "127.0.0.1:1/no/registry:1")
    done = docker("push", "127.0.0.1:1/no/registry:1", status=1)
    assert b'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused' in done.stderr
    docker("rmi", "127.0.0.1:1/no/registry:1")
    done = docker("push", "busybox@sha256:" + "0" * 64, status=1)
    assert b"cannot push a digest reference" in done.stderr


@pytest.mark.parametrize("compress", ["zstd", False])
def test_other_compressions_keep_their_manifest(docker, registry: Registry, tmp_path, compress):
    made = MadeImage([layer_tar({"text": os.urandom(5000)})], {})
    source = registry.push_image(f"kinds/{tmp_path.name.lower()}:1", made, compress=compress)
    docker("pull", source)
    docker("tag", source, source[:-1] + "2")
    docker("push", source[:-1] + "2")
    digests = json.loads(docker.out("image", "inspect", "-f", "{{json .RepoDigests}}", source))
    assert len(digests) == 1
    docker("rmi", source, source[:-1] + "2")
