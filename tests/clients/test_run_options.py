"""Options of run and create that docker's command line has, and Podman's that only ours has: asked for on a command
line, looked at from inside."""

import io
import json
import tarfile

import docker as docker_py
import pytest

from clients_shared import IMAGE
from images_made import busybox_layer


@pytest.fixture
def root(tmp_path):
    with tarfile.open(fileobj=io.BytesIO(busybox_layer())) as archive:
        archive.extractall(tmp_path / "root")
    return tmp_path / "root"


def test_rootfs(wardian, root):
    wardian("run", "--rm", "--rootfs", root, "sh", "-c", "echo here > /made")
    assert (root / "made").read_text() == "here\n"
    wardian("run", "--name", "over", "--rootfs", f"{root}:O", "sh", "-c", "rm /made; echo apart > /other")
    assert (root / "made").exists() and not (root / "other").exists()
    assert wardian.out("ps", "-a", "--format", "{{.Image}}") == str(root)
    assert "A /other" in wardian.out("diff", "over").splitlines()
    assert b"uses an exploded rootfs" in wardian("commit", "over", "made:latest", status=1).stderr
    wardian("cp", "over:/other", root / "copied")
    assert (root / "copied").read_text() == "apart\n"
    wardian("rm", "over")
    assert (root / "bin/busybox").exists()
    missing = wardian("run", "--rootfs", root / "nowhere", "true", status=125).stderr
    assert b"no such directory" in missing


@pytest.mark.parametrize("name", ["", "runc", "io.containerd.runc.v2", "wardian"])
def test_runtimes(docker, name):
    identity = docker.out("run", "-d", "--runtime", name, IMAGE, "sleep", "1000")
    assert docker.out("inspect", "-f", "{{.HostConfig.Runtime}}", identity) == (name or "wardian")
    assert name in docker.out("info", "-f", "{{json .Runtimes}}")
    assert docker.out("info", "-f", "{{.DefaultRuntime}}") == "wardian"


def test_no_runtime(docker):
    refused = docker("create", "--runtime", "kata", IMAGE, status=None).stderr
    assert b"unknown or invalid runtime name: kata" in refused


def test_a_rootfs_that_went(wardian, root):
    identity = wardian.out("create", "--rootfs", root, "true")
    root.rename(root.with_name("elsewhere"))
    assert str(root).encode() in wardian("start", identity, status=1).stderr


def test_image_given_with_rootfs_is_its_command(wardian, root):
    assert wardian.out("run", "--rm", "--rootfs", root, "echo", IMAGE) == IMAGE


def test_volume_update_as_in_no_swarm(docker):
    docker("volume", "create", "plain")
    try:
        for words in ((), ("--availability", "drain")):
            assert b"can only update cluster volumes" in docker("volume", "update", *words, "plain", status=1).stderr
        assert b"get nobody: no such volume" in docker("volume", "update", "nobody", status=1).stderr
    finally:
        docker("volume", "rm", "plain")


def test_image_inspect_of_a_platform(docker):
    shown = ("image", "inspect", "-f", "{{.Architecture}}")
    own = docker.out(*shown, IMAGE)
    assert docker.out(*shown, "--platform", f"linux/{own}", IMAGE) == own
    refused = docker(*shown, "--platform", "linux/s390x", IMAGE, status=1).stderr
    assert b"does not match the specified platform (linux/s390x)" in refused


def test_images_as_a_tree(docker):
    docker("create", IMAGE)
    lines = docker.out("images", "--tree", IMAGE).splitlines()
    # docker's command takes who uses it from the platforms of an image, of which the answer has none
    assert [line.split()[-1] for line in lines if line.startswith(IMAGE)] in (["U"], ["0B"])
    assert b"--quiet is not yet supported with --tree" in docker("images", "--tree", "-q", status=1).stderr


def test_ps_in_all_forms(docker):
    made = [docker.out("create", "--name", name, IMAGE, "sleep", "1000000000000000000") for name in ("one", "two")]
    docker("start", "one")
    assert docker.out("ps", "-q", "--no-trunc") == made[0]
    assert docker.out("ps", "-lq", "--no-trunc") == made[1]
    assert docker.out("ps", "-n", "2", "-q", "--no-trunc").split() == [made[1], made[0]]
    assert docker.out("ps", "-n", "1", "-q") == made[1][:12]
    assert '"sleep 1000000000000000000"' in docker.out("ps", "--no-trunc")
    assert '"sleep 1000000000000…"' in docker.out("ps")
    head, row = docker.out("ps", "-s").splitlines()
    assert head.split()[-1] == "SIZE" and "(virtual " in row
    assert docker.out("ps", "-a", "--format", "table {{.Names}}\t{{.State}}").split() == [
        "NAMES", "STATE", "two", "created", "one", "running",
    ]  # fmt: skip
    found = [json.loads(line) for line in docker.out("ps", "-a", "--format", "json").splitlines()]
    assert [(one["Names"], one["ID"]) for one in found] == [("two", made[1][:12]), ("one", made[0][:12])]
    assert docker.out("ps", "--format", "{{.Size}}").startswith("0B (virtual ")
    assert docker.out("ps", "--filter", "status=created", "--format", "{{.Names}}") == "two"


def test_an_older_client_is_told_what_a_commit_was_made_of(engine_with_image, wardian):
    identity = wardian.out("create", IMAGE, "true")
    wardian("commit", identity, "made:of")
    older = docker_py.APIClient(f"unix://{engine_with_image.socket}", version="1.43")
    try:
        found = older.inspect_image("made:of")
        assert (found["Container"], found["ContainerConfig"]["Image"]) == (identity, IMAGE)
        assert older.inspect_image(IMAGE)["Container"] == ""
        newer = json.loads(wardian.out("image", "inspect", "made:of"))[0]
        assert "Container" not in newer and newer["Wardian"]["Container"] == identity
    finally:
        older.close()
        wardian("rmi", "made:of")
