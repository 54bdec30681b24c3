"""A real registry on loopback (Debian's docker-registry), and a small writer that pushes made images to it.

def test_pull(registry):                    # the fixture comes from tests/conftest.py; one registry for a session
    reference = registry.push_image("team/app:1", busybox_image())       # "127.0.0.1:PORT/team/app:1"
"""

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from images_made import INDEX_OCI, MANIFEST_DOCKER, MANIFEST_OCI, MadeImage, digest, made_manifest


class Registry:
    """A running registry. `address` is "127.0.0.1:PORT"."""

    def __init__(self, address: str, root: str, user: str = "", password: str = "") -> None:
        self.address = address
        self.root = root
        self._headers: dict[str, str] = {}
        if user:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def push_image(
        self, name: str, image: MadeImage, *, compress: bool | str = True, docker: bool = False, tagged: bool = True
    ) -> str:
        """Push one image as `NAME[:TAG]`; returns its full reference. With tagged=False: `NAME@sha256:…`."""
        repository, _, tag = name.partition(":")
        blobs, manifest = made_manifest(image, compress=compress, docker=docker)
        for data in blobs.values():
            self.put_blob(repository, data)
        at = (tag or "latest") if tagged else digest(manifest)
        self.put_manifest(repository, at, manifest, MANIFEST_DOCKER if docker else MANIFEST_OCI)
        return f"{self.address}/{repository}{':' if tagged else '@'}{at}"

    def push_index(self, name: str, images: Sequence[MadeImage], media_type: str = INDEX_OCI) -> str:
        """Push a multi-platform image; each member says its own platform."""
        repository, _, tag = name.partition(":")
        members = []
        for image in images:
            at = self.push_image(repository, image, tagged=False).partition("@")[2]
            platform = {"os": "linux", "architecture": image.architecture}
            if image.variant:
                platform["variant"] = image.variant
            size = len(made_manifest(image)[1])
            members.append({"mediaType": MANIFEST_OCI, "digest": at, "size": size, "platform": platform})
        index = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": members}).encode()
        self.put_manifest(repository, tag or "latest", index, media_type)
        return f"{self.address}/{repository}:{tag or 'latest'}"

    def put_blob(self, repository: str, data: bytes) -> str:
        """Upload one blob (distribution-spec, "Pushing a blob monolithically"); returns its digest."""
        name = digest(data)
        status, headers = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202, status
        location = headers["location"].partition(self.address)[2] or headers["location"]
        joint = "&" if "?" in location else "?"
        status, _ = self.request(
            "PUT", f"{location}{joint}digest={name}", data, {"Content-Type": "application/octet-stream"}
        )
        assert status == 201, status
        return name

    def put_manifest(self, repository: str, at: str, manifest: bytes, media_type: str) -> None:
        status, _ = self.request("PUT", f"/v2/{repository}/manifests/{at}", manifest, {"Content-Type": media_type})
        assert status == 201, status

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, path, body, {**self._headers, **(headers or {})})
            answer = connection.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def blob_path(self, name: str) -> str:
        """Where the registry keeps a blob: for tests that damage one."""
        hexes = name.partition(":")[2]
        return os.path.join(self.root, "docker/registry/v2/blobs/sha256", hexes[:2], hexes, "data")


def start_registry(
    directory: str, extra: Mapping[str, Any] | None = None
) -> tuple[Registry, "subprocess.Popen[bytes]"]:
    """Start `docker-registry serve` on a free loopback port, its data below `directory`; waits until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = os.path.join(directory, "data")
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": root}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **(extra or {}),
    }
    path = os.path.join(directory, "config.yml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)  # JSON is YAML
    with open(os.path.join(directory, "log"), "wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"OTEL_TRACES_EXPORTER": "none"} | dict(os.environ),
        )
    registry = Registry(f"127.0.0.1:{port}", root)
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            registry.request("GET", "/v2/")
            return registry, process
        except OSError:
            time.sleep(0.02)
    process.kill()
    process.wait()
    with open(os.path.join(directory, "log"), encoding="utf-8", errors="replace") as log_text:
        raise RuntimeError(f"docker-registry did not start: {log_text.read()[-2000:]}")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One anonymous registry for the whole session."""
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry on this machine: apt-get install docker-registry")
    running, process = start_registry(str(tmp_path_factory.mktemp("registry")))
    yield running
    process.kill()
    process.wait(timeout=10)
