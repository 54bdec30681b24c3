"""A registry whose images are made when they are asked for: the layer of REPOSITORY:NAME is known by the name."""

import contextlib
import hashlib
import random
import threading
from collections.abc import Iterator
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from images_made import MANIFEST_OCI, MadeImage, busybox_layer, layer_tar, made_manifest

_FILES, _SIZE = 20, 20_000
_blobs: dict[str, bytes] = {}


def content(name: str, number: int) -> bytes:
    return random.Random(f"{name} {number}").randbytes(_SIZE)


def sums(name: str) -> list[str]:
    """What md5sum says of an image's own files."""
    made = (hashlib.md5(content(name, number)).hexdigest() for number in range(_FILES))
    return [f"{digest}  /own/{number}" for number, digest in enumerate(made)]


@lru_cache
def _base() -> bytes:
    return busybox_layer()


@lru_cache
def manifest(name: str) -> bytes:
    own = {f"own/{number}": content(name, number) for number in range(_FILES)}
    blobs, made = made_manifest(MadeImage([_base(), layer_tar({"own/": None} | own)], {}), compress=False)
    _blobs.update(blobs | {_digest(made): made})
    return made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        kind, _, name = self.path.rpartition("/")
        is_manifest = kind.endswith("/manifests")
        data = _blobs[name] if name.startswith("sha256:") else manifest(name) if is_manifest else b""
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST_OCI if is_manifest else "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Content-Digest", _digest(data))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
