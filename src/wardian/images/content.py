"""The content store: small blobs (configs, manifests, indexes) by digest, as OCI image layouts keep them.

    content/blobs/sha256/HEX

Layers are not here: they live unpacked in `storage` (docs/decisions/0004-layers-are-kept-unpacked.md). A blob under its
name is complete and its name is its digest: it is verified, synced, renamed.
"""

import hashlib
import os
import secrets

from wardian.errors import INVALID, NOT_FOUND, WardianError
from wardian.home import Home
from wardian.images.reference import is_digest
from wardian.storage import sync_directory


class ContentStore:
    """Blobs of one data root. Thread-safe: writes are renames of equal content."""

    def __init__(self, home: Home) -> None:
        self._root = os.path.join(home.content, "blobs", "sha256")
        self._staging = home.staging
        os.makedirs(self._root, mode=0o710, exist_ok=True)
        os.makedirs(self._staging, mode=0o710, exist_ok=True)

    def read(self, digest: str) -> bytes:
        """A blob's bytes. Raises NOT_FOUND, or INVALID when the disk has damaged it."""
        try:
            with open(self._path(digest), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise WardianError(NOT_FOUND, f"no such blob: {digest}", operation="read blob", subject=digest) from None
        verify(data, digest, "content store")
        return data

    def write(self, data: bytes) -> str:
        """Store bytes durably; returns their digest. Idempotent; what the disk has damaged is written anew."""
        digest = digest_of(data)
        target = self._path(digest)
        if self._holds(target, data):
            return digest
        path = os.path.join(self._staging, f"blob.{secrets.token_hex(8)}")
        try:
            with open(path, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(path, target)
        except BaseException:
            if os.path.exists(path):
                os.unlink(path)
            raise
        sync_directory(self._root)  # the name too, before a row says that it is there
        return digest

    def keep_only(self, digests: set[str]) -> None:
        """Delete every blob that is not named. Idempotent."""
        for name in os.listdir(self._root):
            if f"sha256:{name}" not in digests:
                os.unlink(os.path.join(self._root, name))

    @staticmethod
    def _holds(path: str, data: bytes) -> bool:
        try:
            with open(path, "rb") as file:
                return file.read() == data
        except OSError:
            return False

    def _path(self, digest: str) -> str:
        if not is_digest(digest):  # before it becomes a path (CVE-2024-3727)
            raise WardianError(INVALID, f"invalid digest: {digest[:100]!r}", operation="find blob", subject=digest)
        return os.path.join(self._root, digest.partition(":")[2])


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def verify(data: bytes, digest: str, source: str) -> None:
    """Raises INVALID naming the blob when `data` is not what `digest` says."""
    found = digest_of(data)
    if found != digest:
        raise mismatch(digest, found, source)


def mismatch(digest: str, found: str, source: str) -> WardianError:
    return WardianError(
        INVALID,
        f"digest mismatch: blob {digest} from {source} has the digest {found}",
        operation="verify blob",
        subject=digest,
        hint="it was damaged on its way or where it is kept; nothing of it was stored",
    )
