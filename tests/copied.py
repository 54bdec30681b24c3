"""For tests of attacks on `cp`: archives made on the spot, and requests for a container's files.

files = Copied(engine, ["sleep", "1000"]); files.upload("/d", tar_of(member("a", b"data"))); files.download("/d")
"""

import io
import tarfile
from collections.abc import Sequence
from typing import Any

from engines import TestEngine
from images_made import busybox_layer

IMAGE = "copied:1"


def member(name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> Any:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
    return info, data


def tar_of(*members: Any) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


class Copied:
    """A container and its files by the API. `root` is its root while it runs, as this host's processes reach it."""

    def __init__(self, engine: TestEngine, command: Sequence[str], **host_config: Any) -> None:
        self.engine = engine
        if engine.client.request("GET", f"/images/{IMAGE}/json").status == 404:
            query = {"fromSrc": "-", "repo": "copied", "tag": "1"}
            with engine.client.stream("POST", "/images/create", busybox_layer(), query) as stream:
                stream.read()
        body = {"Image": IMAGE, "Cmd": list(command), "HostConfig": host_config}
        made = engine.client.call("POST", "/containers/create", body)
        assert isinstance(made, dict)
        self.id = made["Id"]

    def start(self) -> None:
        self.engine.client.call("POST", f"/containers/{self.id}/start")

    @property
    def root(self) -> str:
        found = self.engine.client.call("GET", f"/containers/{self.id}/json")
        assert isinstance(found, dict)
        return f"/proc/{found['State']['Pid']}/root"

    def upload(self, path: str, archive: bytes, **query: Any) -> int:
        """The status of the answer."""
        where = f"/containers/{self.id}/archive"
        return self.engine.client.request("PUT", where, archive, {"path": path, **query}).status

    def download(self, path: str) -> dict[str, bytes]:
        """Regular files by their names in the archive; {} when the path is refused."""
        answer = self.engine.client.request("GET", f"/containers/{self.id}/archive", query={"path": path})
        if answer.status != 200:
            return {}
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
            files = {info.name: archive.extractfile(info) for info in archive if info.isreg()}
            return {name: file.read() for name, file in files.items() if file is not None}

    def remove(self) -> None:
        self.engine.client.request("DELETE", f"/containers/{self.id}", query={"force": True})
