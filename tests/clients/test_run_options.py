"""Options of run and create that docker's command line has, and Podman's that only ours has: asked for on a command
line, looked at from inside."""

import io
import tarfile

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
