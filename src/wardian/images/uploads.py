"""The writing half of the distribution-spec: is a blob there, mount it from another repository, send it, name it."""

import hashlib
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from wardian.errors import SYSTEM, WardianError
from wardian.images.manifests import Descriptor
from wardian.images.reference import Reference
from wardian.images.registry import RegistryClient

_OCTETS = {"Content-Type": "application/octet-stream"}


class Uploader:
    """Writes to one repository. Thread-safe."""

    def __init__(self, reference: Reference, client: RegistryClient) -> None:
        self._path = f"/v2/{reference.path}"
        self._client = client

    def reach(self) -> None:
        """Say at once that a registry is not there."""
        self._client.ask("GET", "/v2/", expected=(200, 401, 404))

    def has(self, digest: str) -> bool:
        return self._client.ask("HEAD", f"{self._path}/blobs/{digest}", expected=(200, 404)).status == 200

    def mount(self, digest: str, source: str) -> bool:
        """Whether the registry took the blob over from its repository `source`."""
        path = f"{self._path}/blobs/uploads/?mount={quote(digest)}&from={quote(source)}"
        said = self._client.ask("POST", path, {"Content-Length": "0"}, expected=(201, 202))
        if said.status == 202:  # it has begun an upload in place of that
            self._client.ask("DELETE", self._client.location(path, said), expected=(200, 202, 204, 404, 405))
        return said.status == 201

    def send(self, pieces: Iterable[bytes], media_type: str) -> Descriptor:
        """Upload a blob of unknown size as it comes; its digest is known at its end."""
        path = f"{self._path}/blobs/uploads/"
        begun = self._client.ask("POST", path, {"Content-Length": "0"}, expected=(202,))
        location = self._client.location(path, begun)
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in pieces:
                if piece:
                    digest.update(piece)
                    size += len(piece)
                    yield piece

        said = self._client.ask("PATCH", location, _OCTETS, counted(), expected=(202, 204))
        name = f"sha256:{digest.hexdigest()}"
        self._finish(self._client.location(location, said), name, b"")
        return Descriptor(name, size, media_type)

    def send_whole(self, data: bytes, digest: str) -> None:
        """A small blob, unless it is there."""
        if self.has(digest):
            return
        path = f"{self._path}/blobs/uploads/"
        begun = self._client.ask("POST", path, {"Content-Length": "0"}, expected=(202,))
        self._finish(self._client.location(path, begun), digest, data)

    def name(self, data: bytes, media_type: str, tag: str) -> None:
        """PUT a manifest under its tag."""
        self._client.ask(
            "PUT", f"{self._path}/manifests/{tag}", {"Content-Type": media_type}, data, expected=(200, 201, 202)
        )

    def _finish(self, location: str, digest: str, data: bytes) -> None:
        joint = "&" if "?" in location else "?"
        said = self._client.ask("PUT", f"{location}{joint}digest={quote(digest)}", _OCTETS, data, (201, 204))
        stated = said.headers.get("docker-content-digest", digest)
        if stated != digest:
            message = f"the registry says that blob {digest} has the digest {stated[:100]}"
            raise WardianError(SYSTEM, message, operation="push", subject=digest)
